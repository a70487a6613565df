"""Migrations: harmless to repeat, and TimescaleDB is used where it comes later."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from server.store.database import Database
from server.store.errors import RightsMissing, SchemaMissing
from server.store.hypertables import TABLES, chunks
from server.store.items import ReceivedItem, keep
from server.store.migrate import migrate
from tests.fix_postgres import DatabaseServer
from tests.server.homes import BOOT, GATEWAY, NOON, pressure, rows, settle

pytestmark = pytest.mark.integration

_CHUNKS = "SELECT count(*) > 1 FROM timescaledb_information.chunks WHERE hypertable_name = %s"


def test_a_second_run_finds_nothing_to_do(
    empty_database_url: str, database_server: DatabaseServer
) -> None:
    first = migrate(empty_database_url)
    again = migrate(empty_database_url, convert=True)
    assert (first.before, again.before) == (None, first.after)
    assert (again.timescale, again.hypertables) == (first.timescale, first.hypertables)
    assert again.advice is None
    if database_server.kind == "timescale":
        assert first.hypertables == ("measurement", "observation", "recording")


def test_an_owner_without_other_rights_may_migrate(
    empty_database_url: str, database_server: DatabaseServer
) -> None:
    name = conninfo_to_dict(empty_database_url)["dbname"]
    owner = f"owner_{name}"
    rows(empty_database_url, f"CREATE ROLE {owner}", fetch=False)
    rows(empty_database_url, f"ALTER DATABASE {name} OWNER TO {owner}", fetch=False)
    try:
        url = make_conninfo(empty_database_url, options=f"-c role={owner}")
        done = migrate(url, convert=True)
        assert done.advice is None
        assert bool(done.hypertables) == (database_server.kind == "timescale")
    finally:
        rows(empty_database_url, f"DROP OWNED BY {owner} CASCADE", fetch=False)
        rows(empty_database_url, f"ALTER DATABASE {name} OWNER TO CURRENT_USER", fetch=False)
        rows(empty_database_url, f"DROP ROLE {owner}", fetch=False)


def test_a_user_who_may_not_migrate_is_told(empty_database_url: str) -> None:
    guest = make_conninfo(empty_database_url, options="-c role=pg_signal_backend")
    with pytest.raises(RightsMissing, match="permission denied"):
        migrate(guest)


def test_a_user_who_may_not_add_the_extension_is_told_who_may(
    database_url: str, database_server: DatabaseServer
) -> None:
    if database_server.kind != "timescale":
        return
    _leave_timescale(database_url)
    guest = make_conninfo(database_url, options="-c role=pg_signal_backend")
    with psycopg.connect(guest, autocommit=True) as connection:
        found = chunks(connection, convert=True)
    assert found.timescale is None
    assert "CREATE EXTENSION timescaledb; and then: hemma server migrate" in (found.advice or "")


async def test_a_database_that_is_not_migrated_says_so(empty_database_url: str) -> None:
    async with Database.connect(empty_database_url, name="test") as database:
        with pytest.raises(SchemaMissing, match="hemma server migrate"):
            async with database.transaction() as tx:
                await tx.execute("SELECT FROM gateway")


async def test_timescaledb_that_comes_later_is_used_when_asked(
    database_url: str, database_server: DatabaseServer
) -> None:
    if database_server.kind != "timescale":
        assert migrate(database_url, convert=True).advice is None, "plain, and nothing to be done"
        return
    _leave_timescale(database_url)
    await _keep_weeks(database_url, weeks=5)
    before = _content(database_url)

    started = migrate(database_url)
    assert (started.timescale, started.hypertables) == (None, ())
    assert (
        started.advice == "TimescaleDB is installed and not used; use it by: hemma server migrate"
    )
    rows(database_url, "CREATE EXTENSION timescaledb", fetch=False)
    started = migrate(database_url)
    assert started.hypertables == (), "no role rewrites tables at its start"
    assert started.advice == (
        "measurement, observation, recording: not in weekly chunks;"
        " convert them by: hemma server migrate"
    )

    for _ in range(2):
        asked = migrate(database_url, convert=True)
        assert (asked.hypertables, asked.advice) == (TABLES, None)
        assert _content(database_url) == before
    for table in ("measurement", "observation"):  # the other is empty
        assert rows(database_url, _CHUNKS, table) == [(True,)]
    await _keep_weeks(database_url, weeks=6)
    assert rows(database_url, "SELECT count(*) FROM measurement") == [(6,)]


def _leave_timescale(url: str) -> None:
    """Make of an empty migrated database what plain PostgreSQL would have made."""
    rows(url, "DROP EXTENSION timescaledb CASCADE", fetch=False)


async def _keep_weeks(url: str, *, weeks: int) -> None:
    """Store one value a week; those of an earlier call are duplicates."""
    with psycopg.connect(url) as db:
        known = db.execute("SELECT id FROM gateway").fetchone()
    gateway_id = known[0] if known else settle(url).gateway
    items = [pressure(n, at=NOON - timedelta(weeks=n)) for n in range(1, weeks + 1)]
    received = [ReceivedItem(item, gateway_id, GATEWAY, BOOT) for item in items]
    async with Database.connect(url, name="test", size=1) as database, database.transaction() as tx:
        await keep(tx, received, stored_at=NOON)


def _content(url: str) -> list[list[tuple[Any, ...]]]:
    return [
        rows(url, f"SELECT * FROM {table} ORDER BY received_seq, uid::text, measured_at")  # noqa: S608
        for table in ("measurement", "observation")
    ]
