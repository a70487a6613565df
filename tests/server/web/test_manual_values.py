"""A value by hand: the unusual is asked about once, the impossible refused, a token kept once."""

from __future__ import annotations

import httpx
import pytest

from server.alerting.judge import judge_inbox
from tests.server.fix_ward import NOW, Ward, token_of

pytestmark = pytest.mark.integration

OXYGEN = {"spo2": "55", "pulse": "104", "measured": "2026-11-22T10:30"}


async def opened(ward: Ward, kind: str) -> tuple[httpx.AsyncClient, str, dict[str, str]]:
    """Return a nurse's browser, where the form of a kind is sent, and its hidden fields."""
    anna = await ward.logged_in("anna")
    path = f"/patient/{ward.patient.public_id}/varde?matt={kind}"
    return anna, path, {"csrf": token_of(await anna.get(path)), "once": "o" * 24}


async def api(ward: Ward) -> tuple[httpx.AsyncClient, str]:
    """Return a client that may write, and where values are sent."""
    anna = await ward.logged_in("anna")
    anna.headers["x-csrf-token"] = (await anna.get("/api/v1/session")).json()["csrf"]
    return anna, f"/api/v1/patients/{ward.patient.public_id}/values"


async def flags_of(ward: Ward) -> list[str]:
    async with ward.database.transaction() as tx:
        cursor = await tx.execute(
            "SELECT flags FROM measurement WHERE entered_by IS NOT NULL ORDER BY received_seq"
        )
        return sorted(flag for (flags,) in await cursor.fetchall() for flag in flags)


async def test_a_real_red_is_asked_about_once_then_kept_and_judged(ward: Ward) -> None:
    anna, path, hidden = await opened(ward, "pulse_oximetry")
    before = await ward.count("measurement")
    asked = await anna.post(path, data=hidden | OXYGEN)
    assert asked.status_code == 422
    for said in ("Värdet är ovanligt. Stämmer det?", "Skriv in igen", "Spara ändå", 'value="55"'):
        assert said in asked.text, said
    assert await ward.count("measurement") == before
    confirmed = hidden | OXYGEN | {"asked": "spo2=55", "confirm": "1"}
    assert 'name="asked" value="spo2=55"' in asked.text
    assert (await anna.post(path, data=confirmed)).status_code == 303
    assert await flags_of(ward) == ["implausible", "manual"]
    async with ward.database.transaction() as tx:
        await judge_inbox(tx, now=NOW)
        cursor = await tx.execute("SELECT rule, severity FROM alert ORDER BY opened_at DESC")
        rule, severity = await cursor.fetchone() or ("", "")
    assert severity == "red"
    assert "spo2" in rule
    assert "orimligt värde, kontrollera" in (await anna.get(path.split("/varde")[0])).text


async def test_another_slip_is_asked_about_too(ward: Ward) -> None:
    anna, path, hidden = await opened(ward, "pulse_oximetry")
    before = await ward.count("measurement")
    other = hidden | OXYGEN | {"spo2": "5", "asked": "spo2=55", "confirm": "1"}
    answer = await anna.post(path, data=other)
    assert answer.status_code == 422
    assert 'name="asked" value="spo2=5"' in answer.text
    unasked = hidden | OXYGEN | {"confirm": "1"}
    assert (await anna.post(path, data=unasked)).status_code == 422
    assert await ward.count("measurement") == before


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("pulse_oximetry", {"spo2": "101"}),
        ("pulse_oximetry", {"spo2": "-5"}),
        ("pulse_oximetry", {"spo2": "0"}),
        ("blood_pressure", {"systolic": "80", "diastolic": "80"}),
        ("blood_pressure", {"systolic": "301", "diastolic": "80"}),
        ("body_temperature", {"temperature": "370"}),
        ("body_weight", {"weight": "9999"}),
    ],
)
async def test_the_impossible_is_refused_whatever_is_confirmed(
    ward: Ward, kind: str, values: dict[str, str]
) -> None:
    anna, path, hidden = await opened(ward, kind)
    before = await ward.count("measurement")
    asked = " ".join(f"{name}={value}" for name, value in sorted(values.items()))
    form = hidden | values | {"measured": OXYGEN["measured"], "asked": asked, "confirm": "1"}
    answer = await anna.post(path, data=form)
    assert answer.status_code == 422
    assert "Spara ändå" not in answer.text
    assert await ward.count("measurement") == before


