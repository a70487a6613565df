"""Whoever may not write is refused and written down, however bad what was sent."""

from __future__ import annotations

import pytest
from fastapi.routing import APIRoute

from server.api.router import build
from server.auth.gate import SAFE_METHODS
from server.auth.routes import GatedRoute
from server.web import administration, login
from server.web.nurse import patient, value, worklist
from tests.server.fix_ward import Ward

pytestmark = pytest.mark.integration

NOBODY = "00000000-0000-4000-8000-000000000000"
FORM = "application/x-www-form-urlencoded"
BAD = (
    ("application/json", b"{"),
    ("application/json", b"[]"),
    (FORM, b"version=x"),
    ("multipart/form-data; boundary=x", b"--y"),
)
# Open to everybody who comes from our own page.
OPEN = ("/logga-in", "/api/v1/session")


def writing(ward: Ward) -> list[tuple[str, str]]:
    """Return method and path of every route that changes something."""
    made = build(ward.app.state.gate, ward.app.state.site.passwords)
    routers = (login, worklist, patient, value, administration)
    given = [*made.routes, *(one for module in routers for one in module.router.routes)]
    routes = [one for one in given if isinstance(one, APIRoute)]
    found = [
        (method, one.path.format(alert_id=NOBODY, public_id=NOBODY, act="take"))
        for one in routes
        for method in (one.methods or set()) - SAFE_METHODS
    ]
    # A route of the framework's own kind would let a bad body past the gate.
    changing = [one for one in routes if (one.methods or set()) - SAFE_METHODS]
    assert {type(one) for one in changing} == {GatedRoute}
    assert len(found) == 12
    return found


async def test_without_a_session_every_bad_body_is_refused_and_logged(ward: Ward) -> None:
    stranger = await ward.client()
    for method, path in writing(ward):
        if path in OPEN and method == "POST":
            continue
        for kind, content in BAD:
            headers = {"content-type": kind}
            answer = await stranger.request(method, path, content=content, headers=headers)
            assert answer.status_code in {303, 401}, (method, path, kind, answer.text)
            newest = (await ward.log(1))[0]
            assert (newest.target, newest.reason) == (path, "not_logged_in"), (method, kind)


async def test_without_the_token_every_bad_body_is_refused_and_logged(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    for method, path in writing(ward):
        if path in OPEN and method == "POST":
            continue
        for kind, content in BAD:
            headers = {"content-type": kind}
            answer = await anna.request(method, path, content=content, headers=headers)
            assert answer.status_code == 403, (method, path, kind, answer.text)
            newest = (await ward.log(1))[0]
            assert (newest.target, newest.reason) == (path, "bad_csrf"), (method, kind)


async def test_another_site_cannot_even_send_a_bad_login(ward: Ward) -> None:
    stranger = await ward.client()
    for path in OPEN:
        headers = {"content-type": "application/json", "sec-fetch-site": "cross-site"}
        answer = await stranger.post(path, content=b"{", headers=headers)
        assert answer.status_code == 403
        newest = (await ward.log(1))[0]
        assert (newest.target, newest.action, newest.reason) == (path, "login", "bad_csrf")


async def test_the_wrong_role_is_told_nothing_of_the_body(ward: Ward) -> None:
    lars = await ward.logged_in("lars")
    lars.headers["x-csrf-token"] = (await lars.get("/api/v1/session")).json()["csrf"]
    path = f"/api/v1/patients/{ward.patient.public_id}/values"
    answer = await lars.post(path, content=b"{")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:hemma:problem:wrong_role")
    assert (await ward.log(1))[0].reason == "wrong_role"


async def test_what_cannot_be_used_is_a_refused_try(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    anna.headers["x-csrf-token"] = (await anna.get("/api/v1/session")).json()["csrf"]
    path = f"/api/v1/alerts/{await ward.alert_id()}/take"
    answer = await anna.post(path, json={"version": "x"})
    assert answer.status_code == 422
    assert "body.version" in answer.json()["detail"]
    newest = (await ward.log(1))[0]
    assert (newest.outcome, newest.reason, newest.login) == ("refused", "invalid", "anna")
    close = path.replace("take", "close")
    assert (await anna.post(close, json={"version": 1})).status_code == 422
    assert (await ward.log(1))[0].target == close
