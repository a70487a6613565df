"""When a job is due again. What is heavy is done at night, and never by all sites at one moment."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta

from server.store.days import STOCKHOLM, day_of

# A moment after the given one; what has not been done by then is done as soon as somebody can.
Due = Callable[[datetime], datetime]
Chance = Callable[[], float]

# Between the last evening round and the morning hour, when ten times as much comes.
NIGHT_FROM, NIGHT_HOURS = time(1), 4
JITTER = 0.1
RETRY_FIRST = timedelta(minutes=10)
RETRY_MAX = timedelta(hours=12)


def nightly(chance: Chance = random.random) -> Due:
    """Return a schedule with one moment in each of Stockholm's nights; ``chance`` is in [0, 1)."""

    def due(after: datetime) -> datetime:
        night = datetime.combine(day_of(after), NIGHT_FROM, STOCKHOLM)
        if night <= after:
            night = datetime.combine(day_of(after) + timedelta(days=1), NIGHT_FROM, STOCKHOLM)
        return night.astimezone(UTC) + chance() * timedelta(hours=NIGHT_HOURS)

    return due


def every(interval: timedelta, chance: Chance = random.random) -> Due:
    """Return a schedule of one moment an ``interval``, a tenth of it sooner or later."""
    return lambda after: after + interval * (1 - JITTER + 2 * JITTER * chance())


def retry_at(after: datetime, failures: int, chance: Chance = random.random) -> datetime:
    """Return when to try again what has failed ``failures`` times, this one included."""
    pause: timedelta = min(RETRY_FIRST * 2 ** min(failures - 1, 20), RETRY_MAX)
    return after + pause * (1 - JITTER + 2 * JITTER * chance())
