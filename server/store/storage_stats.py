"""How much the store holds, where it stands and how it grows: for operators, without any person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import class_row

from server.store import counts, uid_runs
from server.store.database import Transaction
from server.store.uid_runs import Uids


@dataclass(frozen=True, slots=True)
class Index:
    """One index of a table (of all its chunks together) and its size."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Table:
    """A table's size; ``rows`` is the planner's estimate (-1: not known yet)."""

    name: str
    rows: int
    table_bytes: int
    index_bytes: int
    indexes: tuple[Index, ...]


@dataclass(frozen=True, slots=True)
class Growth:
    """Measurements stored in the last 24 hours and the last 7 days, and the bytes those may take.

    ``week_bytes`` is the share of today's bytes per measurement; an estimate.
    """

    day: int
    week: int
    week_bytes: int


@dataclass(frozen=True, slots=True)
class KindCount:
    """One kind: how many measurements in the last 30 days, and its newest."""

    kind: str
    rows: int
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class Chunks:
    """What TimescaleDB does here: chunks of one table, and how many of them are compressed."""

    table: str
    chunks: int
    compressed: int
    oldest: datetime | None
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class Stats:
    """Everything at one moment; ``timescale`` is the extension's version and licence, or None."""

    rows: dict[str, int]
    database_bytes: int
    tables: tuple[Table, ...]
    growth: Growth
    oldest: datetime | None
    newest: datetime | None
    kinds: tuple[KindCount, ...]
    quarantine: dict[str, int]
    gateways: dict[str, int]
    timescale: str | None
    chunks: tuple[Chunks, ...]
    uids: Uids


async def stats(tx: Transaction, *, at: datetime) -> Stats:
    """Look at everything as of ``at``."""
    timescale = await _timescale(tx)
    tables = await _tables(tx, has_chunks=timescale is not None)
    rows = await counts.row_counts(tx)
    oldest, newest = await _one(tx, "SELECT min(measured_at), max(measured_at) FROM measurement")
    (size,) = await _one(tx, "SELECT pg_database_size(current_database())")
    return Stats(
        rows=rows,
        database_bytes=size,
        tables=tables,
        growth=await _growth(tx, tables, rows["measurement"], at),
        oldest=oldest,
        newest=newest,
        kinds=await _kinds(tx, at),
        quarantine=await _pairs(
            tx, "SELECT reason, sum(times)::bigint FROM quarantine GROUP BY 1 ORDER BY 1"
        ),
        gateways=await _pairs(tx, "SELECT state, count(*) FROM gateway GROUP BY 1 ORDER BY 1"),
        timescale=timescale,
        chunks=await _chunks(tx) if timescale else (),
        uids=await uid_runs.state(tx),
    )


