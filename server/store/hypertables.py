"""TimescaleDB's weekly chunks for the tables that grow, also where the extension came later.

A database that is first migrated with the extension gets its chunks from ``0002_hypertables.sql``.
One that began on plain PostgreSQL is converted here, when an operator asks for it: that rewrites
both tables under a lock, for minutes where they are large, so that no role does it at its start.
Nothing in the program depends on the chunks (design.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

TABLES = ("measurement", "observation", "recording")
CONVERT = "hemma server migrate"


@dataclass(frozen=True, slots=True)
class Chunks:
    """What TimescaleDB does here.

    ``timescale`` is the extension's version, None without it; ``tables`` are those in chunks.
    ``advice`` says what is possible and not done, with the exact command; None: nothing to do.
    """

    timescale: str | None
    tables: tuple[str, ...]
    advice: str | None = None


def chunks(connection: psycopg.Connection[Any], *, convert: bool) -> Chunks:
    """Look, and with ``convert`` put into chunks what is not; harmless to repeat.

    ``connection`` is in autocommit; all tables are converted in one transaction, or none.
    """
    version = _version(connection)
    if version is None:
        if not _is_available(connection):
            return Chunks(None, ())
        if not convert:
            return Chunks(None, (), f"TimescaleDB is installed and not used; use it by: {CONVERT}")
        if not _create_extension(connection):
            return Chunks(None, (), _ASK_SUPERUSER)
        version = _version(connection)
    plain = sorted(set(TABLES) - set(_converted(connection)))
    advice = None
    if plain and not _has_ranges(connection):
        advice = f"TimescaleDB {version} is older than 2.13; update it, then run: {CONVERT}"
    elif plain and convert:
        with connection.transaction():
            for table in plain:
                connection.execute(_CONVERT, (table,))
    elif plain:
        advice = f"{', '.join(plain)}: not in weekly chunks; convert them by: {CONVERT}"
    return Chunks(version, _converted(connection), advice)


def _version(connection: psycopg.Connection[Any]) -> str | None:
    row = connection.execute(
        "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"
    ).fetchone()
    return None if row is None else str(row[0])


def _is_available(connection: psycopg.Connection[Any]) -> bool:
    # Without preloading, CREATE EXTENSION would end the whole session, so look first: the preloaded
    # library has this setting. shared_preload_libraries itself only a superuser may read.
    row = connection.execute(
        "SELECT FROM pg_available_extensions WHERE name = 'timescaledb'"
        " AND current_setting('timescaledb.max_background_workers', true) IS NOT NULL"
    ).fetchone()
    return row is not None


def _create_extension(connection: psycopg.Connection[Any]) -> bool:
    try:
        connection.execute("CREATE EXTENSION timescaledb")
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def _converted(connection: psycopg.Connection[Any]) -> tuple[str, ...]:
    rows = connection.execute(
        "SELECT hypertable_name FROM timescaledb_information.hypertables "
        "WHERE hypertable_schema = current_schema() ORDER BY 1"
    ).fetchall()
    return tuple(name for (name,) in rows)


def _has_ranges(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute("SELECT FROM pg_proc WHERE proname = 'by_range'").fetchone()
    return row is not None


_ASK_SUPERUSER = (
    "TimescaleDB is installed, but this user may not use it. A superuser runs in this database: "
    f"CREATE EXTENSION timescaledb; and then: {CONVERT}"
)

# The chunks of 0002_hypertables.sql.
_CONVERT = """
SELECT create_hypertable(%s::regclass, by_range('measured_at', INTERVAL '7 days'),
                         create_default_indexes => false, migrate_data => true)
"""
