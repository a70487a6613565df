"""Years of rows without waiting for them: the real tables, filled by SQL alone.

Values of all patients by turns over DAYS until an hour ago, in order of their arrival, with uids
that are as random as real ones, each week's in its epoch (``server/store/identity.py``). Indexes
are made anew afterwards, which is what makes it fast.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

DAYS: Final = 90
TABLES: Final = ("measurement", "observation", "item_uid")
# Component rows and items of three values in a row: a pressure, a weight, an oximetry.
COMPONENTS_PER_TURN: Final = 6
ITEMS_PER_TURN: Final = 3


def fill(url: str, rows: int, say: Callable[[str], None]) -> None:
    """Put ``rows`` component rows into an empty database of ours, with all that belongs to them."""
    items = rows // COMPONENTS_PER_TURN * ITEMS_PER_TURN
    values = {"items": items, "days": DAYS}
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    with _session(url, now) as db:
        rebuild = [one for table in TABLES for one in _indexes(db, table)]
        for drop, _ in rebuild:
            db.execute(drop)
        db.execute(_EPOCHS, values)
        say(f"  {rows:,} rows: uids, measurements and observations …")
        with ThreadPoolExecutor() as threads:
            filled = threads.map(
                lambda statement: _run(url, now, statement, values),
                (_UIDS, _MEASUREMENTS, _OBSERVATIONS),
            )
            list(filled)
        say(f"  {rows:,} rows: latest, indexes …")
        db.execute(_LATEST)
        db.execute("SELECT setval('received_seq', %s)", (max(items, 1),))
        for _, make in rebuild:
            db.execute(make)
        db.execute("VACUUM ANALYZE")
        db.execute("CHECKPOINT")


def _session(url: str, now: datetime) -> psycopg.Connection[Any]:
    """Open a connection that knows the pattern; ``now`` is the same for all of one history."""
    db = psycopg.connect(url, autocommit=True)
    db.execute("SET work_mem = '256MB'")
    db.execute("SET maintenance_work_mem = '1GB'")
    db.execute("SET synchronous_commit = off")
    db.execute(sql.SQL(_PATTERN).format(now=sql.Literal(now)))
    return db


def _run(url: str, now: datetime, statement: LiteralString, values: dict[str, int]) -> None:
    with _session(url, now) as db:
        db.execute(statement, values)


def _indexes(
    db: psycopg.Connection[Any], table: str
) -> list[tuple[sql.Composed, sql.SQL | sql.Composed]]:
    """Return what drops each index and each key of a table, and what makes it again."""
    found: list[tuple[sql.Composed, sql.SQL | sql.Composed]] = []
    for name, definition, key in db.execute(_INDEXES, (table,)).fetchall():
        if key is None:
            found.append((sql.SQL("DROP INDEX {}").format(sql.Identifier(name)), _text(definition)))
        else:
            change = sql.SQL("ALTER TABLE {} ").format(sql.Identifier(table))
            gone = change + sql.SQL("DROP CONSTRAINT {}").format(sql.Identifier(name))
            again = sql.SQL("ADD CONSTRAINT {} ").format(sql.Identifier(name))
            found.append((gone, change + again + _text(key)))
    return found


def _text(definition: str) -> sql.SQL:
    """Take a definition as the database itself wrote it."""
    return sql.SQL(definition)


_INDEXES: Final = """
SELECT c.relname, pg_get_indexdef(i.indexrelid), pg_get_constraintdef(k.oid)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u')
WHERE i.indrelid = %s::regclass
"""

# One line for each item: who, when, of which kind; the same whenever it is asked.
_PATTERN: Final = """
CREATE TEMP TABLE who AS
SELECT row_number() OVER (ORDER BY b.patient_id, d.id) - 1 AS place, b.patient_id,
       d.id AS device_id, g.id AS gateway_id, (g.boot)::uuid AS boot
