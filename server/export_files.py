"""Values as files: CSV by the standard library, Parquet by pyarrow where it is installed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from enum import StrEnum
from typing import IO, Any, Protocol

from server.console import NotDone
from server.store.exports import Row


class Format(StrEnum):
    """What a file may be."""

    CSV = "csv"
    PARQUET = "parquet"


class Writer(Protocol):
    """Takes rows, some at a time."""

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows."""


def writer(kind: Format, stream: IO[bytes]) -> AbstractContextManager[Writer]:
    """Return what writes such a file to ``stream``, which stays open; complete when it is left.

    Raises NotDone where a part is missing, before anything is written.
    """
    return _parquet(stream) if kind is Format.PARQUET else _csv(stream)


class _CsvWriter:
    def __init__(self, text: IO[str]) -> None:
        self._csv = csv.writer(text, lineterminator="\n")
        self._csv.writerow(Row._fields)

    def write(self, rows: Sequence[Row]) -> None:
        self._csv.writerows([_plain(value) for value in row] for row in rows)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return int(value) if isinstance(value, bool) else value


@contextmanager
def _csv(stream: IO[bytes]) -> Iterator[Writer]:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    try:
        yield _CsvWriter(text)
        text.flush()
    finally:
        text.detach()


class _ParquetWriter:
    def __init__(self, pa: Any, schema: Any, file: Any) -> None:
        self._pa, self._schema, self._file = pa, schema, file

    def write(self, rows: Sequence[Row]) -> None:
        columns = [list(column) for column in zip(*rows, strict=True)]
        columns[0] = [str(person) for person in columns[0]]
        arrays = [
            self._pa.array(column, type=field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        self._file.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))


@contextmanager
def _parquet(stream: IO[bytes]) -> Iterator[Writer]:
    # Fifty megabytes that few need: an extra of its own, loaded here only.
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise NotDone(
            "Parquet needs pyarrow; install it by: pip install 'hemma[export]'"
        ) from error
    schema = _schema(pa)
    with parquet.ParquetWriter(stream, schema, compression="zstd") as file:
        yield _ParquetWriter(pa, schema, file)


def _schema(pa: Any) -> Any:
    text, time = pa.dictionary(pa.int32(), pa.string()), pa.timestamp("us", tz="UTC")
    types = {"measured_at": time, "stored_at": time, "value": pa.float64(), "counts": pa.bool_()}
    nullable = {"value", "absent"}
    return pa.schema(
        [pa.field(name, types.get(name, text), nullable=name in nullable) for name in Row._fields]
    )
