"""Logging in, out, and being kept out."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from server.auth import login, sessions
from tests.server.fix_ward import PASSWORD, Ward, log_in, token_of

pytestmark = pytest.mark.integration


async def test_a_nurse_comes_to_the_work_list(ward: Ward) -> None:
    browser = await ward.client()
    answer = await log_in(browser, "anna")
    assert answer.status_code == 303
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert "samesite=lax" in answer.headers["set-cookie"].lower()
    start = await browser.get("/")
    assert start.headers["location"] == "/arbetslista"
    newest = (await ward.log())[0]
    assert (newest.action, newest.outcome, newest.login) == ("login", "granted", "anna")
    assert newest.role == "nurse"


async def test_unknown_login_and_wrong_password_get_the_same_answer(ward: Ward) -> None:
    browser = await ward.client()
    wrong = await log_in(browser, "anna", "fel")
    unknown = await log_in(browser, "annb", "fel")
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.text.replace("anna", "annb") == unknown.text
    refused = [line for line in await ward.log() if line.outcome == "refused"]
    assert [line.reason for line in refused] == ["wrong_credentials"] * 2
    # A person without an account may have typed a password into that field.
    assert {line.login for line in refused} == {""}


async def test_too_many_failures_say_how_long_to_wait(ward: Ward) -> None:
    browser = await ward.client()
    for _ in range(login.FAILURES_MAX):
        assert (await log_in(browser, "anna", "fel")).status_code == 401
    stopped = await log_in(browser, "anna")
    assert stopped.status_code == 429
    assert "Försök igen om 15 minuter" in stopped.text
    assert 0 < int(stopped.headers["retry-after"]) <= login.WINDOW.total_seconds() + 1
    assert (await ward.log())[0].reason == "rate_limited"
    elsewhere = await ward.client("10.0.0.2")
    assert (await log_in(elsewhere, "anna")).status_code == 303
    ward.clock.pass_by(login.WINDOW + timedelta(seconds=1))
    assert (await log_in(browser, "anna")).status_code == 303


async def test_parallel_tries_do_not_slip_past_the_limit(ward: Ward) -> None:
    browser = await ward.client()
    tries = (log_in(browser, "anna", "fel") for _ in range(login.FAILURES_MAX + 4))
    answers = await asyncio.gather(*tries)
    assert sorted(one.status_code for one in answers) == [401] * login.FAILURES_MAX + [429] * 4


async def test_another_site_cannot_log_anybody_in(ward: Ward) -> None:
    browser = await ward.client()
    data = {"login": "anna", "password": PASSWORD}
    answer = await browser.post("/logga-in", data=data, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403
    assert (await ward.log())[0].reason == "bad_csrf"


async def test_several_assignments_are_chosen_and_open_nothing_before(ward: Ward) -> None:
    browser = await ward.client()
    answer = await log_in(browser, "eva")
    assert answer.headers["location"].startswith("/uppdrag")
    blocked = await browser.get("/arbetslista")
    assert blocked.headers["location"].startswith("/uppdrag")
    assert (await ward.log())[0].reason == "no_assignment"
    page = await browser.get("/uppdrag")
    assert "Hemsjukvården syd" in page.text
    numbers = [part.split('"')[0] for part in page.text.split('name="assignment" value="')[1:]]
    chosen = {"csrf": token_of(page), "assignment": numbers[1], "till": "/arbetslista"}
    assert (await browser.post("/uppdrag", data=chosen)).status_code == 303
    assert (await browser.get("/arbetslista")).status_code == 200
    newest = (await ward.log())[0]
    assert newest.unit_id == ward.units["syd"]


@pytest.mark.parametrize("step", [timedelta(minutes=31), timedelta(hours=12, minutes=1)])
async def test_a_session_ends_when_idle_and_when_old(ward: Ward, step: timedelta) -> None:
    browser = await ward.logged_in("anna")
    worked_until = ward.clock.at + step - timedelta(minutes=20)
    while step > timedelta(hours=1) and ward.clock.at < worked_until:
        ward.clock.pass_by(timedelta(minutes=20))
        assert (await browser.get("/arbetslista")).status_code == 200
    ward.clock.pass_by(timedelta(minutes=25) if step > timedelta(hours=1) else step)
    answer = await browser.get("/arbetslista")
    assert answer.headers["location"] == "/logga-in?till=/arbetslista"
    assert (await ward.log())[0].reason == "session_expired"


async def test_the_live_stream_does_not_keep_a_session_alive(ward: Ward) -> None:
    browser = await ward.logged_in("anna")
    token = browser.cookies["hemma"]
    ward.clock.pass_by(timedelta(minutes=20))
    async with ward.database.transaction() as tx:
        await sessions.resume(tx, token, at=ward.clock.at, touch=False)
    ward.clock.pass_by(timedelta(minutes=20))
    assert (await browser.get("/arbetslista")).status_code == 303


async def test_logging_out_ends_the_session_in_the_database(ward: Ward) -> None:
    browser = await ward.logged_in("anna")
    cookie = dict(browser.cookies)
    token = token_of(await browser.get("/arbetslista"))
    assert (await browser.post("/logga-ut", data={"csrf": token})).status_code == 303
    stolen = await ward.client()
    stolen.cookies.update(cookie)
    assert (await stolen.get("/arbetslista")).status_code == 303


async def test_only_a_hash_of_the_token_is_kept(ward: Ward) -> None:
    browser = await ward.logged_in("anna")
    async with ward.database.transaction() as tx:
        cursor = await tx.execute("SELECT token_hash FROM session")
        kept = [bytes(row[0]) for row in await cursor.fetchall()]
    assert kept == [sessions.hash_token(browser.cookies["hemma"])]
