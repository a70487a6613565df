"""Many random series as a patient's home gives them: irregular, rounded, gappy, of any length."""

import numpy as np

from alerts.kernels.rows import Floats

_DAY_S = 86_400.0
_EPOCH_S = 1_795_000_000.0  # in 2026, counted from 1970


def random_series(
    seed: int, rows: int, slots: int, *, ties_in_time: bool = False, gaps: float = 0.25
) -> tuple[Floats, Floats]:
    """Return times and values, (rows, slots): each row another length, scatter and rounding.

    Rows are padded at random places; time or value or both are NaN there. Each has two values or
    more. Times are in no order, half of the rows counted from 1970 and half relative.
    """
    source = np.random.default_rng(seed)
    at_s = source.uniform(0.0, 30.0 * _DAY_S, (rows, slots))
    if ties_in_time:
        at_s = np.floor(at_s / _DAY_S / source.choice((0.5, 1.0, 5.0), (rows, 1))) * _DAY_S
    at_s += np.where(source.random((rows, 1)) < 0.5, _EPOCH_S, -30.0 * _DAY_S)
    step = source.choice((0.0, 0.1, 1.0, 5.0), (rows, 1))  # 0.0: as measured, hardly ever equal
    slope = source.normal(0.0, 2e-6, (rows, 1))
    value = 80.0 + slope * (at_s - at_s.min(axis=1, keepdims=True))
    value += source.normal(0.0, 1.0, (rows, slots))
    rounded = np.round(value / np.where(step > 0.0, step, 1.0)) * step
    value = np.where(step > 0.0, rounded, value)
    value[source.random(rows) < 0.02] = 80.0
    keep = source.random((rows, slots)) >= gaps * source.random((rows, 1)) * 2.0
    keep[:, :2] = True
    which = source.random((rows, slots))
    return np.where(keep | (which > 0.6), at_s, np.nan), np.where(
        keep | (which < 0.3), value, np.nan
    )


def present(at_s: Floats, value: Floats) -> tuple[Floats, Floats]:
    """Return what counts of one row, in order of time."""
    counts = ~(np.isnan(at_s) | np.isnan(value))
    order = np.argsort(at_s[counts], kind="stable")
    return at_s[counts][order], value[counts][order]
