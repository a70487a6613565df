"""A served ward and a nurse's browser window, for the tests that drive Chromium."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

from server.api.router import build
from server.settings import Settings
from server.store.database import Database
from server.web import run
from tests.fix_missing import missing
from tests.server.fix_ward import PASSWORD, Clock, Ward, fill

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
