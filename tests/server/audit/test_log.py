"""Every read, every list and every refused try leaves a line that nobody can change."""

from __future__ import annotations

import pytest

from server.store.database import Database
from tests.server.fix_ward import Ward, token_of

pytestmark = pytest.mark.integration


async def test_every_page_leaves_a_line(ward: Ward) -> None:
    browser = await ward.logged_in("anna")
    link = f"/patient/{ward.patient.public_id}"
    alert = await ward.alert_id()
    expected = {
        "/arbetslista": ("list", None),
        "/patienter": ("list", None),
        link: ("read", ward.patient.id),
        f"{link}/varde": ("read", ward.patient.id),
        f"/larm/{alert}/avsluta": ("read", ward.patient.id),
        f"/larm/{alert}/anteckna": ("read", ward.patient.id),
        "/api/v1/worklist": ("list", None),
        "/api/v1/patients": ("list", None),
        f"/api/v1/patients/{ward.patient.public_id}": ("read", ward.patient.id),
        f"/api/v1/patients/{ward.patient.public_id}/observations": ("read", ward.patient.id),
        f"/api/v1/patients/{ward.patient.public_id}/devices": ("read", ward.patient.id),
        f"/api/v1/alerts/{alert}": ("read", ward.patient.id),
    }
    for path, line in expected.items():
        assert (await browser.get(path)).status_code == 200
        newest = (await ward.log(1))[0]
        assert (newest.action, newest.patient_id) == line, path
        assert (newest.target, newest.outcome, newest.login) == (path, "granted", "anna")
        assert newest.unit_id == ward.units["nord"]


@pytest.mark.parametrize(
    ("login", "path", "status", "reason"),
    [
        (None, "/arbetslista", 303, "not_logged_in"),
        (None, "/api/v1/worklist", 401, "not_logged_in"),
        ("dag", "/arbetslista", 403, "wrong_role"),
        ("anna", "/administration", 403, "wrong_role"),
        ("hanna", "/api/v1/worklist", 403, "wrong_role"),
    ],
)
async def test_refused_tries_leave_a_line(
    ward: Ward, login: str | None, path: str, status: int, reason: str
) -> None:
    browser = await (ward.logged_in(login) if login else ward.client())
    assert (await browser.get(path)).status_code == status
    newest = (await ward.log(1))[0]
    assert (newest.outcome, newest.reason, newest.target) == ("refused", reason, path)
    assert newest.login == (login or "")


async def test_a_forged_form_is_refused_and_changes_nothing(ward: Ward) -> None:
    browser = await ward.logged_in("anna")
    token = token_of(await browser.get("/arbetslista"))
    path = f"/larm/{await ward.alert_id()}/ta"
    missing = await browser.post(path, data={"version": "1"})
    wrong = await browser.post(path, data={"version": "1", "csrf": token[:-1] + "!"})
    cross = await browser.post(
        path, data={"version": "1", "csrf": token}, headers={"sec-fetch-site": "cross-site"}
    )
    assert [one.status_code for one in (missing, wrong, cross)] == [403] * 3
    assert [line.reason for line in await ward.log(3)] == ["bad_csrf"] * 3
    assert "Ingen har tagit larmet" in (await browser.get("/arbetslista")).text


@pytest.mark.parametrize(
    "statement",
    ["UPDATE access_log SET login = 'x'", "DELETE FROM access_log", "TRUNCATE access_log"],
)
async def test_the_log_is_append_only(ward: Ward, statement: str) -> None:
    await ward.logged_in("anna")
    before = await ward.log()
    with pytest.raises(Exception, match="append-only"):
        await _run(ward.database, statement)
    assert await ward.log() == before


async def _run(database: Database, statement: str) -> None:
    async with database.transaction() as tx:
        await tx.execute(statement.encode())


async def test_a_read_that_fails_is_not_logged_as_granted(ward: Ward) -> None:
    """The line and the read share a transaction: what was not shown was not read."""
    browser = await ward.logged_in("anna")
    before = len(await ward.log())
    assert (await browser.get(f"/patient/{ward.patient.public_id}?sida=0")).status_code == 404
    assert len(await ward.log()) == before
