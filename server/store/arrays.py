"""Many values to PostgreSQL at once, in its own binary format: arrays, columns, and single fields.

The driver turns a Python list into an array one element at a time through text; for a batch of
values that costs more than everything else here together. So each is written as PostgreSQL reads
it (its documentation: "COPY", binary format; ``array_send``, ``timestamptz_send`` and their like).

What a column cannot hold is the sender's data: it raises DataRefused, as the database would.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.abc import AdaptContext
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format

from server.store.errors import DataRefused

# PostgreSQL counts microseconds from here.
_EPOCH_UTC = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001 - a device's own time has no zone
_MICROSECOND = timedelta(microseconds=1)

# One field of a row: its length, then its bytes; this length says that there is nothing.
NULL = b"\xff\xff\xff\xff"
_LENGTH = struct.Struct("!i")
_INT2 = struct.Struct("!ih")
_INT4 = struct.Struct("!ii")
_INT8 = struct.Struct("!iq")
_FLOAT8 = struct.Struct("!id")
_JSONB_VERSION = b"\x01"
_TEXT_OID = 25

# Types by the names of pg_type: the element's oid, the array's, and how numpy writes one element.
_TYPES: dict[str, tuple[int, int, str]] = {
    "bool": (16, 1000, "?"),
    "int2": (21, 1005, ">i2"),
    "int4": (23, 1007, ">i4"),
    "int8": (20, 1016, ">i8"),
    "float8": (701, 1022, ">f8"),
    "timestamptz": (1184, 1185, ">i8"),
    "uuid": (2950, 2951, "V16"),
}


@dataclass(frozen=True, slots=True)
class Array:
    """A one-dimensional array, ready to be sent; a parameter like any other."""

    oid: int
    payload: bytes


class _ArrayDumper(Dumper):
    """Hands an :class:`Array` to the driver with its own type."""

    format = Format.BINARY

    def __init__(self, cls: type, context: AdaptContext | None = None, oid: int = 0) -> None:
        super().__init__(cls, context)
        if oid:
            self.oid = oid

    def get_key(self, obj: Any, _format: Any) -> Any:
        return (self.cls, obj.oid)

    def upgrade(self, obj: Any, _format: Any) -> _ArrayDumper:
        return _ArrayDumper(self.cls, oid=obj.oid)

    def dump(self, obj: Any) -> bytes:
        payload: bytes = obj.payload
        return payload


def adapters() -> AdaptersMap:
    """Return the driver's adapters with :class:`Array` among them."""
    known = AdaptersMap(psycopg.adapters)
    known.register_dumper(Array, _ArrayDumper)
    return known


def array(type_name: str, values: Sequence[Any] | npt.NDArray[Any]) -> Array:
    """Return ``values``, none of them missing, as an array of ``int2`` … ``timestamptz``.

    Times are given as :func:`microseconds`. Use :func:`uuids` for uuids.
    """
    try:
        return _array(type_name, np.array(values, dtype=_TYPES[type_name][2]))
    except OverflowError as error:
        raise DataRefused(f"a number is too large for {type_name}") from error


def uuids(values: Iterable[bytes]) -> Array:
    """Return 16 bytes each as an array of uuids."""
    return _array("uuid", np.frombuffer(b"".join(values), dtype="V16"))


def nullable_floats(values: Sequence[float | None]) -> Array:
    """Return numbers, some of them missing, as an array of ``float8``."""
    fields = [NULL if value is None else _FLOAT8.pack(8, value) for value in values]
    return Array(_TYPES["float8"][1], _head(len(fields), 701, has_null=True) + b"".join(fields))


def nullable_times(values: npt.NDArray[np.int64]) -> Array:
    """Return :func:`microseconds`, :data:`MISSING` of them as nulls, as ``timestamptz[]``."""
    if MISSING not in values:
        return array("timestamptz", values)
    fields = [NULL if value == MISSING else _INT8.pack(8, value) for value in values.tolist()]
    element, oid, _ = _TYPES["timestamptz"]
    return Array(oid, _head(len(fields), element, has_null=True) + b"".join(fields))


def _array(type_name: str, values: npt.NDArray[Any]) -> Array:
    element, oid, dtype = _TYPES[type_name]
    width = np.dtype(dtype).itemsize
    fields = np.empty(len(values), dtype=[("length", ">i4"), ("value", dtype)])
    fields["length"] = width
    fields["value"] = values
    return Array(oid, _head(len(values), element) + fields.tobytes())


def _head(length: int, element: int, *, has_null: bool = False) -> bytes:
    # Dimensions, whether there are nulls, element type, and of the one dimension length and start.
    if length == 0:
        return struct.pack("!iii", 0, has_null, element)
    return struct.pack("!iiiii", 1, has_null, element, length, 1)


def microseconds(time: datetime) -> int:
    """Return a time, with a zone or local without one, as PostgreSQL counts it."""
    return (time - (_EPOCH if time.tzinfo is None else _EPOCH_UTC)) // _MICROSECOND


# In a column of numbers or times: there is none. PostgreSQL's -infinity, which nobody sends.
MISSING = -(2**63)


def numbers_or_missing(values: Sequence[int | None]) -> npt.NDArray[np.int64]:
    """Return whole numbers, :data:`MISSING` for None."""
    try:
        return np.array([MISSING if value is None else value for value in values], np.int64)
    except OverflowError as error:
        raise DataRefused("a number is larger than a bigint") from error


def times_or_missing(times: Sequence[datetime | None]) -> npt.NDArray[np.int64]:
    """Return times, all with a zone or all without, as :func:`microseconds`; MISSING for None."""
    first = next((time for time in times if time is not None), None)
    epoch = _EPOCH if first is not None and first.tzinfo is None else _EPOCH_UTC
    counts = [MISSING if time is None else (time - epoch) // _MICROSECOND for time in times]
    return np.array(counts, np.int64)


# Fields of rows ----------------------------------------------------------------------------------


def int2_field(value: int | None) -> bytes:
    """Return one ``smallint``."""
    return NULL if value is None else _packed(_INT2, 2, value)


def int4_field(value: int | None) -> bytes:
    """Return one ``int``."""
    return NULL if value is None else _packed(_INT4, 4, value)


def bytes_field(value: bytes | None) -> bytes:
    """Return one ``bytea``, or any type whose bytes these are."""
    return NULL if value is None else _LENGTH.pack(len(value)) + value


@lru_cache(maxsize=4096)
def text_field(value: str | None) -> bytes:
    """Return one ``text``."""
    return NULL if value is None else bytes_field(value.encode())


@lru_cache(maxsize=4096)
def texts_field(values: tuple[str, ...]) -> bytes:
    """Return one ``text[]``."""
    fields = b"".join(text_field(value) for value in values)
    return bytes_field(_head(len(values), _TEXT_OID) + fields)


def jsonb_field(encoded: bytes) -> bytes:
    """Return one ``jsonb`` of a JSON text."""
    return bytes_field(_JSONB_VERSION + encoded)


def _packed(form: struct.Struct, width: int, value: int) -> bytes:
    try:
        return form.pack(width, value)
    except struct.error as error:
        raise DataRefused(f"{value} is too large for {width} bytes") from error
