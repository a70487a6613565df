"""What only Timescale Community has: daily aggregates that are kept, and old weeks in columns.

A database gets it when it is migrated (:func:`prepare`), the upkeep keeps it fresh. Nothing is
required of it: ``obs_daily`` has the same columns and the same rows on every tier.

The aggregate knows values only, not their flags, which are the measurement's. So a person's day on
which something does not count is left out of it and made from the values, as on the small tiers;
few days are. A correction that moves or removes a value changes ``observation`` and with it the
aggregate.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from server.store.database import Database, Transaction
from server.store.days import day_of, start_of

# As long as late values are usual a chunk stays in rows: writing into columns costs three times as
# much (research on chunks in docs/decisions/0019).
COLUMNS_AFTER = timedelta(days=14)
# Of the aggregate so much is brought up to date in one go.
REFRESH_STEP = timedelta(days=28)


def prepare(connection: psycopg.Connection[Any]) -> bool:
    """Make aggregate and column settings where the edition is Community; return whether it is.

    Harmless to repeat. ``connection`` is in autocommit, the values are in chunks already. The
    aggregate begins empty and answers from the values until the upkeep has filled it.
    """
    # Of a database without the extension its views cannot even be asked, so one after the other.
    if not (_has(connection, _IS_COMMUNITY) and _has(connection, _IS_IN_CHUNKS)):
        return False
    if not _has(connection, "SELECT WHERE to_regclass('obs_daily_kept') IS NOT NULL"):
        connection.execute(f"{_KEPT_HEAD} {KEPT} WITH NO DATA".encode())
    connection.execute(OVER_KEPT.encode())
    for table, order in _COLUMNS.items():
        connection.execute(
            sql.SQL(
                "ALTER TABLE {} SET (timescaledb.enable_columnstore = true,"
                " timescaledb.segmentby = 'patient_id', timescaledb.orderby = {})"
            ).format(sql.Identifier(table), sql.Literal(order))
        )
    return True


def _has(connection: psycopg.Connection[Any], statement: str) -> bool:
    return connection.execute(statement.encode()).fetchone() is not None


async def is_prepared(tx: Transaction) -> bool:
    """Tell whether this database has the aggregate."""
    cursor = await tx.execute("SELECT to_regclass('obs_daily_kept') IS NOT NULL")
    return await cursor.fetchone() == (True,)


async def refresh_daily(database: Database, *, now: datetime) -> int:
    """Bring the aggregate up to date, to the beginning of today; return in how many steps.

    Only what has changed is made anew, so a month in which nothing did costs next to nothing.
    """
    async with database.transaction() as tx:
        if not await is_prepared(tx):
            return 0
        cursor = await tx.execute("SELECT min(measured_at) FROM observation")
        row = await cursor.fetchone()
    if row is None or row[0] is None:
        return 0
    today, steps = day_of(now), 0
    first = day_of(row[0])
    async with database.session("daily") as session:
        while first < today:
            until = min(first + REFRESH_STEP, today)
            # Refused inside a transaction, so it cannot have parameters of the extended kind.
            await session.execute(
                sql.SQL("CALL refresh_continuous_aggregate('obs_daily_kept', {}, {})").format(
                    sql.Literal(start_of(first)), sql.Literal(start_of(until))
                )
            )
            first, steps = until, steps + 1
    return steps


async def turn_into_columns(database: Database, *, now: datetime) -> int:
    """Turn chunks of weeks that are over for a fortnight into columns; return how many."""
    async with database.transaction() as tx:
        if not await is_prepared(tx):
            return 0
        cursor = await tx.execute(_IN_ROWS, (list(_COLUMNS), now - COLUMNS_AFTER))
        chunks = [name for (name,) in await cursor.fetchall()]
    async with database.session("columns") as session:
        for name in chunks:
            await session.execute(
                sql.SQL("CALL convert_to_columnstore({}::regclass)").format(sql.Literal(name))
            )
    return len(chunks)


_IS_COMMUNITY = """
SELECT FROM pg_extension
WHERE extname = 'timescaledb' AND current_setting('timescaledb.license', true) = 'timescale'
"""
_IS_IN_CHUNKS = """
SELECT FROM timescaledb_information.hypertables
WHERE hypertable_schema = current_schema() AND hypertable_name = 'observation'
"""

# One segment a patient: 245 values a week in research, more than the hundred that columns need.
_COLUMNS = {
    "observation": "component_id, measured_at DESC, device_id",
    "measurement": "measured_at DESC, uid",
}

_KEPT_HEAD = """
CREATE MATERIALIZED VIEW obs_daily_kept
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
"""
KEPT = """
SELECT patient_id, component_id,
       time_bucket(INTERVAL '1 day', measured_at, 'Europe/Stockholm') AS starts_at,
       count(value) AS n, sum(value) AS sum, sum(value * value) AS sum_squares,
       min(value) AS min, max(value) AS max,
       first(value, measured_at) AS first, last(value, measured_at) AS last
FROM observation
WHERE patient_id IS NOT NULL AND value IS NOT NULL
GROUP BY patient_id, component_id, time_bucket(INTERVAL '1 day', measured_at, 'Europe/Stockholm')
"""
OVER_KEPT = """
CREATE OR REPLACE VIEW obs_daily AS
WITH doubtful AS NOT MATERIALIZED (
    SELECT DISTINCT patient_id, day_of(measured_at) AS day
    FROM measurement WHERE NOT is_counted(flags) AND patient_id IS NOT NULL
)
SELECT k.patient_id, k.component_id, day_of(k.starts_at) AS day, k.n::int AS n, k.sum,
       k.sum_squares, k.min, k.max, k.first, k.last, k.starts_at
FROM obs_daily_kept k
WHERE NOT EXISTS (SELECT FROM doubtful d
                  WHERE d.patient_id = k.patient_id AND d.day = day_of(k.starts_at))
UNION ALL
SELECT o.patient_id, o.component_id, d.day, count(*)::int, sum(o.value), sum(o.value * o.value),
       min(o.value), max(o.value), (array_agg(o.value ORDER BY o.measured_at, o.value))[1],
       (array_agg(o.value ORDER BY o.measured_at DESC, o.value DESC))[1], day_start(d.day)
FROM doubtful d
JOIN observation o ON o.patient_id = d.patient_id
 AND o.measured_at >= day_start(d.day) AND o.measured_at < day_start(d.day + 1)
WHERE o.value IS NOT NULL
  AND NOT EXISTS (SELECT FROM measurement m
                  WHERE m.patient_id = o.patient_id AND m.measured_at = o.measured_at
                    AND m.uid = o.uid AND NOT is_counted(m.flags))
GROUP BY o.patient_id, o.component_id, d.day
"""

_IN_ROWS = """
SELECT format('%%I.%%I', chunk_schema, chunk_name)
FROM timescaledb_information.chunks
WHERE hypertable_schema = current_schema() AND hypertable_name = ANY(%s)
  AND NOT is_compressed AND range_end < %s
ORDER BY range_end
"""
