"""Without a mouse, without sight, at 400 % and on paper: nothing is lost and nothing jumps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.fix_nurse import LIVE_MAX_MS, nurse, served

pytestmark = [pytest.mark.integration, pytest.mark.browser]

FOCUSED = """() => {
    const it = document.activeElement, style = getComputedStyle(it);
    return {
        what: it.id || it.name || it.textContent.trim(),
        outline: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth),
    };
}"""


async def tab(page: Page) -> str:
    """Press Tab; return what has the focus, which must be seen to have it."""
    await page.keyboard.press("Tab")
    found = await page.evaluate(FOCUSED)
    assert found["outline"] >= 2, found
    return str(found["what"])


async def test_the_list_can_be_worked_without_a_mouse(database_url: str, browser: Browser) -> None:
    async with served(database_url) as (ward, base):
        await ward.measure(224, 96, at=datetime.now(UTC))
        anna = await nurse(browser, base)
        await anna.log_in("anna")
        await anna.page.wait_for_selector(".card")
        alert, person = await ward.alert_id(), ward.patient.public_id
        order = [await tab(anna.page) for _ in range(8)]
        assert order == [
            "Till innehållet",
            "Hemma",
            "English",
            "Logga ut",
            "Arbetslista",
            "Personer",
            f"namn-{person}",
            f"ta-{alert}",
        ]
        await anna.go("/arbetslista")
        await anna.page.keyboard.press("Tab")
        skip = anna.page.locator(".skip")
        await expect(skip).to_be_in_viewport()
        await anna.page.keyboard.press("Enter")
        assert await tab(anna.page) == f"namn-{person}"
        await tab(anna.page)
        await anna.page.keyboard.press("Enter")
        await expect(anna.page.locator(".card.red")).to_contain_text("Du har larmet")
        assert anna.complaints == []


async def test_a_new_alert_is_said_once_and_takes_no_focus(
    database_url: str, browser: Browser
) -> None:
    async with served(database_url) as (ward, base):
        now = datetime.now(UTC)
        await ward.measure(170, 96, at=now - timedelta(minutes=30))
        anna = await nurse(browser, base)
        await anna.log_in("anna")
        await expect(anna.page.locator("#live")).to_contain_text("Uppdateras live")
        news = anna.page.locator("#nytt")
        await expect(news).to_have_attribute("role", "status")
        await expect(news).to_have_text("")
        await anna.page.evaluate(
            """() => {
                window.said = [];
                const news = document.getElementById("nytt");
                new MutationObserver(() => window.said.push(news.textContent)).observe(
                    news, {childList: true});
            }"""
        )
        name = anna.page.locator(f"#namn-{ward.patient.public_id}")
        await name.focus()
        # A worse alert of the same person moves the list about under the keyboard.
        await ward.measure(224, 96, at=now)
        await expect(anna.page.locator(".card.red")).to_be_visible(timeout=LIVE_MAX_MS)
        await expect(name).to_be_focused()
        await expect(news).to_have_text(
            "Nytt larm: Maj-Britt Påhittsson. Rött – inom en timme."
            " Övertryck 224 mmHg, över rött 220"
        )
        # Somebody takes it: the list changes, nothing new is said.
        bo = await nurse(browser, base, width=1280)
        await bo.log_in("bo")
        await bo.page.click("text=Ta larmet")
        await expect(anna.page.locator(".card.red")).to_contain_text(
            "Bo Lind har larmet", timeout=LIVE_MAX_MS
        )
        await expect(name).to_be_focused()
        assert len(await anna.page.evaluate("window.said")) == 1
        assert anna.complaints == []


async def test_a_button_that_goes_away_leaves_the_keyboard_in_its_card(
    database_url: str, browser: Browser
) -> None:
    async with served(database_url) as (ward, base):
        await ward.measure(224, 96, at=datetime.now(UTC))
        anna, bo = await nurse(browser, base), await nurse(browser, base, width=1280)
        await anna.log_in("anna")
        await bo.log_in("bo")
        await expect(anna.page.locator("#live")).to_contain_text("Uppdateras live")
        await anna.page.locator(f"#ta-{await ward.alert_id()}").focus()
        await bo.page.click("text=Ta larmet")
        await expect(anna.page.locator(".card.red")).to_contain_text(
            "Bo Lind har larmet", timeout=LIVE_MAX_MS
        )
        await expect(anna.page.locator(f"#namn-{ward.patient.public_id}")).to_be_focused()


async def test_a_half_typed_note_stays_while_alerts_arrive(
    database_url: str, browser: Browser
) -> None:
    async with served(database_url) as (ward, base):
        now = datetime.now(UTC)
        await ward.measure(170, 96, at=now - timedelta(minutes=30))
        anna = await nurse(browser, base)
        await anna.log_in("anna")
        await anna.go(f"/larm/{await ward.alert_id()}/anteckna")
        await anna.page.fill("#note", "Ringde dottern, hon")
        await ward.measure(224, 96, at=now)
        await anna.page.wait_for_timeout(1500)
        await expect(anna.page.locator("#note")).to_have_value("Ringde dottern, hon")
        await anna.page.context.clear_cookies()
        await anna.page.click("main button")
        await expect(anna.page.locator("#typed")).to_have_value("Ringde dottern, hon")
        assert await anna.violations() == []


@pytest.mark.parametrize("language", ["sv", "en"])
async def test_nothing_is_wider_than_a_screen_at_400_percent(
    database_url: str, browser: Browser, language: str
) -> None:
    async with served(database_url) as (ward, base):
        now = datetime.now(UTC)
        await ward.measure(224, 96, at=now)
        await ward.receive("battery", {"battery": 12.0}, at=now)
        await ward.receive("body_weight", {"weight": 700.0}, at=now, tq="estimated")
        link, alert = f"/patient/{ward.patient.public_id}", await ward.alert_id()
        paths = {
            "anna": (
                "/arbetslista", "/patienter", link, f"{link}/varde", f"/larm/{alert}/avsluta",
                f"/larm/{alert}/anteckna", "/administration", "/finns-inte",
            ),
            "dag": ("/administration",),
            "eva": ("/uppdrag",),
        }  # fmt: skip
        for login, wanted in paths.items():
            one = await nurse(browser, base, width=320)
            await one.log_in(login, language=language)
            for path in ("/logga-in", *wanted):
                await one.go(path)
                wider = "document.documentElement.scrollWidth - innerWidth"
                assert await one.page.evaluate(wider) <= 0, path
                assert await one.violations() == [], path


async def test_the_printed_page_says_the_level_when_and_by_whom(
    database_url: str, browser: Browser
) -> None:
    async with served(database_url) as (ward, base):
        await ward.measure(224, 96, at=datetime.now(UTC))
        anna = await nurse(browser, base)
        await anna.log_in("anna")
        await anna.go(f"/patient/{ward.patient.public_id}")
        await anna.page.emulate_media(media="print")
        level = anna.page.locator(".level.red").first
        # Browsers print no backgrounds: white letters would be lost.
        assert await level.evaluate("it => getComputedStyle(it).color") == "rgb(0, 0, 0)"
        await expect(anna.page.locator(".print-only")).to_contain_text("av Anna Björk")
        await expect(anna.page.locator(".chart").nth(1)).to_be_visible()
        for hidden in (".top", ".places", ".acts button"):
            await expect(anna.page.locator(hidden).first).to_be_hidden()
