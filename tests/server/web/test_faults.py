"""What a person sees when something cannot be done, and that nothing typed is lost by it."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from server.store.database import Database
from server.web.live import Live
from server.web.metrics import Figures
from server.web.run import create_inner
from server.web.security import POLICY
from tests.server.fix_ward import BASE, Ward, log_in, token_of

pytestmark = pytest.mark.integration

NOTE = "Ringde dottern, hon åker dit 15.30."


async def forms(browser: httpx.AsyncClient, ward: Ward) -> tuple[str, dict[str, str]]:
    """Return where a note is sent and a form with one."""
    token = token_of(await browser.get("/arbetslista"))
    return f"/larm/{await ward.alert_id()}/anteckna", {
        "csrf": token,
        "version": "1",
        "note": NOTE,
    }


async def test_a_note_survives_the_end_of_the_session(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    path, form = await forms(anna, ward)
    ward.clock.pass_by(timedelta(minutes=31))
    answer = await anna.post(path, data=form)
    assert answer.status_code == 401
    for said in ("Du är inte inloggad", "Det du skrev är inte sparat", NOTE):
        assert said in answer.text, said
    assert (await ward.log(1))[0].reason == "session_expired"
    without = await anna.post(f"/larm/{await ward.alert_id()}/ta", data=form | {"note": ""})
    assert (without.status_code, without.headers["location"]) == (303, "/logga-in?till=/")


async def test_a_note_survives_a_new_login_in_another_tab(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    path, form = await forms(anna, ward)
    await log_in(anna, "anna")
    answer = await anna.post(path, data=form)
    assert answer.status_code == 403
    assert NOTE in answer.text


async def test_a_note_survives_that_somebody_was_first(ward: Ward) -> None:
    anna, bo = await ward.logged_in("anna"), await ward.logged_in("bo")
    path, form = await forms(anna, ward)
    taking = {"csrf": token_of(await bo.get("/arbetslista")), "version": "1"}
    assert (await bo.post(path.replace("anteckna", "ta"), data=taking)).status_code == 303
    closing = form | {"outcome": "visit"}
    answer = await anna.post(path.replace("anteckna", "avsluta"), data=closing)
    assert answer.status_code == 409
    for said in ("Bo Lind tog larmet 10:42", "Listan nedan är aktuell.", NOTE):
        assert said in answer.text, said


async def test_values_survive_a_database_that_is_away(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = await ward.logged_in("anna")
    path = f"/patient/{ward.patient.public_id}/varde"
    form = {
        "csrf": token_of(await anna.get(path)),
        "systolic": "141",
        "diastolic": "83",
        "measured": "2026-11-22T10:30",
        "note": NOTE,
        "once": "d" * 20,
    }
    async with Database.connect("postgresql://nobody@127.0.0.1:1/none", name="away") as away:
        monkeypatch.setattr(ward.app.state.site.gate, "database", away)
        answer = await anna.post(path, data=form)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    for said in ("Databasen svarar inte", "141", "83", NOTE):
        assert said in answer.text, said


async def test_what_is_broken_is_our_page_and_tells_nothing(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    path, form = await forms(anna, ward)
    async with ward.database.transaction() as tx:
        await tx.execute("ALTER TABLE alert RENAME COLUMN why TO broken")
    # As uvicorn does: the fault is answered, then raised for whoever runs the application.
    transport = httpx.ASGITransport(ward.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url=str(anna.base_url), cookies=anna.cookies
    ) as browser:
        answer = await browser.post(path.replace("anteckna", "avsluta"), data=form)
        described = await browser.get("/arbetslista")
    for one in (answer, described):
        assert one.status_code == 500
        assert "Något gick fel" in one.text
        assert "UndefinedColumn" not in one.text
        assert one.headers["content-security-policy"] == POLICY
        assert one.headers["cache-control"] == "no-store"
    assert NOTE in answer.text


async def test_a_password_is_never_shown_again(ward: Ward) -> None:
    browser = await ward.client()
    form = {"login": "anna", "password": "hemligt", "note": "hemligt"}
    answer = await browser.post("/logga-in", data=form, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403
    assert "hemligt" not in answer.text


@pytest.mark.parametrize("language", ["sv", "en"])
async def test_every_fault_is_a_page_of_ours(ward: Ward, language: str) -> None:
    anna = await ward.logged_in("anna")
    anna.cookies.set("sprak", language)
    stranger = await ward.client("10.9.9.9")
    stranger.cookies.set("sprak", language)
    answers = [await anna.get("/finns-inte"), await anna.get("/administration")]
    form = {"version": "x", "csrf": token_of(await anna.get("/arbetslista"))}
    answers.append(await anna.post("/larm/x/ta", data=form))
    answers += [await log_in(stranger, "anna", "fel lösenord") for _ in range(6)]
    assert {one.status_code for one in answers} == {401, 403, 404, 422, 429}
    for one in answers:
        assert f'lang="{language}"' in one.text
        assert one.headers["content-security-policy"] == POLICY
    assert answers[-1].headers["retry-after"]


async def test_missing_rights_are_said_with_their_sentence(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    async with ward.database.transaction() as tx:
        # Whoever runs the tests is a superuser: refuse as the database does.
        await tx.execute(
            "CREATE FUNCTION refuse() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE"
            " insufficient_privilege USING MESSAGE = 'permission denied for table alert'; END $$"
        )
        await tx.execute("ALTER TABLE staff RENAME TO real_staff")
        await tx.execute("CREATE VIEW staff AS SELECT * FROM real_staff WHERE refuse()")
    inner = httpx.AsyncClient(
        transport=httpx.ASGITransport(create_inner(ward.database, Figures.new(), Live())),
        base_url=BASE,
    )
    page, listed = await anna.get("/arbetslista"), await anna.get("/api/v1/worklist")
    ready = await inner.get("/readyz")
    await inner.aclose()
    for one in (page, listed, ready):
        assert one.status_code == 503
        assert "may not do this: permission denied for table alert" in one.text
    assert "Servern saknar rättigheter i databasen" in page.text
    assert listed.json()["title"] == "Servern saknar rättigheter i databasen"