async def test_the_interface_says_how_to_confirm(ward: Ward) -> None:
    anna, path = await api(ward)
    body = {
        "kind": "pulse_oximetry",
        "values": {"spo2": 55},
        "measured_at": "2026-11-22T09:30:00Z",
        "token": "t" * 20,
    }
    asked = await anna.post(path, json=body)
    assert asked.status_code == 422
    assert asked.json()["type"] == "urn:hemma:problem:implausible"
    assert "confirm_implausible: true" in asked.json()["detail"]
    assert "60 to 100" in asked.json()["detail"]
    kept = await anna.post(path, json=body | {"confirm_implausible": True})
    assert (kept.status_code, kept.json()["outcome"]) == (201, "stored")
    assert await flags_of(ward) == ["implausible", "manual"]
    for spo2 in (101, -5):
        wrong = body | {"values": {"spo2": spo2}, "confirm_implausible": True, "token": "u" * 20}
        answer = await anna.post(path, json=wrong)
        assert (answer.status_code, answer.json()["detail"]) == (422, "spo2: impossible")
        assert answer.json()["type"] == "urn:hemma:problem:invalid"


@pytest.mark.parametrize(
    "change",
    [
        {"values": {"weight": 81.0}},
        {"measured_at": "2026-11-22T09:01:00Z"},
        {"note": "dottern ringde"},
        {"kind": "body_temperature", "values": {"temperature": 37.0}},
    ],
)
async def test_a_token_with_other_values_is_a_conflict(
    ward: Ward, change: dict[str, object]
) -> None:
    anna, path = await api(ward)
    body: dict[str, object] = {
        "kind": "body_weight",
        "values": {"weight": 80.5},
        "measured_at": "2026-11-22T09:00:00Z",
        "token": "x" * 20,
    }
    assert (await anna.post(path, json=body)).status_code == 201
    count = await ward.count("measurement")
    answer = await anna.post(path, json=body | change)
    assert answer.status_code == 409
    assert answer.json()["title"] == "Redan sparat med andra uppgifter"
    assert answer.json()["detail"] == "Det första som skickades är sparat. Det här är inte sparat."
    assert (await ward.log(1))[0].reason == "conflict"
    same = await anna.post(path, json=body | {"measured_at": "2026-11-22T10:00:00+01:00"})
    assert (same.status_code, same.json()["outcome"]) == (201, "duplicate")
    assert await ward.count("measurement") == count


async def test_anothers_token_is_a_conflict(ward: Ward) -> None:
    anna, path = await api(ward)
    body = {
        "kind": "body_weight",
        "values": {"weight": 80.5},
        "measured_at": "2026-11-22T09:00:00Z",
        "token": "x" * 20,
    }
    assert (await anna.post(path, json=body)).status_code == 201
    bo = await ward.logged_in("bo")
    bo.headers["x-csrf-token"] = (await bo.get("/api/v1/session")).json()["csrf"]
    assert (await bo.post(path, json=body)).status_code == 409


async def test_a_form_sent_again_with_other_values_says_that_the_first_is_kept(ward: Ward) -> None:
    anna, path, hidden = await opened(ward, "body_weight")
    form = hidden | {"weight": "81,4", "measured": "2026-11-22T10:30"}
    assert (await anna.post(path, data=form)).status_code == 303
    answer = await anna.post(path, data=form | {"weight": "80,9"})
    assert answer.status_code == 409
    for said in ("Värdet är inte sparat", "är redan sparat", 'value="80,9"'):
        assert said in answer.text, said
    # The form is a new one: whoever means it saves it as a second value.
    again = form | {"weight": "80,9", "once": answer.text.split('name="once" value="')[1][:32]}
    assert (await anna.post(path, data=again)).status_code == 303
    assert await ward.count("measurement") == 5
