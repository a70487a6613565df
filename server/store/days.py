"""Days as care counts them: of Europe/Stockholm, 23 to 25 hours long (contract.md 5)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

STOCKHOLM = ZoneInfo("Europe/Stockholm")
_ONE = timedelta(days=1)


def start_of(day: date) -> datetime:
    """Return when ``day`` begins, in UTC; as ``day_start`` of 0009_reads.sql."""
    return datetime.combine(day, time(), STOCKHOLM).astimezone(UTC)


def day_of(at: datetime) -> date:
    """Return the day that ``at`` lies in; as ``day_of`` of 0009_reads.sql."""
    return at.astimezone(STOCKHOLM).date()


def each_day(first: date, last: date) -> Iterator[tuple[date, datetime, datetime]]:
    """Yield each day from ``first`` to ``last`` with its beginning and its end."""
    day = first
    while day <= last:
        yield day, start_of(day), start_of(day + _ONE)
        day += _ONE
