"""The interface: the same gate, the same words for who was first, problems as documents."""

from __future__ import annotations

import pytest

from tests.server.fix_ward import PASSWORD, Ward

pytestmark = pytest.mark.integration


async def test_logging_in(ward: Ward) -> None:
    browser = await ward.client()
    answer = await browser.post("/api/v1/session", json={"login": "anna", "password": PASSWORD})
    assert answer.status_code == 201
    assert answer.json()["unit"] == "Hemsjukvården nord"
    assert (await browser.get("/api/v1/session")).json()["login"] == "anna"


async def test_problems_are_documents(ward: Ward) -> None:
    browser = await ward.client()
    answer = await browser.get("/api/v1/worklist")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 401
    assert answer.json()["type"] == "urn:hemma:problem:not_logged_in"
    missing = await browser.get("/api/v1/nothing")
    assert (missing.status_code, missing.headers["content-type"]) == (
        404,
        "application/problem+json",
    )
    wrong = await browser.post("/api/v1/session", json={"login": "anna"})
    assert wrong.status_code == 422
    assert "body.password" in wrong.json()["detail"]


async def test_work_list_and_alert(ward: Ward) -> None:
    browser = await ward.logged_in("anna")
    listed = (await browser.get("/api/v1/worklist?limit=1")).json()
    assert (listed["total"], listed["limit"], listed["offset"]) == (1, 1, 0)
    (alert,) = listed["items"]
    assert alert["severity"] == "red"
    assert alert["opened_at"].endswith("Z")
    shown = (await browser.get(f"/api/v1/alerts/{alert['id']}")).json()
    assert {(one["name"], one["value"]) for one in shown["evidence"]} == {("systolic", 224.0)}


async def test_the_second_gets_409_with_the_name(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    bo = await ward.logged_in("bo")
    tokens = [(await one.get("/api/v1/session")).json()["csrf"] for one in (anna, bo)]
    path = f"/api/v1/alerts/{await ward.alert_id()}/take"
    first = await anna.post(path, json={"version": 1}, headers={"x-csrf-token": tokens[0]})
    assert (first.status_code, first.json()["owner"]) == (200, "Anna Björk")
    second = await bo.post(path, json={"version": 1}, headers={"x-csrf-token": tokens[1]})
    assert second.status_code == 409
    assert second.json()["detail"] == "Anna Björk tog larmet 10:42"
    again = await anna.post(path, json={"version": 1}, headers={"x-csrf-token": tokens[0]})
    assert again.status_code == 200


async def test_a_change_without_the_token_is_refused(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    path = f"/api/v1/alerts/{await ward.alert_id()}/take"
    assert (await anna.post(path, json={"version": 1})).status_code == 403


async def test_observations_are_paged(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    path = f"/api/v1/patients/{ward.patient.public_id}/observations"
    pages = [(await anna.get(f"{path}?limit=2&offset={n}")).json() for n in (0, 2)]
    assert [len(one["items"]) for one in pages] == [2, 1]
    assert pages[0]["total"] == 3
    newest = pages[0]["items"][0]
    assert newest["kind"] == "blood_pressure"
    assert {one["name"]: one["value"] for one in newest["samples"]}["systolic"] == 224.0
    assert (await anna.get(f"{path}?limit=100000")).status_code == 422


async def test_a_value_by_hand_is_kept_once(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    token = (await anna.get("/api/v1/session")).json()["csrf"]
    path = f"/api/v1/patients/{ward.patient.public_id}/values"
    body = {
        "kind": "body_weight",
        "values": {"weight": 80.5},
        "measured_at": "2026-11-22T09:00:00Z",
        "token": "x" * 20,
    }
    headers = {"x-csrf-token": token}
    answers = [await anna.post(path, json=body, headers=headers) for _ in range(2)]
    assert [one.json()["outcome"] for one in answers] == ["stored", "duplicate"]
    assert answers[0].json()["uid"] == answers[1].json()["uid"]
    wrong = await anna.post(path, json=body | {"values": {"weight": 9999}}, headers=headers)
    assert (wrong.status_code, wrong.json()["detail"]) == (422, "weight: impossible")


async def test_the_interface_describes_itself(ward: Ward) -> None:
    browser = await ward.client()
    described = (await browser.get("/api/v1/openapi.json")).json()
    assert "/api/v1/worklist" in described["paths"]
    assert all(path.startswith("/api/v1/") for path in described["paths"])


async def test_logging_out(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    token = (await anna.get("/api/v1/session")).json()["csrf"]
    assert (await anna.delete("/api/v1/session")).status_code == 403
    headers = {"x-csrf-token": token}
    assert (await anna.delete("/api/v1/session", headers=headers)).status_code == 204
    assert (await anna.get("/api/v1/session")).status_code == 401
