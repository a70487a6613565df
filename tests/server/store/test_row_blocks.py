"""Rows written many at once have the bytes that PostgreSQL's documentation gives for one."""

from __future__ import annotations

import struct

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.store.row_blocks import Field, blocks

KINDS = {">i2": ("h", 2), ">i4": ("i", 4), ">i8": ("q", 8), ">f8": ("d", 8)}
COLUMNS = 9
AT = 7

rows_of_fields = st.lists(
    st.tuples(
        st.binary(min_size=16, max_size=16),
        st.none() | st.integers(-(2**15), 2**15 - 1),
        st.none() | st.integers(-(2**31), 2**31 - 1),
        st.none() | st.integers(-(2**62), 2**62),
        st.none() | st.floats(allow_nan=False),
    ),
    max_size=12,
)


def one_by_one(row: tuple[bytes, int | None, int | None, int | None, float | None]) -> bytes:
    uid, *numbers = row
    written = struct.pack("!hi16siq", COLUMNS, 16, uid, 8, AT)
    for (code, width), number in zip(KINDS.values(), numbers, strict=True):
        written += struct.pack("!i", -1) if number is None else b""
        written += b"" if number is None else struct.pack(f"!i{code}", width, number)
    return written


# A loaded machine is no fault: nothing here is about time.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=rows_of_fields)
def test_any_rows_are_the_same_written_together(
    rows: list[tuple[bytes, int | None, int | None, int | None, float | None]],
) -> None:
    uids = np.frombuffer(b"".join(row[0] for row in rows), "V16")
    fields = [Field("V16", uids), Field(">i8", AT)]
    for at, dtype in enumerate(KINDS, start=1):
        numbers = [row[at] for row in rows]
        filled = np.array([0 if one is None else one for one in numbers], dtype[1:])
        is_there = np.array([one is not None for one in numbers], bool)
        fields.append(Field(dtype, filled, is_there))
    found = {
        position: row
        for block in blocks(len(rows), fields, columns=COLUMNS)
        for position, row in block.rows()
    }
    assert found == {position: one_by_one(row) for position, row in enumerate(rows)}
