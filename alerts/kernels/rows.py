"""Series side by side: one row a series, NaN where there is nothing.

Rules of this file: times are float64 seconds since any one origin, which keep microseconds also
counted from 1970; a slot counts when both its time and its value are numbers; an infinite number is
a mistake of the caller's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]

# Measured (docs/bench-rules.md): a matrix of half a megabyte stays in a core's cache.
_ROWS_MAX, _CELLS_MAX = 256, 65_536


def checked(at_s: Floats, value: Floats) -> Bools:
    """Return which slots count.

    Args:
        at_s: (rows, slots), seconds since any one origin.
        value: (rows, slots), in the quantity's own unit.

    Returns:
        (rows, slots): True where neither is NaN.

    Raises:
        ValueError: not both two-dimensional float64 of one shape, or something infinite.
    """
    if at_s.shape != value.shape:
        raise ValueError(f"times {at_s.shape} and values {value.shape} differ in shape")
    counts: Bools = require_matrix(at_s) & require_matrix(value)
    return counts


def require_matrix(array: Floats) -> Bools:
    """Return which of ``array`` are numbers.

    Raises:
        ValueError: not two-dimensional float64, or something infinite.
    """
    if array.ndim != 2 or array.dtype != np.float64:
        raise ValueError(f"wants float64 (rows, slots), not {array.dtype} {array.shape}")
    numbers = np.isfinite(array)
    if not numbers.all() and np.isinf(array).any():
        raise ValueError("an infinite time or value")
    return numbers


def per_row(number: float | Floats, rows: int, name: str) -> Floats:
    """Return ``number`` as (rows, 1): one for all, or one for each row.

    Raises:
        ValueError: neither one number nor one a row, or not finite; ``name`` says which.
    """
    array = np.asarray(number, dtype=np.float64)
    if array.shape not in ((), (rows,)) or not np.isfinite(array).all():
        raise ValueError(f"{name} wants one finite number, or one for each of {rows} rows")
    return np.broadcast_to(array.reshape(-1, 1), (rows, 1))


def packed(array: Floats, counts: Bools, width: int) -> Floats:
    """Return (rows, width): what counts of each row to the left in its order, then NaN."""
    if array.shape[1] == width and counts.all():
        return array
    left = np.full((len(array), width), np.nan)
    left[np.arange(width) < counts.sum(axis=1)[:, None]] = array[counts]
    return left


def blocks(cells_a_row: int, rows: int) -> Iterator[slice]:
    """Cut ``rows`` into runs of at most 256, shorter where a row has more cells."""
    step = max(1, min(_ROWS_MAX, _CELLS_MAX // max(cells_a_row, 1)))
    return (slice(start, start + step) for start in range(0, rows, step))


def median_of_sorted(ordered: Floats, count: Ints) -> Floats:
    """Return the median of the first ``count`` of the last axis, which is sorted, NaN last.

    Args:
        ordered: (..., slots).
        count: (...), how many are numbers.

    Returns:
        (...): the middle one, or half the sum of the two in the middle (numpy's ``median``); NaN
        where ``count`` is 0. Never -0.0.
    """
    if ordered.shape[-1] == 0:
        return np.full(count.shape, np.nan)
    flat = ordered.reshape(-1, ordered.shape[-1])
    many = count.reshape(-1)
    row = np.arange(len(flat))
    low = flat[row, np.maximum(many - 1, 0) // 2]
    high = flat[row, np.minimum(many // 2, flat.shape[1] - 1)]
    middle: Floats = (low + high) / 2.0 + 0.0
    if not many.all():
        middle[many == 0] = np.nan
    return middle.reshape(count.shape)


def place_in_run(ordered: Floats) -> Floats:
    """Return how many equal numbers stand before each one in its sorted row: (rows, slots).

    NaN equals nothing, so its place is 0.
    """
    place = np.zeros(ordered.shape)
    if ordered.shape[1] < 2:
        return place
    same = ordered[:, 1:] == ordered[:, :-1]
    if not same.any():
        return place
    slot = np.arange(1.0, ordered.shape[1])
    start = np.maximum.accumulate(np.where(same, 0.0, slot), axis=1)
    place[:, 1:] = slot - start
    return place
