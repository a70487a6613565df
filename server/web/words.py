"""Language: Swedish is what the templates are written in, English is a catalogue beside them.

Dates and numbers are written as the reader writes them, and in the time of the place where people
are treated (contract.md 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from enum import StrEnum
from importlib import resources
from io import BytesIO
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime, format_time
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import NullTranslations, Translations

ZONE = ZoneInfo("Europe/Stockholm")


class Language(StrEnum):
    """The languages of the pages."""

    SV = "sv"
    EN = "en"


class Words:
    """One language: its sentences, its dates and its numbers."""

    def __init__(self, language: Language, translations: NullTranslations) -> None:
        self.language = language
        self.translations = translations
        # English as it is written in Sweden: 24-hour clock, day before month.
        self._locale = Locale.parse("sv" if language is Language.SV else "en_GB")

    def text(self, message: str, **values: object) -> str:
        """Return a sentence in this language with its ``%(name)s`` filled in."""
        found = self.translations.gettext(message)
        return found % values if values else found

    def number(self, value: float, decimals: int = 0) -> str:
        """Write a number with its decimals, decimal comma in Swedish."""
        pattern = "0." + "0" * decimals if decimals else "0"
        return format_decimal(value, pattern, locale=self._locale).replace("-", "−")

    def clock(self, at: datetime) -> str:
        """Write the time of day."""
        return format_time(at, "HH:mm", tzinfo=ZONE, locale=self._locale)

    def day(self, at: datetime | date, *, year: bool = False) -> str:
        """Write a day with its weekday, such as ``sön 22 nov``."""
        local = at.astimezone(ZONE).date() if isinstance(at, datetime) else at
        pattern = "EEE d MMM y" if year else "EEE d MMM"
        return format_date(local, pattern, locale=self._locale).replace(".", "")

    def axis_day(self, at: datetime) -> str:
        """Write a day on a chart's axis, without weekday: every tick is a Monday."""
        return format_date(at.astimezone(ZONE), "d MMM", locale=self._locale).replace(".", "")

    def when(self, at: datetime, now: datetime) -> str:
        """Write a time so that it cannot be taken for another day's: ``10:42`` is always today."""
        local, today = at.astimezone(ZONE).date(), now.astimezone(ZONE).date()
        if local == today:
            return self.text("i dag %(time)s", time=self.clock(at))
        if local == today - timedelta(days=1):
            return self.text("i går %(time)s", time=self.clock(at))
        pattern = "EEE d MMM HH:mm" if local.year == today.year else "EEE d MMM y HH:mm"
        return format_datetime(at, pattern, tzinfo=ZONE, locale=self._locale).replace(".", "")

    def machine(self, at: datetime) -> str:
        """Write a time for the ``datetime`` attribute, in UTC."""
        return at.astimezone(ZoneInfo("UTC")).strftime("%Y-%m-%dT%H:%M:%SZ")


def load() -> Mapping[Language, Words]:
    """Read the catalogues that came with the package; compiled here, so none is out of date."""
    english = resources.files("server.web") / "locale/en/LC_MESSAGES/hemma.po"
    compiled = BytesIO()
    write_mo(compiled, read_po(BytesIO(english.read_bytes())))
    compiled.seek(0)
    return {
        Language.SV: Words(Language.SV, NullTranslations()),
        Language.EN: Words(Language.EN, Translations(compiled)),
    }


def language_of(cookie: str | None) -> Language:
    """Return the language chosen by the reader, Swedish until then."""
    return Language.EN if cookie == Language.EN else Language.SV
