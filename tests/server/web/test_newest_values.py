"""A card says how it stands now: the newest value and the worst, not what it first fired on."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import httpx
import pytest

from server.store import bindings
from tests.server.fix_ward import NOW, Ward, token_of

pytestmark = pytest.mark.integration

LATE = timedelta(hours=26)


async def saturate(ward: Ward, spo2: float, minutes: int, **more: Any) -> None:
    """Let an oximeter measure so many minutes before now."""
    numbers = {"spo2": spo2, "pulse": 70.0}
    at = NOW - timedelta(minutes=minutes)
    await ward.receive("pulse_oximetry", numbers, at=at, **more)


def entry_of(page: httpx.Response, quantity: str) -> str:
    """Return the part of the page that is about one alert."""
    (found,) = [one for one in page.text.split('<div class="one split">') if quantity in one]
    return found


def form_of(page: httpx.Response, entry: str) -> tuple[str, dict[str, str]]:
    """Return where the alert is taken, and what the form sends."""
    path = re.search(r'action="(/larm/[^"]+/ta)"', entry)
    version = re.search(r'name="version" value="(\d+)"', entry)
    assert path is not None
    assert version is not None
    return path[1], {"csrf": token_of(page), "version": version[1]}


async def worklist_entry(browser: httpx.AsyncClient, rule: str) -> dict[str, Any]:
    listed = (await browser.get("/api/v1/worklist")).json()["items"]
    (found,) = [one for one in listed if one["rule"] == rule]
    return dict(found)


async def test_a_fresh_red_takes_the_place_of_a_late_one_and_comes_back_to_its_owner(
    ward: Ward,
) -> None:
    anna, bo = await ward.logged_in("anna"), await ward.logged_in("bo")
    await saturate(ward, 88, 26 * 60 + 5, late=LATE)
    page = await anna.get("/arbetslista")
    before = entry_of(page, "Syremättnad")
    assert "sen mätning" in before
    path, form = form_of(page, before)
    assert (await anna.post(path, data=form)).status_code == 303
    await saturate(ward, 86, 2)
    own = entry_of(await anna.get("/arbetslista"), "Syremättnad")
    for said in ("Syremättnad 86 %, under rött 91", "nytt rött värde", "Ta larmet igen", "Avsluta"):
        assert said in own, said
    for not_said in ("sen mätning", "Sen mätning", "Värst i larmet"):
        assert not_said not in own, not_said
    announced = re.search(r'data-alert="([^"]+)"', own)
    assert announced is not None
    assert announced[0] not in before
    page = await bo.get("/arbetslista")
    others = entry_of(page, "Syremättnad")
    assert "Ta över larmet" in others
    stale = await bo.post(path, data={"csrf": token_of(page), "version": "2"})
    assert stale.status_code == 409
    assert "Larmet har ändrats" in stale.text
    path, form = form_of(page, others)
    assert (await bo.post(path, data=form)).status_code == 303
    taken = entry_of(await bo.get("/arbetslista"), "Syremättnad")
    assert "Du har larmet" in taken
    assert "nytt rött värde" not in taken
    history = (await bo.get(f"/patient/{ward.patient.public_id}")).text
    assert "Nytt aktuellt värde: larmet gäller från nu" in history


async def test_the_newest_and_the_worst_value_are_said_and_what_is_implausible(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    await saturate(ward, 85, 5)
    await saturate(ward, 55, 4)
    newest = entry_of(await anna.get("/arbetslista"), "Syremättnad")
    assert "Syremättnad 55 %, under rött 91 – orimligt värde, kontrollera" in newest
    assert "Syremättnad under gräns: syremättnad 85 % (gräns 91 %)." in newest
    await saturate(ward, 92, 3)
    later = entry_of(await anna.get("/arbetslista"), "Syremättnad")
    assert "Syremättnad 92 %, under gult 93" in later
    assert "Värst i larmet: Syremättnad 55 %, under rött 91 – orimligt värde" in later


async def test_the_interface_lists_what_is_cited(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    for minutes, spo2 in ((5, 85.0), (4, 55.0), (3, 90.0)):
        await saturate(ward, spo2, minutes)
    alert = await worklist_entry(anna, "spo2.target")
    assert [one["value"] for one in alert["evidence"]] == [85.0, 55.0, 90.0]
    assert [(one["value"], one["flags"]) for one in alert["newest"]] == [(90.0, [])]
    assert [(one["value"], one["flags"]) for one in alert["worst"]] == [(55.0, ["implausible"])]
    assert "85 %" in alert["text"]["sv"]
    assert (alert["late"], alert["needs_attention"]) == (False, False)
    token = (await anna.get("/api/v1/session")).json()["csrf"]
    taken = await anna.post(
        f"/api/v1/alerts/{alert['id']}/take",
        json={"version": alert["version"]},
        headers={"x-csrf-token": token},
    )
    assert [one["value"] for one in taken.json()["newest"]] == [90.0]


async def test_two_unassigned_devices_are_two_cards(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    await saturate(ward, 88, 5, dev="ble-00aabbccddee")
    await saturate(ward, 86, 4, dev="ble-00aabbccddef")
    page = (await anna.get("/arbetslista")).text
    for device in ("ble-00aabbccddee", "ble-00aabbccddef"):
        assert page.count(f"Okopplad apparat {device} vid") == 1


async def test_a_value_that_is_not_the_persons_any_more_is_said(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    said = "Ett värde i larmet hör inte längre till personen"
    await saturate(ward, 85, 5)
    assert said not in (await anna.get("/arbetslista")).text
    async with ward.database.transaction() as tx:
        cursor = await tx.execute("SELECT device_id FROM measurement LIMIT 1")
        row = await cursor.fetchone()
        assert row is not None
        await bindings.unbind(tx, row[0], at=NOW - timedelta(hours=1), now=NOW)
    entry = entry_of(await anna.get("/arbetslista"), "Syremättnad 85 %, under rött 91")
    assert f"{said}: kontrollera vem som mätte" in entry
    assert "nytt rött värde" not in entry
    history = (await anna.get(f"/patient/{ward.patient.public_id}")).text
    assert said in history
    assert (await worklist_entry(anna, "spo2.target"))["evidence_changed"] is True