async def _growth(
    tx: Transaction, tables: tuple[Table, ...], measurements: int, at: datetime
) -> Growth:
    day, week = await _one(
        tx,
        "SELECT count(*) FILTER (WHERE stored_at >= %s), count(*) FROM measurement"
        " WHERE stored_at >= %s AND stored_at <= %s",
        (at - timedelta(days=1), at - timedelta(days=7), at),
    )
    growing = ("measurement", "observation", "item_uid", "uid_run")
    size = sum(one.table_bytes + one.index_bytes for one in tables if one.name in growing)
    return Growth(day, week, size * week // max(1, measurements))


async def _kinds(tx: Transaction, at: datetime) -> tuple[KindCount, ...]:
    async with tx.cursor(row_factory=class_row(KindCount)) as cursor:
        await cursor.execute(
            "SELECT k.name AS kind, count(m.uid) AS rows, max(m.measured_at) AS newest"
            " FROM measurement m JOIN kind k ON k.id = m.kind_id"
            " WHERE m.measured_at >= %s AND m.type = 'value' GROUP BY 1 ORDER BY 2 DESC, 1",
            (at - timedelta(days=30),),
        )
        return tuple(await cursor.fetchall())


async def _tables(tx: Transaction, *, has_chunks: bool) -> tuple[Table, ...]:
    cursor = await tx.execute(_CHUNKED if has_chunks else _PLAIN)
    found: dict[str, tuple[int, int, list[Index]]] = {}
    for name, rows, table_bytes, index, index_bytes in await cursor.fetchall():
        indexes = found.setdefault(name, (rows, table_bytes, []))[2]
        if index is not None:
            indexes.append(Index(index, index_bytes))
    tables = [
        Table(name, rows, size, sum(one.bytes for one in indexes), tuple(indexes))
        for name, (rows, size, indexes) in found.items()
    ]
    return tuple(sorted(tables, key=lambda one: -(one.table_bytes + one.index_bytes)))


async def _chunks(tx: Transaction) -> tuple[Chunks, ...]:
    async with tx.cursor(row_factory=class_row(Chunks)) as cursor:
        await cursor.execute(
            'SELECT hypertable_name AS "table", count(*) AS chunks,'
            " count(*) FILTER (WHERE is_compressed) AS compressed,"
            " min(range_start) AS oldest, max(range_end) AS newest"
            " FROM timescaledb_information.chunks WHERE hypertable_schema = current_schema()"
            " GROUP BY 1 ORDER BY 1"
        )
        return tuple(await cursor.fetchall())


async def _timescale(tx: Transaction) -> str | None:
    row = await (
        await tx.execute(
            "SELECT extversion || ' ' || coalesce(current_setting('timescaledb.license', true), '')"
            " FROM pg_extension WHERE extname = 'timescaledb'"
        )
    ).fetchone()
    return None if row is None else str(row[0]).strip()


async def _pairs(tx: Transaction, statement: str) -> dict[str, int]:
    return dict(await (await tx.execute(statement.encode())).fetchall())


async def _one(tx: Transaction, statement: str, values: tuple[object, ...] = ()) -> tuple[Any, ...]:
    row = await (await tx.execute(statement.encode(), values)).fetchone()
    assert row is not None, "an aggregate always answers"
    return tuple(row)


_PLAIN = """
SELECT c.relname, c.reltuples::bigint, pg_table_size(c.oid), i.relname, pg_relation_size(i.oid)
FROM pg_class c
LEFT JOIN pg_index x ON x.indrelid = c.oid
LEFT JOIN pg_class i ON i.oid = x.indexrelid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
ORDER BY 1, 4
"""

# A hypertable's own relations are empty: sizes are those of its chunks. A chunk's index belongs to
# the table's index that is defined in the same words.
_CHUNKED = """
WITH parts AS (
    SELECT c.oid AS part, c.oid AS whole, c.relname AS name FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
    UNION ALL
    SELECT format('%I.%I', h.chunk_schema, h.chunk_name)::regclass,
           format('%I.%I', h.hypertable_schema, h.hypertable_name)::regclass, h.hypertable_name
    FROM timescaledb_information.chunks h WHERE h.hypertable_schema = current_schema()
), sizes AS (
    SELECT p.name, sum(greatest(c.reltuples, 0))::bigint AS rows,
           sum(pg_table_size(p.part))::bigint AS size
    FROM parts p JOIN pg_class c ON c.oid = p.part GROUP BY 1
), indexes AS (
    SELECT p.name, own.relname AS index, sum(pg_relation_size(x.indexrelid))::bigint AS size
    FROM parts p
    JOIN pg_index x ON x.indrelid = p.part
    JOIN pg_index y ON y.indrelid = p.whole
        AND substring(pg_get_indexdef(y.indexrelid) FROM ' USING .*')
          = substring(pg_get_indexdef(x.indexrelid) FROM ' USING .*')
    JOIN pg_class own ON own.oid = y.indexrelid
    GROUP BY 1, 2
)
SELECT s.name, s.rows, s.size, i.index, i.size
FROM sizes s LEFT JOIN indexes i USING (name) ORDER BY 1, 4
"""
