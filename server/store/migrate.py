"""Bring a database to this version's schema.

Alembic runs the numbered SQL files of ``migrations/``; an advisory lock lets one process do it
while the others wait, so that every role may call :func:`migrate` at its start.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from server.store.catalogue import synchronise
from server.store.community import prepare
from server.store.database import CONNECT_TIMEOUT_S, errors_named
from server.store.hypertables import chunks

# Any constant, the same for every process that migrates this database.
_LOCK = 0x48_65_6D_6D_61
LOCK_WAIT_MAX_S = 120
VERSION_TABLE = "schema_version"


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a migration found and left.

    ``before`` is None for an empty database. ``timescale`` is the extension's version, or None on
    plain PostgreSQL; ``hypertables`` names the tables that are cut into chunks. ``advice`` says
    what TimescaleDB could do here and does not, with the exact command; None: nothing.
    """

    before: str | None
    after: str
    timescale: str | None
    hypertables: tuple[str, ...]
    advice: str | None = None


def migrate(url: str, *, convert: bool = False) -> Migrated:
    """Migrate the database at ``url``, and copy the catalogue of kinds into it. Harmless to repeat.

    With ``convert``, tables from before TimescaleDB are cut into chunks too, however long it takes.
    Raises DatabaseUnavailable when it does not answer or another process keeps the
    lock for more than :data:`LOCK_WAIT_MAX_S`.
    """
    with errors_named(), _connection(url) as connection:
        connection.execute(f"SET lock_timeout = '{LOCK_WAIT_MAX_S}s'")
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        before, after = _upgrade(url)
        with connection.transaction():
            synchronise(connection)
        found = chunks(connection, convert=convert)
        prepare(connection)
    return Migrated(before, after, found.timescale, found.tables, found.advice)


@contextmanager
def _connection(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Give a connection whose end also ends the advisory lock, whatever happens in between."""
    with psycopg.connect(url, autocommit=True, **_options("hemma-migrate-lock")) as connection:
        yield connection


def _upgrade(url: str) -> tuple[str | None, str]:
    # creator: psycopg understands forms of address (sockets, services) that SQLAlchemy does not.
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(url, **_options("hemma-migrate")),
        poolclass=NullPool,
    )
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    try:
        before = _version(engine)
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            config.attributes["version_table"] = VERSION_TABLE
            command.upgrade(config, "head")
        after = _version(engine)
    except DBAPIError as error:
        # The driver's own error, which errors_named knows.
        raise error.orig or error from error
    assert after is not None, "an upgrade leaves a version"
    return before, after


def _version(engine: Engine) -> str | None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return context.get_current_revision()


def _options(name: str) -> dict[str, Any]:
    return {"application_name": name, "connect_timeout": CONNECT_TIMEOUT_S}
