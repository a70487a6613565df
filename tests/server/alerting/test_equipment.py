"""Silent gateways and low batteries on real databases, and the engine role as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest

from hemma.cluster import Cluster
from server.alerting.absence import judge_equipment
from server.alerting.run import run
from server.settings import Settings
from server.store.alert_commands import close
from server.store.database import Database
from server.store.migrate import migrate
from tests.server.alerting.fix_engine import arrive, engine, minutes, saturation
from tests.server.homes import CUFF, NOON, Home, rows, settle

pytestmark = pytest.mark.integration

LONG_AGO = NOON - timedelta(days=30)


@pytest.fixture
def home(database_url: str) -> Home:
    return settle(database_url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with engine(database_url) as database:
        yield database


async def look(database: Database, minute: float) -> int:
    async with database.transaction() as tx:
        decisions = await judge_equipment(tx, now=minutes(minute), listening_since=LONG_AGO)
    return len(decisions)


def change(url: str, statement: str, *values: object) -> None:
    with psycopg.connect(url) as db:
        db.execute(statement, values)


def alert_rows(url: str) -> list[tuple[object, ...]]:
    return rows(url, "SELECT rule, severity, handling, condition FROM alert ORDER BY opened_at")


OFFLINE = "UPDATE gateway SET state = 'offline', state_since = %s, last_heard_at = %s"
ONLINE = "UPDATE gateway SET state = 'online', state_since = %s, last_heard_at = %s"


async def test_a_silent_gateway_alerts_is_raised_and_ends_when_heard(
    database: Database, home: Home, database_url: str
) -> None:
    assert await look(database, 0) == 0  # never heard
    change(database_url, OFFLINE, NOON, NOON)
    assert await look(database, 59) == 0
    assert await look(database, 60) == 1
    assert await look(database, 61) == 0
    assert alert_rows(database_url) == [("tech.gateway", "blue", "open", "firing")]
    assert await look(database, 24 * 60) == 1
    assert alert_rows(database_url) == [("tech.gateway", "yellow", "open", "firing")]
    change(database_url, ONLINE, minutes(1500), minutes(1500))
    assert await look(database, 1501) == 1
    assert alert_rows(database_url) == [("tech.gateway", "yellow", "closed", "recovered")]
    events = [row[0] for row in rows(database_url, "SELECT event FROM alert_event ORDER BY id")]
    assert events == ["fired", "raised", "recovered", "closed_itself"]


async def test_one_closed_by_a_person_while_silent_is_left_alone(
    database: Database, home: Home, database_url: str
) -> None:
    change(database_url, OFFLINE, NOON, NOON)
    await look(database, 60)
    ((alert_id,),) = rows(database_url, "SELECT id FROM alert")
    async with database.transaction() as tx:
        await close(
            tx,
            alert_id,
            staff_id=home.staff,
            outcome="expected",
            note="På sjukhus",
            expected_version=1,
            at=minutes(70),
        )
    assert await look(database, 71) == 0


async def test_a_low_battery_of_a_bound_device(
    database: Database, home: Home, database_url: str
) -> None:
    change(database_url, "UPDATE device SET battery = 15, battery_at = %s", NOON)
    assert await look(database, 1) == 1
    assert await look(database, 2) == 0
    assert rows(database_url, "SELECT rule, patient_id, severity, text_sv FROM alert") == [
        (f"tech.battery/{CUFF}", home.patient, "blue", "Svagt batteri i UA-651BLE: 15 %.")
    ]
    change(database_url, "UPDATE device SET battery = 100, battery_at = %s", minutes(9))
    assert await look(database, 10) == 1
    assert rows(database_url, "SELECT handling, outcome FROM alert") == [
        ("closed", "technical-fixed")
    ]
    assert rows(database_url, "SELECT count(*) FROM decision") == [(2,)]


async def test_two_engines_do_not_look_at_the_same_time(
    database: Database, home: Home, database_url: str
) -> None:
    change(database_url, OFFLINE, NOON, NOON)
    async with database.transaction() as tx:
        first = await judge_equipment(tx, now=minutes(60), listening_since=LONG_AGO)
        assert len(first) == 1
        assert await look(database, 60) == 0


async def until(url: str, query: str, expected: object) -> None:
    """Look until the answer is the one expected, or ten seconds have passed."""
    async with asyncio.timeout(10):
        while rows(url, query) != [(expected,)]:  # noqa: ASYNC110 - it is another process's table
            await asyncio.sleep(0.02)


async def test_the_engine_wakes_when_a_value_is_stored_and_stops_when_told(
    database: Database, home: Home, database_url: str
) -> None:
    stop = asyncio.Event()
    role = asyncio.create_task(run(Settings(database_url), stop))
    await asyncio.sleep(0.3)
    await arrive(database, home, saturation(1, 88.0))
    await until(database_url, "SELECT count(*) FROM alert", 1)
    stop.set()
    await asyncio.wait_for(role, 10)


async def test_the_engine_outlives_its_database(restartable_cluster: Cluster) -> None:
    url = restartable_cluster.url("hemma")
    stop = asyncio.Event()
    role = asyncio.create_task(run(Settings(url), stop))
    await asyncio.sleep(0.3)  # no schema yet
    await asyncio.to_thread(migrate, url)
    home = settle(url)
    await asyncio.to_thread(restartable_cluster.stop)
    await asyncio.sleep(0.3)
    await asyncio.to_thread(restartable_cluster.start)
    async with engine(url) as database:
        await arrive(database, home, saturation(1, 88.0))
    await until(url, "SELECT count(*) FROM alert", 1)
    stop.set()
    await asyncio.wait_for(role, 10)
