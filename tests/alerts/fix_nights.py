"""Nights as tests write them: a level for so many seconds, one value a second."""

from __future__ import annotations

import numpy as np

from alerts.desaturation import Percents, Times, Trace, falls, trace
from alerts.overnight import Overnight, overnight

EVENING = np.datetime64("2026-11-01T22:00:00", "us")
SECOND = np.timedelta64(1, "s")


def times(count: int, start: np.datetime64 = EVENING) -> Times:
    """So many seconds, one after the other."""
    return start + np.arange(count) * SECOND


def levels(*pieces: tuple[float, int]) -> Percents:
    """Each level for its number of seconds, one after the other."""
    return np.concatenate([np.full(seconds, level) for level, seconds in pieces])


def square(depth: float, seconds: int, base: float = 96.0, rest: int = 300) -> Percents:
    """A level, a square fall from it, and the level again."""
    return levels((base, rest), (base - depth, seconds), (base, rest))


def traced(values: Percents) -> Trace:
    """The values as a recording."""
    return trace(times(len(values)), values)


def count(values: Percents, points: int = 3) -> tuple[int, int]:
    """How many events and how many long falls the values hold."""
    found = falls(traced(values), points)
    return len(found.events), found.long_falls


def night(values: Percents) -> Overnight:
    """The summary of the values."""
    return overnight(times(len(values)), values)


def falling_night(events: int, hours: int = 8, depth: float = 4.0, seconds: int = 30) -> Percents:
    """So many square falls from 96 %, evenly over the hours."""
    each = hours * 3600 // events
    one = levels((96.0, each - seconds), (96.0 - depth, seconds))
    values = np.full(hours * 3600, 96.0)
    values[: each * events] = np.tile(one, events)
    return values
