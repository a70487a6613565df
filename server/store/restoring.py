"""A database that a backup is put into: what must be so before, and what is done around it.

The order: :func:`refuse_unfit`, :func:`begin`, then ``pg_restore``, then :func:`finish`, whatever
came of it. A dump from a database with TimescaleDB needs the same version of the extension, whose
own tables are restored with the rest.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from server.store.backup_facts import tables
from server.store.database import errors_named
from server.store.errors import StoreError


class NotRestorable(StoreError):
    """The database cannot take this backup; the text says why, and what to do."""


def refuse_unfit(held: psycopg.Connection[Any], *, timescale: str | None, dumped_from: int) -> None:
    """Raise NotRestorable unless the database is empty and can hold a backup of that kind.

    ``timescale`` is the extension's version where it was dumped, None without; ``dumped_from`` the
    server's major version there.
    """
    with errors_named():
        if names := tables(held):
            raise NotRestorable(
                f"the database is not empty ({len(names)} tables, such as {names[0]}); a backup is"
                " put into an empty one: createdb NEW, then --into postgresql://…/NEW"
            )
        here = held.info.server_version // 10_000
        if here < dumped_from:
            raise NotRestorable(
                f"the backup is of PostgreSQL {dumped_from}, and this server is {here}; restore"
                f" into PostgreSQL {dumped_from} or later"
            )
        if timescale is not None:
            _refuse_other_timescale(held, timescale)


def begin(held: psycopg.Connection[Any], *, timescale: str | None) -> None:
    """Make the extension and tell it that its tables are coming; nothing without it."""
    if timescale is None:
        return
    with errors_named():
        held.execute(
            sql.SQL("CREATE EXTENSION IF NOT EXISTS timescaledb VERSION {}").format(
                sql.Literal(timescale)
            )
        )
        held.execute("SELECT timescaledb_pre_restore()")


def finish(held: psycopg.Connection[Any], *, timescale: str | None) -> None:
    """Let the extension work again, and let the planner know what is there."""
    with errors_named():
        if timescale is not None:
            held.execute("SELECT timescaledb_post_restore()")
        held.execute("ANALYZE")


def _refuse_other_timescale(held: psycopg.Connection[Any], wanted: str) -> None:
    installed = held.execute(
        "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"
    ).fetchone()
    if installed is not None and installed[0] != wanted:
        raise NotRestorable(
            f"the backup is of TimescaleDB {wanted}, and this database has {installed[0]}; make a"
            " new database without the extension, the restore adds the right version"
        )
    found = held.execute(
        "SELECT version FROM pg_available_extension_versions WHERE name = 'timescaledb'"
        " AND current_setting('timescaledb.max_background_workers', true) IS NOT NULL"
    ).fetchall()
    versions = sorted(version for (version,) in found)
    if wanted in versions:
        return
    has = f"has {', '.join(versions)}" if versions else "has no TimescaleDB"
    raise NotRestorable(
        f"the backup is of TimescaleDB {wanted}, and this server {has}; install that version and"
        " preload it (shared_preload_libraries = 'timescaledb'), restore, and update afterwards:"
        " ALTER EXTENSION timescaledb UPDATE. To move to plain PostgreSQL, see docs/operating.md"
    )
