"""What stands beside a person's values: their names, what is doubtful, and nothing of equipment."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest

from alerts.limits import Guardrail, Override
from server.store.limits import set_limit
from server.web.nurse.patient import PAGE_ROWS
from tests.server.fix_ward import NOW, Ward, token_of

pytestmark = pytest.mark.integration

MINUTES = timedelta(minutes=1)


def table(page: str) -> str:
    """Return the table of all values as text."""
    found = re.search(r'<table class="values">.*?</table>', page, re.DOTALL)
    assert found
    return re.sub(r"<[^>]+>", " ", found[0])


async def test_a_battery_is_no_value_of_the_persons(ward: Ward) -> None:
    uid = await ward.receive("battery", {"battery": 55.0}, at=NOW - 3 * MINUTES)
    anna = await ward.logged_in("anna")
    page = (await anna.get(f"/patient/{ward.patient.public_id}")).text
    assert "55" not in table(page)
    assert "3 mätningar de senaste 90 dagarna" in page
    devices = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.split('id="apparater"')[1]))
    assert "UA-651BLE …4455 Batteri 55 %, i dag 10:39" in devices
    assert "Senaste värdet: blodtryck, i dag 10:36" in devices
    assert "byt batteri" not in devices

    path = f"/api/v1/patients/{ward.patient.public_id}"
    listed = (await anna.get(f"{path}/observations")).json()
    assert listed["total"] == len(listed["items"]) == 3
    assert {one["kind"] for one in listed["items"]} == {"blood_pressure"}
    asked = (await anna.get(f"{path}/observations?equipment=true")).json()
    assert asked["total"] == 4
    assert asked["items"][0]["kind"] == "battery"
    (device,) = (await anna.get(f"{path}/devices")).json()["items"]
    assert (device["model"], device["battery_percent"]) == ("UA-651BLE", 55.0)
    assert (device["last_kind"], device["battery_at"]) == (
        "blood_pressure",
        "2026-11-22T09:39:00Z",
    )
    # Nobody has to be told that a battery was seen.
    async with ward.database.transaction() as tx:
        seen = await (await tx.execute("SELECT uid FROM receipt")).fetchall()
    assert len(seen) == 3
    assert uid not in {one.hex for (one,) in seen}


async def test_the_newer_word_on_a_battery_counts(ward: Ward) -> None:
    await ward.receive("battery", {"battery": 55.0}, at=NOW - timedelta(days=2))
    async with ward.database.transaction() as tx:
        await tx.execute("UPDATE device SET battery = 12, battery_at = %s", (NOW - MINUTES,))
    page = (await (await ward.logged_in("anna")).get(f"/patient/{ward.patient.public_id}")).text
    assert "Batteri 12 %" in page
    assert "byt batteri" in page


@pytest.mark.parametrize(
    ("kind", "numbers", "said"),
    [
        ("pulse_oximetry", {"spo2": 94.0}, "syremättnad 94 %"),
        ("pulse_oximetry", {"spo2": 94.0, "pulse": 70.0}, "syremättnad 94 %, puls 70 slag/min"),
        ("body_temperature", {"temperature": 37.3}, "temperatur 37,3 °C"),
        ("body_weight", {"weight": 71.6}, "vikt 71,6 kg"),
        ("blood_pressure", {"systolic": 120.0}, "övertryck 120 mmHg"),
    ],
)
async def test_every_number_has_its_name(
    ward: Ward, kind: str, numbers: dict[str, float], said: str
) -> None:
    await ward.receive(kind, numbers, at=NOW - MINUTES)
    page = await (await ward.logged_in("anna")).get(f"/patient/{ward.patient.public_id}")
    assert f'<span class="num">{said}</span>' in page.text


async def test_only_what_must_be_doubted_is_loud(ward: Ward) -> None:
    oxygen = {"spo2": 96.0}
    await ward.receive("pulse_oximetry", oxygen, at=NOW - MINUTES, tq="gateway")
    await ward.receive("pulse_oximetry", oxygen, at=NOW - 2 * MINUTES, tq="corrected")
    await ward.receive("pulse_oximetry", oxygen, at=NOW - 3 * MINUTES, tq="estimated")
    await ward.receive("body_weight", {"weight": 700.0}, at=NOW - 4 * MINUTES)
    page = (await (await ward.logged_in("anna")).get(f"/patient/{ward.patient.public_id}")).text
    assert '<span class="how">mottagarens klocka</span>' in page
    assert '<span class="how">apparatens klocka rättad</span>' in page
    assert '<span class="tag warn">uppskattad tid</span>' in page
    assert '<span class="tag warn">orimligt värde, kontrollera</span>' in page
    assert page.count("tag warn") == 2


async def test_values_of_another_page_are_not_seen(ward: Ward) -> None:
    for n in range(PAGE_ROWS + 5 - 3):
        await ward.measure(120, 70, at=NOW - timedelta(hours=3 + n))
    anna = await ward.logged_in("anna")
    link = f"/patient/{ward.patient.public_id}"
    await anna.get("/arbetslista")
    await anna.get("/patienter")
    await anna.get(f"{link}/varde")
    assert await ward.count("receipt") == 0
    await anna.get(f"{link}?sida=2")
    assert await ward.count("receipt") == 5
    assert await oldest_seen(ward) < await newest_unseen(ward)
    await anna.get(link)
    assert await ward.count("receipt") == PAGE_ROWS + 5


async def test_taking_an_alert_is_seeing_what_it_cites_and_no_more(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    form = {"csrf": token_of(await anna.get("/arbetslista")), "version": "1"}
    assert (await anna.post(f"/larm/{await ward.alert_id()}/ta", data=form)).status_code == 303
    assert await ward.count("receipt") == 1


async def test_a_page_of_the_interface_marks_its_own_rows_only(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    await anna.get(f"/api/v1/patients/{ward.patient.public_id}/observations?limit=2")
    assert await ward.count("receipt") == 2
    await anna.get(f"/api/v1/alerts/{await ward.alert_id()}")
    assert await ward.count("receipt") == 2


async def oldest_seen(ward: Ward) -> datetime:
    async with ward.database.transaction() as tx:
        cursor = await tx.execute(
            "SELECT max(m.measured_at) FROM receipt r JOIN measurement m USING (uid)"
        )
        row = await cursor.fetchone()
    assert row is not None
    found: datetime = row[0]
    return found


async def newest_unseen(ward: Ward) -> datetime:
    async with ward.database.transaction() as tx:
        cursor = await tx.execute(
            "SELECT min(m.measured_at) FROM measurement m"
            " WHERE NOT EXISTS (SELECT 1 FROM receipt r WHERE r.uid = m.uid)"
        )
        row = await cursor.fetchone()
    assert row is not None
    found: datetime = row[0]
    return found


async def own_limit(ward: Ward, bounds: Guardrail, component: int = 201) -> None:
    override = Override(component, bounds, set_by="Doktor Testdal", reason="Lungsjukdom")
    async with ward.database.transaction() as tx:
        await set_limit(tx, ward.patient.id, override, at=NOW - timedelta(days=30))


async def test_an_own_limit_says_who_set_it_and_when_and_why(ward: Ward) -> None:
    await own_limit(ward, Guardrail(red_low=85.0, yellow_low=87.0))
    await ward.receive("pulse_oximetry", {"spo2": 85.0}, at=NOW - MINUTES)
    anna = await ward.logged_in("anna")
    # As it was when it fired: a later limit changes nothing of what is said.
    async with ward.database.transaction() as tx:
        later = Override(201, Guardrail(red_low=80.0, yellow_low=82.0), set_by="Någon annan")
        await set_limit(tx, ward.patient.id, later, at=NOW)
    for path in ("/arbetslista", f"/patient/{ward.patient.public_id}"):
        page = (await anna.get(path)).text
        assert (
            "Personens egen gräns: syremättnad 85 % eller lägre. Satt av Doktor Testdal"
            " fre 23 okt 2026. Skäl: Lungsjukdom."
        ) in page, path
        assert "BTS 2017" not in page, path
        assert "Någon annan" not in page, path


async def test_a_national_limit_names_its_source(ward: Ward) -> None:
    page = (await (await ward.logged_in("anna")).get("/arbetslista")).text
    assert "Nationellt förslag, gäller tills personen får en egen gräns." in page
    assert "NEWS2-tabellen" in page
    assert "Personens egen gräns" not in page


async def test_a_limit_that_only_another_level_owns_is_national(ward: Ward) -> None:
    """The person has an own yellow level; the red one that fired is the national."""
    await own_limit(ward, Guardrail(yellow_low=95.0))
    await ward.receive("pulse_oximetry", {"spo2": 90.0}, at=NOW - MINUTES)
    page = (await (await ward.logged_in("anna")).get("/arbetslista")).text
    assert "Syremättnad 90 %, under rött 91" in page
    assert "BTS 2017" in page
    assert "Doktor Testdal" not in page
