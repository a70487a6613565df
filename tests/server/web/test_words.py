"""Swedish and English: nothing untranslated, numbers and dates as the reader writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import server.web
from alerts.absence import TECHNICAL_RULES
from alerts.limits import Guardrail, Override
from alerts.plan import plan_for
from alerts.unjudged import NOT_JUDGED
from devices.kinds import COMPONENTS
from server.web import words
from server.web.nurse import flags, home_events
from server.web.site import own_path
from server.web.words import Language

FOLDER = Path(server.web.__file__).parent
NOW = datetime(2026, 11, 22, 9, 42, tzinfo=UTC)


def test_every_sentence_has_its_english() -> None:
    found = extract_from_dir(
        FOLDER,
        method_map=[("**.py", "python"), ("templates/**.html", "jinja2")],
        options_map={"templates/**.html": {"silent": "false"}},
        keywords={"text": None, "_": None, "gettext": None, "ngettext": (1, 2)},
    )
    used = {message for _, _, message, _, _ in found}
    # What is said elsewhere and shown here: the rules' sources and the catalogue's coded answers.
    own_weight = Override(401, Guardrail(yellow_high=80.0))
    used |= {rule.why for rule in plan_for([own_weight]).rules}
    used |= {rule.why for rule in (*TECHNICAL_RULES, NOT_JUDGED)}
    used |= {answer for one in COMPONENTS.values() for answer in one.ordinals}
    used |= set(flags.SAYINGS.values())
    told = home_events.SAYINGS.values()
    used |= {one.text for one in told} | {one.todo for one in told if one.todo}
    used |= {detail for detail in home_events.DETAILS.values() if detail}
    with (FOLDER / "locale/en/LC_MESSAGES/hemma.po").open("rb") as file:
        catalog = {message.id: message.string for message in read_po(file) if message.id}
    assert used == set(catalog)
    for string in catalog.values():
        assert all(string if isinstance(string, tuple) else (string,))


def test_numbers_have_the_readers_decimal_sign() -> None:
    books = words.load()
    assert books[Language.SV].number(81.04, 1) == "81,0"
    assert books[Language.EN].number(81.04, 1) == "81.0"
    assert books[Language.SV].number(-2.5, 1) == "−2,5"


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (timedelta(0), "i dag 10:42"),
        (timedelta(days=1), "i går 10:42"),
        (timedelta(days=2), "fre 20 nov 10:42"),
        (timedelta(days=40), "tis 13 okt 11:42"),
        (timedelta(days=400), "lör 18 okt 2025 11:42"),
    ],
)
def test_times_cannot_be_taken_for_another_days(ago: timedelta, said: str) -> None:
    assert words.load()[Language.SV].when(NOW - ago, NOW).replace(".", "") == said


@pytest.mark.parametrize(
    "given", [None, "", "https://evil.example", "//evil.example", "/\\evil.example", "javascript:1"]
)
def test_no_page_sends_people_away(given: str | None) -> None:
    assert own_path(given) == "/"


def test_own_paths_are_followed() -> None:
    assert own_path("/patient/1?sida=2#varden") == "/patient/1?sida=2#varden"
