"""When jobs are due: at night in Stockholm, spread, and again soon after a failure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from server.upkeep.schedule import every, nightly, retry_at

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_nightly_is_in_the_coming_night() -> None:
    assert nightly(lambda: 0.0)(NOON) == datetime(2026, 11, 23, 0, tzinfo=UTC)
    assert nightly(lambda: 0.5)(NOON) == datetime(2026, 11, 23, 2, tzinfo=UTC)
    before_one = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)
    assert nightly(lambda: 0.0)(before_one) == datetime(2026, 11, 23, 0, tzinfo=UTC)


def test_a_night_is_not_done_twice() -> None:
    during = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
    assert nightly(lambda: 0.99)(during) > during + timedelta(hours=20)


@pytest.mark.parametrize(
    ("noon", "night"),
    [
        (datetime(2026, 7, 1, 12, tzinfo=UTC), datetime(2026, 7, 1, 23, tzinfo=UTC)),
        (datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 3, 29, 0, tzinfo=UTC)),
        (datetime(2026, 10, 24, 12, tzinfo=UTC), datetime(2026, 10, 24, 23, tzinfo=UTC)),
    ],
)
def test_nights_are_stockholms(noon: datetime, night: datetime) -> None:
    assert nightly(lambda: 0.0)(noon) == night


def test_every_hour_more_or_less() -> None:
    for chance in (0.0, 0.5, 0.999):
        after = every(timedelta(hours=1), partial(float, chance))(NOON) - NOON
        assert timedelta(minutes=54) <= after < timedelta(minutes=66)


def test_failures_are_tried_again_less_and_less_often() -> None:
    pauses = [retry_at(NOON, failures, lambda: 0.5) - NOON for failures in range(1, 60)]
    assert pauses[:3] == [timedelta(minutes=10), timedelta(minutes=20), timedelta(minutes=40)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == timedelta(hours=12)
