"""Another unit's nurse finds nothing, on any route, and each try is written down."""

from __future__ import annotations

import re

import pytest
from fastapi.routing import APIRoute

from tests.server.fix_ward import Ward, token_of

pytestmark = pytest.mark.integration

PRIVATE = ("Maj-Britt", "Påhittsson", "DEMO-01", "224", "Att kunna sova")
# What these ask for beside the path, so that they come as far as the person.
FORMS = {
    "version": "1",
    "outcome": "visit",
    "note": "x",
    "systolic": "120",
    "diastolic": "80",
    "measured": "2026-11-22T10:00",
    "once": "t" * 20,
}
BODIES = {
    "/api/v1/alerts/{alert_id}/{act}": {"version": 1, "note": "x", "outcome": "visit"},
    "/api/v1/patients/{public_id}/values": {
        "kind": "body_weight",
        "values": {"weight": 80.0},
        "measured_at": "2026-11-22T09:00:00Z",
        "token": "t" * 20,
    },
}


def told(text: str) -> list[str]:
    """Return which of the person's words stand in a page, as words: an id may have 224 in it."""
    return [word for word in PRIVATE if re.search(rf"\b{re.escape(word)}\b", text)]


def routes(ward: Ward) -> list[tuple[str, str]]:
    found = []
    for route in _flat(ward.app.routes):
        found += [(method, route.path) for method in route.methods or () if method != "HEAD"]
    return sorted(found)


def _flat(given: object) -> list[APIRoute]:
    """Return every route, also those that stand behind an included router."""
    found: list[APIRoute] = []
    for route in given if isinstance(given, list) else []:
        if isinstance(route, APIRoute):
            found.append(route)
        inner = getattr(route, "routes", None) or getattr(
            getattr(route, "original_router", None), "routes", None
        )
        found += _flat(inner)
    return found


async def test_every_route_with_a_person_in_it_answers_404(ward: Ward) -> None:
    browser = await ward.logged_in("cilla")
    token = token_of(await browser.get("/arbetslista"))
    names = {"public_id": ward.patient.public_id, "alert_id": await ward.alert_id(), "act": "take"}
    personal = [(m, p) for m, p in routes(ward) if "{public_id}" in p or "{alert_id}" in p]
    assert len(personal) >= 14, personal
    for method, path in personal:
        url = path.format(**names)
        if path in BODIES:
            answer = await browser.request(
                method, url, json=BODIES[path], headers={"x-csrf-token": token}
            )
        else:
            form = FORMS | {"csrf": token} if method == "POST" else None
            answer = await browser.request(method, url, data=form)
        assert answer.status_code == 404, (method, url, answer.text)
        assert not told(answer.text), (method, url)
        newest = (await ward.log(1))[0]
        assert (newest.outcome, newest.reason) == ("refused", "not_visible"), (method, url)
        assert newest.login == "cilla"


async def test_every_list_is_empty_of_the_other_units_people(ward: Ward) -> None:
    browser = await ward.logged_in("cilla")
    plain = [p for m, p in routes(ward) if m == "GET" and "{" not in p and p != "/handelser"]
    assert {"/arbetslista", "/patienter", "/api/v1/worklist", "/api/v1/patients"} <= set(plain)
    for path in plain:
        answer = await browser.get(path)
        assert not set(told(answer.text)) & set(PRIVATE[:4]), path


async def test_what_does_not_exist_looks_the_same(ward: Ward) -> None:
    browser = await ward.logged_in("cilla")
    theirs = await browser.get(f"/patient/{ward.patient.public_id}")
    nobody = await browser.get("/patient/00000000-0000-4000-8000-000000000000")
    strip = str(ward.patient.public_id)
    assert theirs.status_code == nobody.status_code == 404
    empty = "00000000-0000-4000-8000-000000000000"
    assert theirs.text.replace(strip, empty) == nobody.text


async def test_a_patient_who_moves_takes_the_alerts_along(ward: Ward) -> None:
    async with ward.database.transaction() as tx:
        await tx.execute("UPDATE patient SET unit_id = %s", (ward.units["syd"],))
    south = await ward.logged_in("cilla")
    north = await ward.logged_in("anna")
    assert "Påhittsson" in (await south.get("/arbetslista")).text
    assert "Påhittsson" not in (await north.get("/arbetslista")).text
