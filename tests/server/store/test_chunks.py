"""Old chunks go when nothing is left in them, and what Community keeps says what the values say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from server.store import chunks, community
from server.store.chunks import EMPTY_AGE_MIN
from server.store.database import Database
from tests.fix_postgres import DatabaseServer
from tests.server.homes import NOON, rows, settle
from tests.server.store.fix_reads import Shelf

pytestmark = pytest.mark.integration

_WEEKS = "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = %s"
_DAYS = """
SELECT patient_id, component_id, day, n, round(sum::numeric, 6), round(sum_squares::numeric, 6),
       min, max, first, last
FROM obs_daily ORDER BY 1, 2, 3
"""
OLD = NOON - EMPTY_AGE_MIN - timedelta(days=30)


@pytest.fixture
async def shelf(database_url: str) -> AsyncIterator[Shelf]:
    async with Database.connect(database_url, name="test") as database:
        yield Shelf(database, settle(database_url))


async def test_old_empty_chunks_go_and_nothing_else(
    shelf: Shelf, database_url: str, database_server: DatabaseServer
) -> None:
    for time in (OLD, OLD - timedelta(days=14), NOON - timedelta(days=21), NOON):
        await shelf.put(time)
    emptied = (OLD + timedelta(days=1), NOON - timedelta(days=21))
    for table in ("measurement", "observation"):
        rows(
            database_url,
            f"DELETE FROM {table} WHERE measured_at = ANY(%s)",  # noqa: S608 - ours
            [OLD, emptied[1]],
            fetch=False,
        )
    dropped = await chunks.drop_empty(shelf.database, now=NOON)
    assert rows(database_url, "SELECT count(*) FROM measurement") == [(2,)]
    if database_server.kind == "postgres":
        assert dropped == 0
        return
    assert dropped == 2, "one week of each table; a week that ended lately is left"
    assert rows(database_url, _WEEKS, "measurement") == [(3,)]
    assert await chunks.drop_empty(shelf.database, now=NOON) == 0
    await shelf.put(OLD)
    assert rows(database_url, "SELECT count(*) FROM measurement") == [(3,)]


async def test_a_chunk_that_is_written_to_is_left(
    shelf: Shelf, database_url: str, database_server: DatabaseServer
) -> None:
    if database_server.kind == "postgres":
        assert await chunks.drop_empty(shelf.database, now=NOON) == 0
        return
    await shelf.put(OLD)
    rows(database_url, "DELETE FROM measurement", fetch=False)
    with psycopg.connect(database_url) as writer:
        [(chunk,)] = writer.execute(
            "SELECT format('%I.%I', chunk_schema, chunk_name)"
            " FROM timescaledb_information.chunks WHERE hypertable_name = 'measurement'"
        ).fetchall()
        writer.execute(f"LOCK TABLE {chunk} IN ROW EXCLUSIVE MODE".encode())
        assert await chunks.drop_empty(shelf.database, now=NOON) == 0
    assert await chunks.drop_empty(shelf.database, now=NOON) == 1


async def test_what_is_kept_of_days_is_what_the_values_say(shelf: Shelf, database_url: str) -> None:
    """Runs the aggregate itself where the edition has it; elsewhere only that nothing changes."""
    await shelf.put_many()
    before = rows(database_url, _DAYS)
    for _ in range(2):
        await community.refresh_daily(shelf.database, now=NOON)
        await community.turn_into_columns(shelf.database, now=NOON + timedelta(days=60))
        assert rows(database_url, _DAYS) == before
    await shelf.put(NOON - timedelta(days=40))
    later = rows(database_url, _DAYS)
    await community.refresh_daily(shelf.database, now=NOON)
    assert rows(database_url, _DAYS) == later
    assert len(later) == len(before) + 3


async def test_the_view_over_kept_days_is_the_view_over_values(
    shelf: Shelf, database_url: str, database_server: DatabaseServer
) -> None:
    """The statements of Community where it is not: an ordinary view instead of the aggregate."""
    await shelf.put_many()
    before = rows(database_url, _DAYS)
    kept = community.KEPT
    if database_server.kind == "postgres":
        kept = _without_extension(kept)
    with psycopg.connect(database_url) as db:
        if db.execute("SELECT to_regclass('obs_daily_kept')").fetchone() == (None,):
            db.execute(f"CREATE VIEW obs_daily_kept AS {kept}".encode())
            db.execute(community.OVER_KEPT.encode())
    assert rows(database_url, _DAYS) == before
    days = rows(database_url, "SELECT bool_and(day_of(starts_at) = day) FROM obs_daily")
    assert days == [(True,)]


def test_other_editions_are_left_alone(database_url: str, database_server: DatabaseServer) -> None:
    with psycopg.connect(database_url, autocommit=True) as db:
        made = community.prepare(db)
    assert made == _is_community(database_url)
    if database_server.kind != "given":
        assert not made


def _is_community(url: str) -> bool:
    found: list[tuple[Any, ...]] = rows(
        url, "SELECT coalesce(current_setting('timescaledb.license', true), '') = 'timescale'"
    )
    return found == [(True,)]


def _without_extension(statement: str) -> str:
    """Return the statement with PostgreSQL's own words for what TimescaleDB adds."""
    bucket = "time_bucket(INTERVAL '1 day', measured_at, 'Europe/Stockholm')"
    return (
        statement.replace(bucket, "day_start(day_of(measured_at))")
        .replace("first(value, measured_at)", "(array_agg(value ORDER BY measured_at, value))[1]")
        .replace("last(value, measured_at)", "(array_agg(value ORDER BY measured_at DESC))[1]")
    )
