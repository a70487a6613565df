"""The nurse's thread in Chromium: an alert appears by itself, is taken once, and is closed.

Strict content security policy, no console error, no WCAG 2.1 A/AA violation that axe finds.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from server.api.router import build
from server.settings import Settings
from server.store.database import Database
from server.web import run
from tests.fix_missing import missing
from tests.server.fix_ward import PASSWORD, Clock, Ward, fill

pytestmark = [pytest.mark.integration, pytest.mark.browser]

ARGUMENTS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
LIVE_MAX_MS = 5000


def chromium() -> str:
    named = os.environ.get("HEMMA_TEST_CHROMIUM") or shutil.which("chromium")
    return named or missing("Chromium is not on this machine.")


@asynccontextmanager
async def served(database_url: str) -> AsyncIterator[tuple[Ward, str]]:
    """Serve a ward on a free loopback port, on the real clock, without any alert yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    settings = Settings(database_url=database_url, web_port=port, base_url=base, demo=True)
    stop = asyncio.Event()
    async with Database.connect(database_url, name="test-browser") as database:
        units, patient, gateway = await fill(database)
        serving = asyncio.create_task(run(settings, stop, api=build))
        ward = Ward(database, None, Clock(), units, patient, gateway, None)  # type: ignore[arg-type]  # served for real
        try:
            yield ward, base
        finally:
            stop.set()
            await asyncio.wait_for(serving, 15)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        yield started
        await started.close()


class Nurse:
    """One browser window with its own cookies; keeps what the console complained of."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.complaints: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _heard(self, message: ConsoleMessage) -> None:
        # Chromium says so of every page whose status is 409 or 422, which is what we answer.
        expected = "the server responded with a status of 4" in message.text
        if message.type in ("error", "warning") and not expected:
            self.complaints.append(message.text)

    async def log_in(self, login: str, *, language: str = "sv") -> None:
        await self.go(f"/sprak?sprak={language}&till=/logga-in")
        await self.page.fill("#login", login)
        await self.page.fill("#password", PASSWORD)
        await self.page.click("main button")

    async def go(self, path: str) -> None:
        await self.page.goto(self.base + path)

    async def violations(self) -> list[str]:
        """Return what axe finds on the page as it stands."""
        await self.page.evaluate(AXE.read_text("utf-8"))
        found = await self.page.evaluate(
            "rules => axe.run(document, {runOnly: rules}).then(r => r.violations.map("
            "v => v.id + ': ' + v.nodes.map(n => n.html).join(' | ')))",
            RULES,
        )
        return [str(one) for one in found]


async def nurse(browser: Browser, base: str, *, width: int = 390) -> Nurse:
    context = await browser.new_context(viewport={"width": width, "height": 844})
    return Nurse(await context.new_page(), base)


async def test_an_alert_appears_is_taken_once_and_closed(
    database_url: str, browser: Browser
) -> None:
    async with served(database_url) as (ward, base):
        anna, bo = await nurse(browser, base), await nurse(browser, base, width=1280)
        await anna.log_in("anna")
        await bo.log_in("bo")
        await expect(anna.page.locator("#live")).to_contain_text("Uppdateras live")
        await expect(anna.page.locator("#lista")).to_contain_text("Inga larm väntar")
        await expect(bo.page.locator("#live")).to_contain_text("Uppdateras live")

        await ward.measure(224, 96, at=datetime.now(UTC))
        for one in (anna, bo):
            card = one.page.locator(".card.red")
            await expect(card).to_contain_text("Övertryck 224 mmHg", timeout=LIVE_MAX_MS)

        # Both press while both still see a free alert: the second page has not been told yet.
        token = await bo.page.locator(".card input[name=csrf]").first.input_value()
        action = await bo.page.locator(".card form").first.get_attribute("action")
        await anna.page.click("text=Ta larmet")
        await expect(anna.page.locator(".card.red")).to_contain_text("Du har larmet")
        await expect(bo.page.locator(".card.red")).to_contain_text(
            "Anna Björk har larmet", timeout=LIVE_MAX_MS
        )
        await bo.page.evaluate(
            """([action, token]) => {
                const form = document.createElement("form");
                form.method = "post"; form.action = action;
                for (const [name, value] of [["csrf", token], ["version", "1"]]) {
                    const field = document.createElement("input");
                    field.name = name; field.value = value; form.append(field);
                }
                document.body.append(form); form.submit();
            }""",
            [action, token],
        )
        await expect(bo.page.get_by_role("alert")).to_contain_text("Anna Björk tog larmet")

        await anna.page.click(".card.red >> text=Avsluta")
        await anna.page.check("text=Kontakt tagen")
        await anna.page.fill("#note", "Mätte om: 148/82.")
        await anna.page.click("main button")
        await expect(anna.page.locator("#lista")).to_contain_text("Inga larm väntar")
        await expect(bo.page.locator("#lista")).to_contain_text(
            "Inga larm väntar", timeout=LIVE_MAX_MS
        )
        assert (anna.complaints, bo.complaints) == ([], [])


async def test_the_list_says_when_it_has_no_contact(database_url: str, browser: Browser) -> None:
    async with served(database_url) as (_, base):
        anna = await nurse(browser, base)
        await anna.log_in("anna")
        await expect(anna.page.locator("#live")).to_contain_text("Uppdateras live")
    await expect(anna.page.locator("#live")).to_contain_text(
        "Ingen kontakt – listan är från", timeout=LIVE_MAX_MS
    )


@pytest.mark.parametrize("language", ["sv", "en"])
async def test_axe_finds_nothing(database_url: str, browser: Browser, language: str) -> None:
    async with served(database_url) as (ward, base):
        await ward.measure(224, 96, at=datetime.now(UTC))
        link = f"/patient/{ward.patient.public_id}"
        anna = await nurse(browser, base)
        await anna.go(f"/sprak?sprak={language}&till=/logga-in")
        found = {"/logga-in": await anna.violations()}
        await anna.log_in("anna", language=language)
        alert = f"/larm/{await ward.alert_id()}/avsluta"
        for path in ("/arbetslista", link, f"{link}/varde", "/patienter", alert):
            await anna.go(path)
            found[path] = await anna.violations()
            overflow = "document.documentElement.scrollWidth - innerWidth"
            assert await anna.page.evaluate(overflow) <= 0, path
        dag = await nurse(browser, base, width=1280)
        await dag.log_in("dag", language=language)
        await dag.go("/administration")
        found["/administration"] = await dag.violations()
        assert {path: said for path, said in found.items() if said} == {}
        assert (anna.complaints, dag.complaints) == ([], [])
