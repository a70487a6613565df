"""Slow change, followed with a few numbers a person: two averages of different memory, and sums.

Rules of this file: (state, samples) -> (state, outputs); a state is all that is needed to carry on,
so samples given one by one and all together give the same numbers, bit for bit; memory fades by
elapsed time and not by sample; one wild value moves nothing far; nothing here decides.

Bit for bit means on one kind of machine: the exponential is numpy's, and its last bit may differ
between processors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alerts.kernels.rows import Bools, Floats, checked, per_row, require_matrix


@dataclass(frozen=True, slots=True, eq=False)
class AverageState:
    """Two averages of each row; every field is (rows,) float64.

    ``at_s`` is when the newest sample was measured, in seconds since the caller's one origin,
    ``fast`` and ``slow`` the averages in the value's unit. All three are NaN before any sample.
    """

    at_s: Floats
    fast: Floats
    slow: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Averages:
    """The averages after each sample, (rows, slots) in the value's unit; NaN where no sample was.

    ``gap`` is fast minus slow: the drift, positive when rising.
    """

    fast: Floats
    slow: Floats
    gap: Floats


@dataclass(frozen=True, slots=True, eq=False)
class SumState:
    """Two cumulative sums of each row, (rows,) float64, in units of z and never negative.

    ``high`` grows with values above what is usual, ``low`` with values below.
    """

    high: Floats
    low: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """The cumulative sums after each sample, (rows, slots) in units of z; NaN where no sample was.

    A rule fires where one is above its limit h.
    """

    high: Floats
    low: Floats


def unseen(rows: int) -> AverageState:
    """Return the state of ``rows`` series nobody has seen: the first sample becomes both averages.

    A first sample that is wild is then forgotten only as slowly as clipping allows; where a
    baseline is known, begin there with ``begun_at``.
    """
    return AverageState(at_s=_nothing(rows), fast=_nothing(rows), slow=_nothing(rows))


def begun_at(at_s: Floats, level: Floats) -> AverageState:
    """Return a state in which both averages are ``level``.

    Args:
        at_s: (rows,) float64, when that was so, in seconds since the caller's one origin.
        level: (rows,) float64, in the value's unit, the median of a baseline for instance. Rows
            where either is NaN are as unseen.

    Raises:
        ValueError: not two float64 (rows,), or something infinite.
    """
    known = checked(np.atleast_2d(at_s), np.atleast_2d(level))[0]
    if at_s.ndim != 1:
        raise ValueError(f"wants (rows,), not {at_s.shape}")
    at, both = np.where(known, at_s, np.nan), np.where(known, level, np.nan)
    return AverageState(at_s=at, fast=both, slow=both)


def averages(
    state: AverageState,
    at_s: Floats,
    value: Floats,
    *,
    tau_s: tuple[float, float],
    clip: float | Floats,
) -> tuple[AverageState, Averages]:
    """Move a fast and a slow average by samples, in the order given.

    Each becomes average + (1 - exp(-dt / tau)) * clipped(value - average), with dt the time since
    the sample before: exponential smoothing of irregular samples, whose innovations are cut at
    ±``clip`` (Huber 1964, his psi). A second sample of one time has dt 0 and changes nothing:
    collapse repeats first. After a real step the averages need several samples, ``clip`` at most
    for each.

    Args:
        state: what the samples before left.
        at_s: (rows, slots) float64, seconds since the origin of the state, not falling along a
            row; NaN where there is nothing.
        value: (rows, slots) float64, in the quantity's unit, NaN where there is nothing. A slot
            without both leaves the state as it was.
        tau_s: memory of the fast and of the slow average, in seconds, 0 < fast < slow.
        clip: largest innovation, above 0, in the value's unit, one number or (rows,); a few times
            the baseline's spread.

    Returns:
        The state to carry on with, and the averages after each sample.

    Raises:
        ValueError: shapes, dtypes or numbers are wrong, something is infinite, or a sample is
            older than one before it. A late sample needs the state from before its time.
    """
    counts = checked(at_s, value)
    rows, slots = at_s.shape
    most = per_row(clip, rows, "clip")[:, 0]
    if state.at_s.shape != (rows,):
        raise ValueError(f"a state of {len(state.at_s)} rows for samples of {rows}")
    if not 0.0 < tau_s[0] < tau_s[1] < np.inf or not (most > 0.0).all():
        raise ValueError(f"wants 0 < fast < slow and clip above 0, not {tau_s}")
    _require_order(state.at_s, np.where(counts, at_s, np.nan))
    fast, slow = np.full((rows, slots), np.nan), np.full((rows, slots), np.nan)
    for slot in range(slots):
        seen = counts[:, slot]
        state = _averaged(state, (at_s[:, slot], value[:, slot], seen), tau_s, most)
        fast[:, slot] = np.where(seen, state.fast, np.nan)
        slow[:, slot] = np.where(seen, state.slow, np.nan)
    return state, Averages(fast=fast, slow=slow, gap=fast - slow)


def _averaged(
    state: AverageState,
    sample: tuple[Floats, Floats, Bools],
    tau_s: tuple[float, float],
    clip: Floats,
) -> AverageState:
    at_s, value, seen = sample
    is_first = np.isnan(state.at_s)
    elapsed = np.where(is_first | ~seen, 0.0, at_s - state.at_s)
    moved: list[Floats] = []
    for tau, average in zip(tau_s, (state.fast, state.slow), strict=True):
        # Contiguous on purpose: numpy's exponential takes another way through strided memory.
        weight = 1.0 - np.exp(np.ascontiguousarray(-elapsed / tau))
        step = weight * np.clip(value - average, -clip, clip)
        moved.append(np.where(seen, np.where(is_first, value, average + step), average))
    return AverageState(at_s=np.where(seen, at_s, state.at_s), fast=moved[0], slow=moved[1])


def _require_order(since: Floats, at_s: Floats) -> None:
    """Raise ValueError where a time is before one to its left, or before ``since``."""
    known = np.concatenate((since[:, None], at_s), axis=1)
    known = np.where(np.isnan(known), -np.inf, known)
    if (known[:, 1:] < np.maximum.accumulate(known, axis=1)[:, :-1])[~np.isnan(at_s)].any():
        raise ValueError("a sample is older than one before it")


def at_rest(rows: int) -> SumState:
    """Return the sums of ``rows`` series of which nothing has been seen: zero."""
    return SumState(high=np.zeros(rows), low=np.zeros(rows))


def cumulative_sums(
    state: SumState,
    z: Floats,
    *,
    slack: float,
    clip: float,
    resets: Bools | None = None,
) -> tuple[SumState, Sums]:
    """Add up how far samples lie from what is usual, in the order given.

    Page 1954, both sides: high becomes max(0, high + z - slack), low max(0, low - z - slack), with
    z first cut to ±``clip`` (Huber 1964, his psi), so that one wild value alone lifts a sum by no
    more than ``clip`` - ``slack``.

    Args:
        state: what the samples before left.
        z: (rows, slots) float64, (value - median) / (1.4826 * spread) of each sample's own
            baseline; NaN where there is nothing, which leaves the sums as they were.
        slack: what is forgiven in each sample, in units of z, not negative; usually half the
            smallest shift worth finding.
        clip: largest z, above ``slack``.
        resets: (rows, slots) bool, True where the sums begin again at zero before that slot's
            sample, whether it has one or not: when somebody took the alert, or closed it.

    Returns:
        The state to carry on with, and the sums after each sample.

    Raises:
        ValueError: shapes, dtypes or numbers are wrong, or something is infinite.
    """
    require_matrix(z)
    rows, slots = z.shape
    begin = np.zeros(z.shape, dtype=np.bool_) if resets is None else resets
    if begin.shape != z.shape or begin.dtype != np.bool_ or state.high.shape != (rows,):
        raise ValueError("state, samples and resets differ in shape")
    if not 0.0 <= slack < clip < np.inf:
        raise ValueError(f"wants 0 <= slack < clip, not {slack} and {clip}")
    high, low = np.full(z.shape, np.nan), np.full(z.shape, np.nan)
    for slot in range(slots):
        state = _summed(state, np.clip(z[:, slot], -clip, clip), begin[:, slot], slack)
        seen = ~np.isnan(z[:, slot])
        high[:, slot] = np.where(seen, state.high, np.nan)
        low[:, slot] = np.where(seen, state.low, np.nan)
    return state, Sums(high=high, low=low)


def _summed(state: SumState, z: Floats, begin: Bools, slack: float) -> SumState:
    seen = ~np.isnan(z)
    high, low = np.where(begin, 0.0, state.high), np.where(begin, 0.0, state.low)
    return SumState(
        high=np.where(seen, np.maximum(0.0, high + z - slack), high),
        low=np.where(seen, np.maximum(0.0, low - z - slack), low),
    )


def _nothing(rows: int) -> Floats:
    return np.full(rows, np.nan)
