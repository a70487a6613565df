"""Rows for ``COPY``, many at once: each column is laid into a numpy record beside the others.

``arrays.py`` says how one field is written; this writes the same bytes for all rows of a batch.
Rows in which the same columns are missing have the same shape, and are written together.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import psycopg

Column = npt.NDArray[Any]
_HEAD = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_END = struct.pack("!h", -1)


class Field(NamedTuple):
    """One column of a batch: how an element is written, all values, and which of them are there.

    ``dtype`` is big-endian, as PostgreSQL reads it. ``is_there`` None: all of them.
    """

    dtype: str
    values: Column | int
    is_there: Column | None = None


class Block(NamedTuple):
    """Rows of one shape: their positions in the batch, and the bytes of each, ``width`` of them."""

    positions: Column
    width: int
    data: bytes

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """Return each position with its row."""
        data, width = self.data, self.width
        for start, position in zip(
            range(0, len(data), width), self.positions.tolist(), strict=True
        ):
            yield position, data[start : start + width]


def blocks(count: int, fields: Sequence[Field], *, columns: int) -> list[Block]:
    """Return ``count`` rows that begin with ``fields``; ``columns`` is how many they will have.

    What is more of columns, the caller writes behind each row.
    """
    shapes = np.zeros(count, np.int64)
    for bit, field in enumerate(fields):
        if field.is_there is not None:
            shapes |= np.where(field.is_there, 0, 1 << bit)
    return [
        _block(np.flatnonzero(shapes == shape), fields, int(shape), columns)
        for shape in np.unique(shapes).tolist()
    ]


def _block(positions: Column, fields: Sequence[Field], shape: int, columns: int) -> Block:
    dtype = _row_type(tuple(field.dtype for field in fields), shape)
    rows = np.empty(len(positions), dtype)
    rows["columns"] = columns
    for bit, field in enumerate(fields):
        if shape >> bit & 1:
            rows[f"length{bit}"] = -1
            continue
        rows[f"length{bit}"] = np.dtype(field.dtype).itemsize
        values = field.values
        rows[f"value{bit}"] = values if isinstance(values, int) else values[positions]
    return Block(positions, dtype.itemsize, rows.tobytes())


@lru_cache(maxsize=256)
def _row_type(dtypes: tuple[str, ...], shape: int) -> np.dtype[Any]:
    parts: list[tuple[str, str]] = [("columns", ">i2")]
    for bit, dtype in enumerate(dtypes):
        parts.append((f"length{bit}", ">i4"))
        if not shape >> bit & 1:
            parts.append((f"value{bit}", dtype))
    return np.dtype(parts)


async def copy_rows(
    tx: psycopg.AsyncConnection[Any], table: str, columns: Sequence[str], rows: Sequence[bytes]
) -> None:
    """Append rows to ``table``; each is the number of ``columns`` and its fields in their order.

    Both names are the caller's own constants. For rows that are new: there is no ON CONFLICT.
    """
    if not rows:
        return
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
    async with tx.cursor() as cursor, cursor.copy(statement) as copy:
        await copy.write(b"".join((_HEAD, *rows, _END)))
