"""Is there a trend, and how steep: Theil and Sen's slope, Mann and Kendall's test.

Rules of this file: every pair counts once and none is sampled; times are real, so an irregular
series is not bent into a regular one; both answers come out of one matrix of pairs.

Definitions, so that another implementation can be held against this one:

- *Slope*: the median of (value j - value i) / (time j - time i) over pairs of different times
  (Theil 1950; pairs without a distance in time left out, Sen 1968). As ``scipy.stats.theilslopes``.
- *Intercept*: median(value) - slope * median(time) (Conover 1980), the value at time 0. scipy's
  ``method="separate"``. Give times relative to the moment that is asked about.
- *Interval*: of the N slopes in order, counted from 0, those at round((N - z*sigma) / 2) - 1 and
  round((N + z*sigma) / 2), halves to even, kept inside 0 … N - 1. sigma² = [n(n-1)(2n+5) - Σ
  t(t-1)(2t+5) over ties in value - the same over ties in time] / 18 (Sen 1968, 2.6). As scipy.
- *S*: pairs that rise minus pairs that fall (Mann 1945). A pair of one time counts as neither.
- *Variance of S*: Kendall 1975 with ties in value and in time. Without ties in time it is the
  usual one of ``pymannkendall.original_test``; with them that of ``scipy.stats.kendalltau``, and
  larger than sigma² above by the terms of the ties together.
- *z*: (S - 1) / sqrt(variance) for S > 0, (S + 1) / sqrt(variance) for S < 0, else 0: continuity
  correction (Gilbert 1987). *p*: two-sided, erfc(|z| / sqrt 2), which unlike 2 * (1 - cdf) does
  not run out of digits. The approximation is meant for more than ten values (Gilbert 1987).

Values close in time are not independent, and a long series finds every small slope significant: a
rule needs a least size of effect too (clinical.md 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from alerts.kernels.rows import (
    Bools,
    Floats,
    Ints,
    blocks,
    checked,
    median_of_sorted,
    packed,
    place_in_run,
)

# 1,770 pairs. Beyond, cost and memory grow with the square of what a window of home readings does
# not hold: collapse repeats, take a median a day, or shorten the window (clinical.md 2).
VALUES_MAX = 60


@dataclass(frozen=True, slots=True, eq=False)
class Trends:
    """The trend of each row; every field is (rows,).

    ``count`` is how many values counted. ``slope_per_s`` and its interval ``low_per_s`` to
    ``high_per_s`` are the value's unit per second (times 604,800 for a week), ``intercept`` the
    value's unit. ``is_bounded`` is False where the series is so short that the interval's ranks
    lie beyond the outermost slopes: it is then cut at those, and promises less than the
    confidence asked for; always so under five values at 95 %. ``score`` is Mann and Kendall's S,
    ``variance`` its variance.

    NaN: slope, intercept and interval without two different times; the interval also where ties
    in time and value leave no sigma; ``z`` and ``p`` with fewer than two values. Otherwise ``p`` is
    1 where nothing varies.
    """

    count: Ints
    slope_per_s: Floats
    intercept: Floats
    low_per_s: Floats
    high_per_s: Floats
    is_bounded: Bools
    score: Floats
    variance: Floats
    z: Floats
    p: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Ties:
    """Sums over groups of t equal numbers, (rows,): t(t-1)(2t+5), t(t-1)(t-2) and t(t-1)."""

    of_5: Floats
    of_3: Floats
    of_2: Floats


def trends(at_s: Floats, value: Floats, *, confidence: float = 0.95) -> Trends:
    """Return slope, interval and Mann–Kendall test of each row.

    Theil 1950, Sen 1968, Mann 1945, Kendall 1975, Gilbert 1987; the definitions stand above.

    Args:
        at_s: (rows, slots) float64, seconds since any one origin, in any order, NaN where there
            is nothing.
        value: (rows, slots) float64, in the quantity's unit, NaN where there is nothing. A slot
            counts when both are numbers.
        confidence: of the two-sided interval, between 0.5 and 1.

    Returns:
        One entry for each row, independent of the other rows, of order and of gaps.

    Raises:
        ValueError: shapes, dtypes or confidence are wrong, something is infinite, or a row has
            more than ``VALUES_MAX`` values.
    """
    if not 0.5 < confidence < 1.0:
        raise ValueError(f"confidence {confidence} is not between 0.5 and 1")
    counts = checked(at_s, value)
    count = counts.sum(axis=1, dtype=np.int64)
    longest = int(count.max(initial=0))
    if longest > VALUES_MAX:
        raise ValueError(f"{longest} values in a row, at most {VALUES_MAX}: shorten the window")
    deviate = -NormalDist().inv_cdf((1.0 - confidence) / 2.0)
    at_s, value = packed(at_s, counts, longest), packed(value, counts, longest)
    parts = list(blocks(longest * (longest - 1) // 2, len(count)))
    if len(parts) < 2:
        return _of_block(at_s, value, count, deviate)
    # Rows of a length side by side, so that short ones do not pay for the pairs of long ones.
    order = np.argsort(count, kind="stable")
    return _joined([_of_rows(at_s, value, count, deviate, order[part]) for part in parts], order)


def _of_rows(at_s: Floats, value: Floats, count: Ints, deviate: float, rows: Ints) -> Trends:
    width = int(count[rows[-1]])
    return _of_block(at_s[rows, :width], value[rows, :width], count[rows], deviate)


def _joined(parts: list[Trends], order: Ints) -> Trends:
    """Return the parts in the order of the rows given."""
    back = np.argsort(order, kind="stable")
    names = [field.name for field in fields(Trends)]
    return Trends(*(np.concatenate([getattr(p, name) for p in parts])[back] for name in names))


def _of_block(at_s: Floats, value: Floats, count: Ints, deviate: float) -> Trends:
    """Return the trends of rows that hold their values to the left."""
    when, worth = np.sort(at_s, axis=1), np.sort(value, axis=1)
    in_time, in_value = _ties(place_in_run(when)), _ties(place_in_run(worth))
    slopes = _slopes(at_s, value, has_ties=bool(in_time.of_2.any()))
    pairs = count * (count - 1) // 2 - (in_time.of_2 / 2.0).astype(np.int64)
    slope = median_of_sorted(slopes, pairs)
    intercept = median_of_sorted(worth, count) - slope * median_of_sorted(when, count) + 0.0
    eighteenfold = _eighteenfold(count, in_time, in_value)
    low, high, is_bounded = _interval(slopes, pairs, eighteenfold, deviate)
    variance = _kendall_variance(count, eighteenfold, in_time, in_value)
    score = ((slopes > 0.0).sum(axis=1) - (slopes < 0.0).sum(axis=1)).astype(np.float64)
    z, p = _test(score, variance, count)
    return Trends(count, slope, intercept, low, high, is_bounded, score, variance, z, p)


def _slopes(at_s: Floats, value: Floats, *, has_ties: bool) -> Floats:
    """Return the slopes of all pairs, sorted, NaN last: (rows, pairs)."""
    first, second = _pairs(at_s.shape[1])
    # take of each, then in place: a third of the time of slicing a pair matrix together.
    run = at_s.take(second, axis=1)
    run -= at_s.take(first, axis=1)
    rise = value.take(second, axis=1)
    rise -= value.take(first, axis=1)
    if has_ties:
        run[run == 0.0] = np.nan
    rise /= run
    rise.sort(axis=1)
    return rise


@lru_cache(maxsize=VALUES_MAX + 1)
def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    first, second = np.triu_indices(count, 1)
    return first, second


def _ties(place: Floats) -> _Ties:
    if not place.any():
        nothing = np.zeros(len(place))
        return _Ties(nothing, nothing, nothing)
    # With k equal ones before it, one more adds 6k(k+2) to t(t-1)(2t+5), and so on.
    return _Ties(
        of_5=(6.0 * place * (place + 2.0)).sum(axis=1),
        of_3=(3.0 * place * (place - 1.0)).sum(axis=1),
        of_2=(2.0 * place).sum(axis=1),
    )


def _eighteenfold(count: Ints, time: _Ties, value: _Ties) -> Floats:
    # Whole numbers below 2**53: exact, in whatever order they are summed.
    many = count.astype(np.float64)
    whole: Floats = many * (many - 1.0) * (2.0 * many + 5.0) - value.of_5 - time.of_5
    return whole


def _kendall_variance(count: Ints, eighteenfold: Floats, time: _Ties, value: _Ties) -> Floats:
    if not time.of_2.any():
        return eighteenfold / 18.0
    # Over one denominator all terms are whole numbers below 2**53, so that only the division
    # rounds, and a series in which nothing varies has a variance of exactly zero. Where the
    # denominator would be zero there are no groups of two or of three: any factor will do.
    many = count.astype(np.float64)
    twos, threes = np.maximum(many * (many - 1.0), 1.0), np.maximum(many - 2.0, 1.0)
    whole = eighteenfold * twos * threes
    whole += 9.0 * time.of_2 * value.of_2 * threes + 2.0 * time.of_3 * value.of_3
    variance: Floats = whole / (18.0 * twos * threes)
    return variance


def _interval(
    slopes: Floats, pairs: Ints, eighteenfold: Floats, deviate: float
) -> tuple[Floats, Floats, Bools]:
    """Return low, high, and whether both ranks lie among the slopes."""
    has = (pairs > 0) & (eighteenfold >= 0.0)
    if not has.any():
        nothing = np.full(len(pairs), np.nan)
        return nothing, nothing, has
    margin = deviate * np.sqrt(np.maximum(eighteenfold, 0.0) / 18.0)
    low = np.rint((pairs - margin) / 2.0).astype(np.int64) - 1
    high = np.rint((pairs + margin) / 2.0).astype(np.int64)
    last = np.maximum(pairs - 1, 0)
    each = np.arange(len(slopes))
    lowest = slopes[each, np.maximum(low, 0)] + 0.0
    highest = slopes[each, np.minimum(high, last)] + 0.0
    is_bounded = has & (low >= 0) & (high <= last)
    if has.all():
        return lowest, highest, is_bounded
    return np.where(has, lowest, np.nan), np.where(has, highest, np.nan), is_bounded


def _test(score: Floats, variance: Floats, count: Ints) -> tuple[Floats, Floats]:
    """Return z and p."""
    nearer = score - np.sign(score)  # zero for a score of one, as for none
    sure = np.where(variance > 0.0, variance, 1.0)  # nothing varies: the score is zero
    z = np.where(count > 1, nearer / np.sqrt(sure), np.nan) + 0.0
    p = np.array([math.erfc(abs(one) / math.sqrt(2.0)) for one in z.tolist()], dtype=np.float64)
    return z, p
