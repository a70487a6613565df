"""What a nurse sees and does on the pages."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import httpx
import pytest

from server.web.security import POLICY
from tests.server.fix_ward import Ward, token_of

pytestmark = pytest.mark.integration


async def press(browser: httpx.AsyncClient, ward: Ward, what: str, **form: str) -> httpx.Response:
    page = await browser.get("/arbetslista")
    data = {"csrf": token_of(page), "version": "1"} | form
    return await browser.post(f"/larm/{await ward.alert_id()}/{what}", data=data)


async def test_the_work_list_says_who_what_why_when(ward: Ward) -> None:
    page = await (await ward.logged_in("anna")).get("/arbetslista")
    for said in (
        "Maj-Britt Påhittsson",
        "född 1938",
        "Rött – inom en timme",
        "Övertryck 224 mmHg, över rött 220",
        "Nationellt förslag",
        "i dag 10:36",
        "Ingen har tagit larmet",
        "Ta larmet",
        "112",
    ):
        assert said in page.text, said
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["content-security-policy"] == POLICY


async def test_taken_noted_and_closed_with_an_outcome(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    assert (await press(anna, ward, "ta")).status_code == 303
    page = await anna.get("/arbetslista")
    assert "Du har larmet" in page.text
    assert (await press(anna, ward, "anteckna", note="Ringde dottern.")).status_code == 303
    unchosen = await press(anna, ward, "avsluta", version="3", note="Mår bättre")
    assert unchosen.status_code == 422
    assert "Välj vad det blev." in unchosen.text
    assert "Mår bättre" in unchosen.text
    closed = await press(anna, ward, "avsluta", version="3", outcome="visit", note="Hembesök 11.")
    assert closed.status_code == 303
    assert "Inga larm väntar" in (await anna.get("/arbetslista")).text
    history = (await anna.get(f"/patient/{ward.patient.public_id}")).text
    assert "Ringde dottern." in history
    assert "Hembesök" in history


async def test_the_second_nurse_gets_409_and_the_name(ward: Ward) -> None:
    anna, bo = await ward.logged_in("anna"), await ward.logged_in("bo")
    token = token_of(await bo.get("/arbetslista"))
    assert (await press(anna, ward, "ta")).status_code == 303
    ward.clock.pass_by(timedelta(minutes=2))
    path = f"/larm/{await ward.alert_id()}/ta"
    late = await bo.post(path, data={"csrf": token, "version": "1"})
    assert late.status_code == 409
    assert "Anna Björk tog larmet 10:42" in late.text
    refused = [line for line in await ward.log() if line.reason == "conflict"]
    assert [line.login for line in refused] == ["bo"]


async def test_of_two_at_once_exactly_one_gets_it(ward: Ward) -> None:
    anna, bo = await ward.logged_in("anna"), await ward.logged_in("bo")
    answers = await asyncio.gather(press(anna, ward, "ta"), press(bo, ward, "ta"))
    assert sorted(one.status_code for one in answers) == [303, 409]


async def test_opening_a_person_is_seeing_the_values_listed(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    assert await ward.count("receipt") == 0
    await anna.get(f"/patient/{ward.patient.public_id}")
    assert await ward.count("receipt") == 3


async def test_the_patient_page_shows_words_curves_and_values(ward: Ward) -> None:
    page = await (await ward.logged_in("anna")).get(f"/patient/{ward.patient.public_id}")
    for said in (
        "Att kunna sova hemma.",
        "<svg",
        "syst rött ≥220",
        "diast gult ≥100",
        "blodtryck 224/96 mmHg, puls 71 slag/min",
        "UA-651BLE",
        "Inga värden",
        "ingen gräns satt",
    ):
        assert said in page.text, said


async def test_a_value_by_hand_is_marked_and_kept_once(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    path = f"/patient/{ward.patient.public_id}/varde?matt=body_weight"
    form = {
        "csrf": token_of(await anna.get(path)),
        "once": "o" * 24,
        "weight": "81,4",
        "measured": "2026-11-22T10:30",
        "note": "dottern ringde",
    }
    for _ in range(2):
        assert (await anna.post(path, data=form)).status_code == 303
    page = await anna.get(f"/patient/{ward.patient.public_id}")
    assert page.text.count("81,4 kg</span>") == 1
    for said in (
        "inskrivet för hand",
        "inskrivet av Anna Björk (dottern ringde)",
        "ingen gräns satt",
    ):
        assert said in page.text, said


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"systolic": "", "diastolic": "80"}, "Fyll i värdet."),
        ({"systolic": "hundra", "diastolic": "80"}, "Skriv bara siffror"),
        ({"systolic": "1280", "diastolic": "80"}, "Värdet ska ligga mellan 1 och 300"),
        ({"systolic": "80", "diastolic": "120"}, "Undertrycket ska vara lägre"),
        ({"systolic": "120", "diastolic": "80", "measured": "2026-11-23T10:00"}, "framtiden"),
        ({"systolic": "120", "diastolic": "80", "measured": "2026-01-01T10:00"}, "14 dagar"),
        ({"systolic": "120", "diastolic": "80", "measured": "x"}, "Fyll i ett datum"),
        ({"systolic": "nan", "diastolic": "80"}, "Skriv bara siffror"),
        ({"systolic": "1e2", "diastolic": "80"}, "Skriv bara siffror"),
    ],
)
async def test_what_is_wrong_is_said_and_nothing_kept(
    ward: Ward, form: dict[str, str], said: str
) -> None:
    anna = await ward.logged_in("anna")
    path = f"/patient/{ward.patient.public_id}/varde"
    data = {"csrf": token_of(await anna.get(path)), "measured": "2026-11-22T10:00"} | form
    answer = await anna.post(path, data=data)
    assert answer.status_code == 422
    assert said in answer.text


async def test_home_care_enters_values_and_sees_no_curves(ward: Ward) -> None:
    hanna = await ward.logged_in("hanna")
    assert (await hanna.get(f"/patient/{ward.patient.public_id}")).status_code == 403
    assert (await hanna.get(f"/patient/{ward.patient.public_id}/varde")).status_code == 200


async def test_the_administrator_sees_equipment_and_no_person(ward: Ward) -> None:
    page = await (await ward.logged_in("dag")).get("/administration")
    assert "gw-nord-1" in page.text
    assert "Maj-Britt" not in page.text


async def test_english_is_one_press_away(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    answer = await anna.get("/sprak?sprak=en&till=/arbetslista")
    assert answer.headers["location"] == "/arbetslista"
    page = await anna.get("/arbetslista")
    assert 'lang="en"' in page.text
    assert "Systolic 224 mmHg, above red 220" in page.text
    assert "Take the alert" in page.text


async def test_a_page_that_is_not_there_is_said_plainly(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    answer = await anna.get("/finns-inte")
    assert answer.status_code == 404
    assert "Sidan finns inte" in answer.text
    assert answer.headers["content-security-policy"] == POLICY