FROM binding b JOIN device d ON d.id = b.device_id
JOIN LATERAL (
    SELECT id, 'aaaaaaaa-0000-4000-8000-' || lpad(id::text, 12, '0') AS boot FROM gateway
    ORDER BY id OFFSET b.patient_id % (SELECT count(*) FROM gateway) LIMIT 1
) g ON true;
ALTER TABLE who ADD PRIMARY KEY (place);
ANALYZE who;
CREATE TEMP TABLE part (turn int, kind_id smallint, component_id smallint, low float8);
INSERT INTO part VALUES
    (0, 1, 101, 110), (0, 1, 102, 70), (0, 1, 104, 60), (1, 4, 401, 60), (2, 2, 201, 92),
    (2, 2, 202, 60);
CREATE FUNCTION pg_temp.uid_of(bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
    AS $$ SELECT md5('bench ' || $1)::uuid $$;
CREATE FUNCTION pg_temp.time_of(n bigint, items bigint, days int) RETURNS timestamptz
    LANGUAGE sql STABLE AS $$ SELECT {now} - INTERVAL '1 hour'
               - make_interval(days => days)
               + make_interval(secs => n * (days * 86400.0 / items)) $$;
CREATE FUNCTION pg_temp.epoch_of(n bigint, items bigint, days int) RETURNS int
    LANGUAGE sql IMMUTABLE AS $$ SELECT 1 + (n * days / items / 7)::int $$;
"""
_EPOCHS: Final = """
WITH made AS (
    SELECT e, e * 7 < %(days)s AS has_ended, first_seq,
           pg_temp.time_of(first_seq, %(items)s, %(days)s) AS since
    FROM generate_series(1, (%(days)s + 6) / 7) e,
         LATERAL (SELECT (e - 1) * 7 * %(items)s::bigint / %(days)s AS first_seq) f
)
INSERT INTO uid_epoch (epoch, since, until, first_seq)
SELECT e, since, CASE WHEN has_ended THEN since + INTERVAL '7 days' END, first_seq FROM made
ON CONFLICT (epoch) DO UPDATE
    SET since = excluded.since, until = excluded.until, first_seq = excluded.first_seq
"""
_UIDS: Final = """
INSERT INTO item_uid (uid, stored_at, measured_at, identity, epoch)
SELECT pg_temp.uid_of(n), at, at, md5('identity ' || n)::uuid,
       pg_temp.epoch_of(n, %(items)s, %(days)s)
FROM generate_series(0, %(items)s::bigint - 1) n,
     LATERAL (SELECT pg_temp.time_of(n, %(items)s, %(days)s) AS at) t
"""
_MEASUREMENTS: Final = """
INSERT INTO measurement (
    uid, measured_at, measured_how, type, kind_id, patient_id, gateway_id, device_id, boot, seq,
    device_time, gateway_time, gateway_clock, mono_ms, stored_at, received_seq, characteristic, raw)
SELECT pg_temp.uid_of(n), at, 'device', 'value', (ARRAY[1, 4, 2])[n %% 3 + 1], w.patient_id,
       w.gateway_id, w.device_id, w.boot, n + 1, at::timestamp, at, 'ntp', n * 1000, at, n + 1,
       (ARRAY['2A35', '2A9D', '2A5E'])[n %% 3 + 1], '\\x1e8000520060ea070b16070c00470001'
FROM generate_series(0, %(items)s::bigint - 1) n
JOIN who w ON w.place = n %% (SELECT count(*) FROM who),
     LATERAL (SELECT pg_temp.time_of(n, %(items)s, %(days)s) AS at) t
"""
_OBSERVATIONS: Final = """
INSERT INTO observation (
    patient_id, measured_at, component_id, value, device_id, received_seq, uid)
SELECT w.patient_id, at, p.component_id, p.low + n %% 20, w.device_id, n + 1, pg_temp.uid_of(n)
FROM generate_series(0, %(items)s::bigint - 1) n
JOIN who w ON w.place = n %% (SELECT count(*) FROM who)
JOIN part p ON p.turn = n %% 3,
     LATERAL (SELECT pg_temp.time_of(n, %(items)s, %(days)s) AS at) t
"""
_LATEST: Final = """
INSERT INTO latest (patient_id, component_id, measured_at, value, uid)
SELECT DISTINCT ON (patient_id, component_id) patient_id, component_id, measured_at, value, uid
FROM observation WHERE measured_at > now() - INTERVAL '8 days'
ORDER BY patient_id, component_id, measured_at DESC
"""
