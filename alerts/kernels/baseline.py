"""What is usual for this person, and what lies far from it.

Rules of this file: nothing is deleted, a value far out is flagged; MAD is the plain median absolute
deviation, not scaled to a standard deviation (``MAD_TO_SIGMA`` does that where it is wanted); it is
never taken to be smaller than a floor, because home readings are rounded and many of them equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from alerts.kernels.rows import Bools, Floats, Ints, blocks, checked, median_of_sorted, per_row

# Of a normal distribution: 1 / its 75th percentile (Hampel 1974).
MAD_TO_SIGMA = 1.4826

# Least MAD by the English key of the component, in its unit (clinical.md 2): home readings are
# rounded, and their MAD is often 0. Proposals, as every limit; for other quantities the rule says.
MAD_FLOORS = MappingProxyType(
    {
        "weight": 0.3,  # kg
        "systolic": 5.0,  # mm[Hg]
        "pulse": 4.0,  # /min
        "heart_rate": 4.0,  # /min
        "spo2": 1.0,  # %
        "temperature": 0.2,  # Cel
    }
)

# As alerts.rules.REPEATS_S: a person's repeats within this time are one reading.
REPEATS_S = 600.0


@dataclass(frozen=True, slots=True, eq=False)
class Baselines:
    """What is usual in each row; every field is (rows,).

    ``count`` is how many values lie in the window. ``median`` and ``mad`` (unscaled) are in the
    value's unit, ``spread`` is ``mad`` or the floor, whichever is larger. The last three are NaN
    where the window holds too few.
    """

    count: Ints
    median: Floats
    mad: Floats
    spread: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Collapsed:
    """Series with repeats made one; every field is (rows, slots).

    Groups stand to the left in order of time, then NaN and 0. ``at_s`` is when the last of a group
    was measured, ``value`` the median of the group, ``count`` how many it holds.
    """

    at_s: Floats
    value: Floats
    count: Ints


def baselines(
    at_s: Floats,
    value: Floats,
    window_s: tuple[float | Floats, float | Floats],
    *,
    floor: float | Floats,
    count_min: int,
) -> Baselines:
    """Return median and MAD of what lies in a window of time, for each row.

    Hampel 1974. For "the 28 days that ended 6 days before t" give (t - 28 d - 6 d, t - 6 d).

    Args:
        at_s: (rows, slots) float64, seconds since any one origin, in any order, NaN where there
            is nothing.
        value: (rows, slots) float64, in the quantity's unit, NaN where there is nothing.
        window_s: start and end in seconds since the same origin, each one number or (rows,). The
            start belongs to the window, the end does not.
        floor: least spread, in the value's unit, one number or (rows,), not negative
            (``MAD_FLOORS``).
        count_min: fewer values than this, at least 1, are no baseline.

    Returns:
        One entry for each row, independent of the other rows, of order and of gaps.

    Raises:
        ValueError: shapes or dtypes are wrong, something is infinite, the floor is negative,
            ``count_min`` is below 1, or a window ends before it starts.
    """
    counts = checked(at_s, value)
    rows = len(at_s)
    start, end = per_row(window_s[0], rows, "start"), per_row(window_s[1], rows, "end")
    least = _floor(floor, rows)
    if count_min < 1:
        raise ValueError("count_min below 1")
    if (start > end).any():
        raise ValueError("a window ends before it starts")
    inside = counts & (at_s >= start) & (at_s < end)
    count = inside.sum(axis=1, dtype=np.int64)
    enough = np.where(count >= count_min, count, 0)
    median, mad = _median_and_mad(np.where(inside, value, np.nan), enough)
    return Baselines(count=count, median=median, mad=mad, spread=np.maximum(mad, least[:, 0]))


def hampel_flags(
    at_s: Floats,
    value: Floats,
    *,
    before_s: float,
    after_s: float,
    threshold: float,
    floor: float | Floats,
    count_min: int,
) -> Bools:
    """Tell of each value whether it lies far from those near it in time. It flags, never deletes.

    Hampel 1974: |value - median| > threshold * 1.4826 * MAD of the window, MAD not below ``floor``.
    The value itself is part of its window.

    Args:
        at_s: (rows, slots) float64, seconds since any one origin, in any order, NaN where there
            is nothing.
        value: (rows, slots) float64, in the quantity's unit, NaN where there is nothing.
        before_s: how far back the window reaches, in seconds, itself included.
        after_s: how far ahead, in seconds, itself included. With 0 a value is judged by what
            came before alone, so that later values never change its flag.
        threshold: how many scaled MAD are far; 3 is usual.
        floor: least MAD, in the value's unit, one number or (rows,), not negative.
        count_min: in a window of fewer values than this, at least 1, nothing is flagged.

    Returns:
        (rows, slots): True where far; False where there is nothing.

    Raises:
        ValueError: shapes or dtypes are wrong, something is infinite or negative, or
            ``count_min`` is below 1.
    """
    counts = checked(at_s, value)
    least = _floor(floor, len(at_s))
    if count_min < 1:
        raise ValueError("count_min below 1")
    for number in (before_s, after_s, threshold):
        if not 0.0 <= number < np.inf:
            raise ValueError(f"{number} is negative or not finite")
    far = np.zeros(counts.shape, dtype=np.bool_)
    for block in blocks(at_s.shape[1] ** 2, len(at_s)):
        away = at_s[block, None, :] - at_s[block, :, None]
        near = counts[block, None, :] & (away >= -before_s) & (away <= after_s)
        count = near.sum(axis=2, dtype=np.int64)
        around = np.where(near, value[block, None, :], np.nan)
        median, mad = _median_and_mad(around, np.where(count >= count_min, count, 0))
        scale = MAD_TO_SIGMA * np.maximum(mad, least[block])
        far[block] = np.abs(value[block] - median) > threshold * scale
    return far & counts


def collapse_repeats(at_s: Floats, value: Floats, *, within_s: float = REPEATS_S) -> Collapsed:
    """Make repeats one value, their median.

    A group is a value and all that follow at most ``within_s`` after it, so that a group never
    becomes longer than that; the next value begins another one (clinical.md 2, preprocessing). The
    raw values stay with the caller: red rules read every one of them.

    Args:
        at_s: (rows, slots) float64, seconds since any one origin, in any order, NaN where there
            is nothing.
        value: (rows, slots) float64, in the quantity's unit, NaN where there is nothing.
        within_s: in seconds, inclusive; 0 makes values of exactly one time one.

    Returns:
        The groups of each row, independent of the other rows, of order and of gaps.

    Raises:
        ValueError: shapes or dtypes are wrong, something is infinite, or ``within_s`` is negative.
    """
    counts = checked(at_s, value)
    if not 0.0 <= within_s < np.inf:
        raise ValueError(f"within_s {within_s} is negative or not finite")
    made = Collapsed(
        at_s=np.full(counts.shape, np.nan),
        value=np.full(counts.shape, np.nan),
        count=np.zeros(counts.shape, dtype=np.int64),
    )
    if not counts.any():
        return made
    when = np.where(counts, at_s, np.nan)
    order = np.argsort(when, axis=1, kind="stable")
    when = np.take_along_axis(when, order, axis=1)
    group = _groups(when, within_s)
    worth = np.take_along_axis(np.where(counts, value, np.nan), order, axis=1)
    worth = np.take_along_axis(worth, np.lexsort((worth, group), axis=1), axis=1)
    _fill_groups(made, group, when, worth)
    return made


def _groups(when: Floats, within_s: float) -> Ints:
    """Return the number of each one's group from 0; what is not there has the number of slots."""
    group = np.full(when.shape, when.shape[1], dtype=np.int64)
    anchor, current = np.full(len(when), -np.inf), np.full(len(when), -1, dtype=np.int64)
    for slot in range(when.shape[1]):
        at = when[:, slot]
        begins = at - anchor > within_s
        anchor, current = np.where(begins, at, anchor), current + begins
        group[:, slot] = np.where(np.isnan(at), when.shape[1], current)
    return group


def _fill_groups(made: Collapsed, group: Ints, when: Floats, worth: Floats) -> None:
    present = group < group.shape[1]
    begins = present.copy()
    begins[:, 1:] &= group[:, 1:] != group[:, :-1]
    row, first = np.nonzero(begins)
    number = group[row, first]
    np.add.at(made.count, (np.nonzero(present)[0], group[present]), 1)
    many = made.count[row, number]
    middle = worth[row, first + (many - 1) // 2] + worth[row, first + many // 2]
    made.value[row, number] = middle / 2.0 + 0.0
    made.at_s[row, number] = when[row, first + many - 1]


def _median_and_mad(values: Floats, count: Ints) -> tuple[Floats, Floats]:
    """Return median and MAD over the last axis, NaN where ``count`` is 0."""
    median = median_of_sorted(np.sort(values, axis=-1), count)
    away = np.abs(values - median[..., None])
    return median, median_of_sorted(np.sort(away, axis=-1), count)


def _floor(floor: float | Floats, rows: int) -> Floats:
    least = per_row(floor, rows, "floor")
    if (least < 0.0).any():
        raise ValueError("a negative floor")
    return least
