"""Old chunks on the tiers that have them: the empty go, and on Community the others become columns.

Background jobs of TimescaleDB exist in the Community edition only, so nothing here uses them: the
server's own upkeep calls these functions on every tier. On plain PostgreSQL they find nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import psycopg
from psycopg import sql

from server.store.database import Database, Transaction
from server.store.hypertables import TABLES

# Longer than a gateway is usually away; what comes even later gets a new chunk.
EMPTY_AGE_MIN = timedelta(days=60)
LOCK_WAIT_MAX_MS = 2000


async def has_timescale(tx: Transaction) -> bool:
    """Tell whether TimescaleDB is used in this database, whichever edition."""
    cursor = await tx.execute("SELECT FROM pg_extension WHERE extname = 'timescaledb'")
    return await cursor.fetchone() is not None


async def drop_empty(database: Database, *, now: datetime) -> int:
    """Drop chunks of old weeks from which retention or an order took every row; return how many.

    Each in a transaction of its own, which holds the chunk alone while it looks and drops. A chunk
    that somebody writes to is left for the next time.
    """
    async with database.transaction() as tx:
        if not await has_timescale(tx):
            return 0
        cursor = await tx.execute(_OLD, (list(TABLES), now - EMPTY_AGE_MIN))
        old = await cursor.fetchall()
    dropped = 0
    for table, schema, name, begin, end in old:
        async with database.transaction() as tx:
            await tx.execute(
                "SELECT set_config('lock_timeout', %s, true)", (f"{LOCK_WAIT_MAX_MS}",)
            )
            dropped += await _drop_if_empty(tx, table, sql.Identifier(schema, name), begin, end)
    return dropped


async def _drop_if_empty(
    tx: Transaction, table: str, chunk: sql.Identifier, begin: datetime, end: datetime
) -> bool:
    try:
        async with tx.transaction():
            await tx.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(chunk))
    except (psycopg.errors.LockNotAvailable, psycopg.errors.UndefinedTable):
        return False  # somebody writes to it, or it is gone already
    cursor = await tx.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(chunk))
    if await cursor.fetchone() != (False,):
        return False
    await tx.execute(
        "SELECT drop_chunks(%s::regclass, older_than => %s::timestamptz,"
        " newer_than => %s::timestamptz)",
        (table, end, begin),
    )
    return True


_OLD = """
SELECT hypertable_name, chunk_schema, chunk_name, range_start, range_end
FROM timescaledb_information.chunks
WHERE hypertable_schema = current_schema() AND hypertable_name = ANY(%s) AND range_end < %s
ORDER BY range_end
"""
