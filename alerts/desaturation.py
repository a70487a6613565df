"""Falls in oxygen saturation in a series of one value a second.

Rules of this file; docs/overnight-oximetry.md has where each comes from and which are ours:

- a second counts as valid when it has a value of 50–100 %, nobody doubts it, and no jump that blood
  cannot make (more than 4 points a second) cuts it off together with less than a minute around it;
- the baseline is the highest level held for three seconds in the two minutes before, and since the
  last event ended;
- an event opens when the value lies 3 (or 4) points below the baseline, and closes when a level
  within one point of the baseline, or 3 (or 4) points above the lowest, is held for three seconds;
- it counts when it lasted 10–120 seconds from leaving the baseline. What has not returned by then
  is counted as a long fall instead, and is no part of any index;
- no event reaches across a longer gap than three seconds, or across a jump that stays.

Values are kept as whole tenths of a percent, so that 96.3 and 93.3 are three points apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from alerts.errors import ReadingError

Times = npt.NDArray[np.datetime64]
Percents = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Tenths = npt.NDArray[np.int16]
Indices = npt.NDArray[np.intp]

VALID_MIN_PERCENT = 50.0
VALID_MAX_PERCENT = 100.0
JUMP_POINTS_PER_S = 4
CUT_OFF_MAX_S = 60
BRIDGED_MAX_S = 3
HELD_S = 3
BASELINE_S = 120
RETURNED_POINTS = 1
DURATION_MIN_S = 10
DURATION_MAX_S = 120
NIGHT_MAX_S = 24 * 3600

_POINT = 10  # tenths
_NOTHING = np.int16(-1)


@dataclass(frozen=True, slots=True)
class Trace:
    """A recording laid out on whole seconds from its first sample.

    ``tenths`` is the value in tenths of a percent, -1 where no number came. ``is_valid`` tells the
    seconds that count; a second with a number that is not valid is an artefact.
    """

    tenths: Tenths
    is_valid: Bools

    @property
    def artefact_s(self) -> int:
        """Return how many seconds have a number that does not count."""
        return int(((self.tenths != _NOTHING) & ~self.is_valid).sum())


@dataclass(frozen=True, slots=True)
class Desaturation:
    """One fall and return.

    ``start_s`` is the second the value left its baseline, counted from the recording's first;
    ``duration_s`` the time until it was back.
    """

    start_s: int
    duration_s: int
    baseline_percent: float
    lowest_percent: float


@dataclass(frozen=True, slots=True)
class Falls:
    """What was found at one depth: the events, and how many falls had not returned in time."""

    events: tuple[Desaturation, ...]
    long_falls: int


def trace(at: Times, spo2_percent: Percents, is_doubted: Bools | None = None) -> Trace:
    """Lay samples out on seconds and mark which are valid.

    ``at`` datetime64 in any order, ``spo2_percent`` beside it with ``nan`` for a missing sample,
    ``is_doubted`` True where the device or a flag says that the value is not to be trusted (probe
    off, movement). Of several in a second one counts: not doubted before doubted, then the latest.
    Raises ReadingError where they span more than a day.
    """
    doubted = np.zeros(len(at), np.bool_) if is_doubted is None else is_doubted
    assert len(at) == len(spo2_percent) == len(doubted), "times, values and doubts differ in length"
    is_there = np.isfinite(spo2_percent)
    at, values, doubted = at[is_there], spo2_percent[is_there], doubted[is_there]
    if not len(at):
        return Trace(np.empty(0, np.int16), np.empty(0, np.bool_))
    ms = (at - at.min()).astype("timedelta64[ms]").astype(np.int64)
    second = (ms + 500) // 1000
    if int(second.max()) >= NIGHT_MAX_S:
        raise ReadingError("a night's recording spans more than a day")
    if bool((np.diff(second) <= 0).any()):
        order = np.lexsort((-values, ms, ~doubted, second))
        second, values, doubted = second[order], values[order], doubted[order]
        is_last = np.append(second[1:] != second[:-1], True)
        second, values, doubted = second[is_last], values[is_last], doubted[is_last]
    tenths = np.full(int(second[-1]) + 1, _NOTHING, np.int16)
    tenths[second] = np.rint(np.clip(values, 0, 1000) * _POINT)
    is_valid = np.zeros(len(tenths), np.bool_)
    is_valid[second] = ~doubted & (values >= VALID_MIN_PERCENT) & (values <= VALID_MAX_PERCENT)
    return Trace(tenths, _without_jumps(tenths, is_valid))


def falls(recording: Trace, points: int) -> Falls:
    """Find every fall of at least ``points`` percentage points in a recording."""
    events: list[Desaturation] = []
    long_falls = 0
    for start, values in _stretches(recording):
        found = _Search(start, values, points * _POINT)
        found.run()
        events += found.events
        long_falls += found.long_falls
    return Falls(tuple(events), long_falls)


def _without_jumps(tenths: Tenths, is_valid: Bools) -> Bools:
    """Take out what an impossible jump cuts off: spikes first, then what is as short as a minute.

    Spikes first, so that one of them does not make what lies before or after it look short.
    """
    kept = is_valid
    for longest_s in (HELD_S, CUT_OFF_MAX_S):
        valid, cuts, jumps = _cuts(tenths, kept)
        if not len(jumps):
            break
        first = valid[np.append(0, cuts)]
        last = valid[np.append(cuts, len(valid)) - 1]
        is_jump = np.isin(cuts, jumps)
        touches = np.append(False, is_jump) | np.append(is_jump, False)
        kept = kept.copy()
        for piece in np.flatnonzero(touches & (last - first < longest_s)).tolist():
            kept[first[piece] : last[piece] + 1] = False
    return kept


def _cuts(tenths: Tenths, is_valid: Bools) -> tuple[Indices, Indices, Indices]:
    """Return the valid seconds, which of them begin a new piece, and which of those by a jump."""
    valid = np.flatnonzero(is_valid)
    values = tenths[valid]
    apart = valid[1:] - valid[:-1]
    steps = np.abs(values[1:] - values[:-1])
    jumps = np.flatnonzero(steps > JUMP_POINTS_PER_S * _POINT * apart) + 1
    gaps = np.flatnonzero(apart > BRIDGED_MAX_S + 1) + 1
    return valid, np.union1d(jumps, gaps), jumps


def _stretches(recording: Trace) -> list[tuple[int, Tenths]]:
    """Return what can be read as one: where each stretch starts, and its values each second.

    Inside it the last value stands for at most three seconds without one.
    """
    valid, cuts, _ = _cuts(recording.tenths, recording.is_valid)
    if not len(valid):
        return []
    bounds = [0, *cuts.tolist(), len(valid)]
    seconds = np.arange(len(recording.tenths))
    latest = np.maximum.accumulate(np.where(recording.is_valid, seconds, 0))
    filled = recording.tenths[latest]
    return [
        (int(valid[low]), filled[int(valid[low]) : int(valid[high - 1]) + 1])
        for low, high in pairwise(bounds)
    ]


def _held(values: Tenths) -> Tenths:
    """Return the highest level that was held for three seconds around each second."""
    count = len(values)
    lowest = np.full(count + HELD_S - 1, _NOTHING, np.int16)
    if count >= HELD_S:
        lowest[HELD_S - 1 : count] = np.minimum.reduce(
            [values[i : count - HELD_S + 1 + i] for i in range(HELD_S)]
        )
    held: Tenths = np.maximum.reduce([lowest[i : count + i] for i in range(HELD_S)])
    return held


def _highest_before(held: Tenths) -> Tenths:
    """Return the highest of the two minutes before each second, not counting the second itself."""
    padded = np.concatenate([np.full(BASELINE_S, _NOTHING, np.int16), held[:-1]])
    width = 1
    while width < BASELINE_S:
        step = min(width, BASELINE_S - width)
        padded = np.maximum(padded[:-step], padded[step:])
        width += step
    return padded


class _Search:
    """The walk from event to event through one stretch; each step is a few slices."""

    def __init__(self, offset_s: int, values: Tenths, depth: int) -> None:
        self._offset_s, self._values, self._depth = offset_s, values, depth
        self._held = _held(values)
        self._deep = np.flatnonzero(values <= _highest_before(self._held) - depth)
        # The baseline is looked for from ``_since`` on, the next event from ``_cursor`` on.
        self._since = self._cursor = 0
        self.events: list[Desaturation] = []
        self.long_falls = 0

    def run(self) -> None:
        """Fill ``events`` and ``long_falls``."""
        while (opened := self._next_opening()) is not None:
            if not self._follow(opened):
                return

    def _next_opening(self) -> int | None:
        near_end = min(self._since + BASELINE_S, len(self._values))
        if self._cursor < near_end:
            highest = np.maximum.accumulate(self._held[self._since : near_end - 1])
            first = max(self._cursor, self._since + 1)
            below = self._values[first:near_end] <= highest[first - 1 - self._since :] - self._depth
            if below.any():
                return first + int(below.argmax())
        place = int(np.searchsorted(self._deep, max(self._cursor, near_end)))
        return int(self._deep[place]) if place < len(self._deep) else None

    def _follow(self, opened: int) -> bool:
        """Follow one fall to its end. Return False where the stretch ends before that is known."""
        reach = max(self._since, opened - BASELINE_S)
        baseline = int(self._held[reach:opened].max())
        returned = baseline - RETURNED_POINTS * _POINT
        start = reach + int(np.flatnonzero(self._values[reach:opened] >= returned)[-1]) + 1
        limit = start + DURATION_MAX_S
        lowest = np.minimum.accumulate(self._values[opened : limit + 1])
        level = self._held[opened : limit + 1]
        is_back = (level >= returned) | (level >= lowest + self._depth)
        if not is_back.any():
            if limit >= len(self._values):
                return False
            self.long_falls += 1
            self._since = self._cursor = limit
            return True
        after = int(is_back.argmax())
        self._cursor = opened + after
        if self._cursor - start >= DURATION_MIN_S:
            self._since = self._cursor
            self.events.append(
                Desaturation(
                    self._offset_s + start,
                    self._cursor - start,
                    baseline / _POINT,
                    int(lowest[after]) / _POINT,
                )
            )
        return True
