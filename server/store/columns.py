"""Many values from PostgreSQL at once, as numpy arrays; ``arrays.py`` is the way there.

A row at a time costs the driver more than the database needs to find it. So a statement gathers its
rows with ``array_agg`` and answers with one row of arrays, each of which is one copy to numpy.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg.adapt import Loader
from psycopg.pq import Format

from server.store.database import Transaction

# PostgreSQL counts from 2000-01-01, numpy from 1970-01-01.
_EPOCH_DAYS = 10_957
_EPOCH_US = _EPOCH_DAYS * 86_400_000_000
# Arrays by the oid of pg_type: how an element is on the wire, and the dtype it becomes.
_TYPES: dict[int, tuple[str, np.dtype[Any]]] = {
    1005: (">i2", np.dtype(np.int16)),
    1007: (">i4", np.dtype(np.int32)),
    1016: (">i8", np.dtype(np.int64)),
    1022: (">f8", np.dtype(np.float64)),
    1182: (">i4", np.dtype("datetime64[D]")),
    1185: (">i8", np.dtype("datetime64[us]")),
}
_ELEMENTS = {21: 1005, 23: 1007, 20: 1016, 701: 1022, 1082: 1182, 1184: 1185}
_HEAD = struct.Struct("!iiiii")
_HEAD_EMPTY = struct.Struct("!iii")

Column = npt.NDArray[Any]


class _ArrayLoader(Loader):
    """Reads a one-dimensional array without nulls."""

    format = Format.BINARY

    def load(self, data: bytes | bytearray | memoryview) -> Column:
        """Return a new array of the dtype that belongs to the element's type."""
        wire, dtype = _TYPES[self.oid]
        dimensions, _, element = _HEAD_EMPTY.unpack_from(data)
        if dimensions == 0:
            return np.empty(0, dtype)
        dimensions, has_null, element, length, _ = _HEAD.unpack_from(data)
        assert dimensions == 1, "a statement here gathers rows"
        assert not has_null, "a statement here gathers nothing that is missing"
        assert _ELEMENTS[element] == self.oid, "an array is of its elements"
        fields = np.frombuffer(
            data, dtype=[("length", ">i4"), ("value", wire)], count=length, offset=_HEAD.size
        )
        return _native(fields["value"], dtype)


def _native(values: Column, dtype: np.dtype[Any]) -> Column:
    if dtype == np.dtype("datetime64[D]"):
        return (values.astype(np.int64) + _EPOCH_DAYS).view("datetime64[D]")
    if dtype == np.dtype("datetime64[us]"):
        return (values.astype(np.int64) + _EPOCH_US).view("datetime64[us]")
    return values.astype(dtype)


async def fetch_columns(
    tx: Transaction, statement: str, parameters: Mapping[str, object]
) -> tuple[Column, ...]:
    """Run a statement that answers with one row of arrays, and return them.

    ``smallint[]`` comes as int16, ``int[]`` as int32, ``bigint[]`` as int64, ``float8[]`` as
    float64, ``date[]`` as datetime64[D], ``timestamptz[]`` as datetime64[us] in UTC. None of them
    may hold a null: the statement says what stands for what is missing.
    """
    rows = await fetch_rows_of_columns(tx, statement, parameters)
    assert len(rows) == 1, "an aggregate answers with one row"
    return rows[0]


async def fetch_rows_of_columns(
    tx: Transaction, statement: str, parameters: Mapping[str, object]
) -> list[tuple[Any, ...]]:
    """Return rows, their arrays as in :func:`fetch_columns`, everything else as ever."""
    async with tx.cursor(binary=True) as cursor:
        for oid in _TYPES:
            cursor.adapters.register_loader(oid, _ArrayLoader)
        # Never prepared: the plan for one day is not the plan for a year.
        await cursor.execute(statement.encode(), parameters, prepare=False)
        return await cursor.fetchall()
