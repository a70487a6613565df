"""One damaged alert stands with its stored text, and hides nobody else's."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from structlog.testing import capture_logs

from tests.server.fix_ward import NOW, Ward, token_of

pytestmark = pytest.mark.integration

SAID = "Underlaget kan inte visas."


async def another(ward: Ward) -> None:
    """Give the unit a second alert, of another lineage."""
    await ward.receive("pulse_oximetry", {"spo2": 84.0}, at=NOW - timedelta(minutes=3))


async def damage(ward: Ward, inputs: str) -> None:
    async with ward.database.transaction() as tx:
        await tx.execute("UPDATE alert SET inputs = %s::jsonb WHERE rule LIKE 'bp%%'", (inputs,))


@pytest.mark.parametrize(
    "inputs",
    [
        "null",
        "[]",
        '"x"',
        "{}",
        '{"rule": null}',
        '{"rule": {"bounds": [{}]}}',
        '{"rule": {"bounds": [{"component": "x"}]}, "is_late": "perhaps"}',
        '{"rule": {"bounds": []}, "origins": [1]}',
    ],
)
async def test_damaged_inputs_harm_no_other_alert(ward: Ward, inputs: str) -> None:
    await another(ward)
    await damage(ward, inputs)
    anna = await ward.logged_in("anna")
    with capture_logs() as logs:
        page = await anna.get("/arbetslista")
    assert page.status_code == 200
    assert page.text.count(SAID) == 1
    assert "under rött" in page.text
    assert "224" in page.text
    assert [one["event"] for one in logs] == ["alert_inputs_unreadable"]
    for path in (f"/patient/{ward.patient.public_id}", "/api/v1/worklist"):
        assert (await anna.get(path)).status_code == 200
    for listed in (await anna.get("/api/v1/worklist")).json()["items"]:
        form = {"csrf": token_of(page), "version": str(listed["version"]), "outcome": "visit"}
        took = await anna.post(f"/larm/{listed['id']}/ta", data=form)
        assert took.status_code == 303
        form["version"] = str(listed["version"] + 1)
        assert (await anna.get(f"/larm/{listed['id']}/avsluta")).status_code == 200
        assert (await anna.post(f"/larm/{listed['id']}/avsluta", data=form)).status_code == 303


async def test_a_damaged_history_is_said_and_harms_no_other_alert(ward: Ward) -> None:
    damaged = await ward.alert_id()
    await another(ward)
    async with ward.database.transaction() as tx:
        await tx.execute(
            "INSERT INTO alert_event (at, event, detail, alert_id)"
            " VALUES (%s, 'noted', '{\"severity\": \"purple\"}', %s)",
            (NOW, damaged),
        )
    anna = await ward.logged_in("anna")
    page = await anna.get("/arbetslista")
    for act in ("ta", "avsluta", "anteckna"):
        answer = await press(anna, f"/larm/{damaged}/{act}", token_of(page))
        assert answer.status_code == 409
        assert "Larmets historik kan inte läsas" in answer.text
        assert (await ward.log(1))[0].reason == "conflict"
    anna.headers["x-csrf-token"] = token_of(page)
    problem = await anna.post(f"/api/v1/alerts/{damaged}/take", json={"version": 1})
    assert problem.status_code == 409
    assert problem.json()["type"] == "urn:hemma:problem:unreadable_history"
    other = await ward.alert_id()
    assert other != damaged
    assert (await press(anna, f"/larm/{other}/ta", token_of(page))).status_code == 303
    assert (await anna.get("/arbetslista")).status_code == 200
    assert (await anna.get(f"/patient/{ward.patient.public_id}")).status_code == 200


async def press(browser: httpx.AsyncClient, path: str, token: str) -> httpx.Response:
    form = {"csrf": token, "version": "1", "outcome": "visit", "note": "Ringde."}
    return await browser.post(path, data=form)
