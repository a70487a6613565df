"""The nurse's thread in Chromium: an alert appears by itself, is taken once, and is closed.

Strict content security policy, no console error, no WCAG 2.1 A/AA violation that axe finds.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from playwright.async_api import Browser, expect

from tests.browser.fix_nurse import LIVE_MAX_MS, nurse, served

pytestmark = [pytest.mark.integration, pytest.mark.browser]


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
