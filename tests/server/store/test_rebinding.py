"""A device that belonged to somebody else from a time that has passed: its values follow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from devices.wire import Item
from server.store import bindings
from server.store.database import Database
from server.store.items import ReceivedItem, entered, keep
from tests.server.homes import BOOT, GATEWAY, NOON, Home, pressure, rows, settle

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)
HANDED_OVER = NOON - 2 * HOUR


@pytest.fixture
def home(database_url: str) -> Home:
    return settle(database_url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.connect(database_url, name="test") as database:
        yield database


async def store(database: Database, home: Home, *items: Item) -> None:
    received = [ReceivedItem(item, home.gateway, GATEWAY, BOOT) for item in items]
    async with database.transaction() as tx:
        await keep(tx, received, stored_at=NOON)


async def unbind(database: Database, home: Home, at: datetime) -> bindings.Ended:
    async with database.transaction() as tx:
        return await bindings.unbind(tx, home.cuff, at=at, now=NOON)


def whose(url: str, table: str) -> list[tuple[object, ...]]:
    """Return patient and time of each row, with the reason where there is no patient."""
    why = ", unassigned" if table == "measurement" else ""
    return rows(url, f"SELECT DISTINCT measured_at, patient_id{why} FROM {table} ORDER BY 1")  # noqa: S608


async def test_values_since_then_are_the_new_persons(
    database: Database, home: Home, database_url: str
) -> None:
    before, after = NOON - 3 * HOUR, NOON - HOUR
    await store(database, home, pressure(1, at=before), pressure(2, at=after))
    assert await unbind(database, home, HANDED_OVER) == bindings.Ended(1, 1)
    assert whose(database_url, "measurement") == [
        (before, home.patient, None),
        (after, None, "outside_binding"),
    ]
    async with database.transaction() as tx:
        bound = await bindings.bind(
            tx, device_id=home.cuff, patient_id=home.neighbour, since=HANDED_OVER, at=NOON
        )
    assert bound.placed == 1
    # The one that comes late is treated as the one that came in time.
    await store(database, home, pressure(3, at=after + timedelta(minutes=5)))
    late = (after + timedelta(minutes=5), home.neighbour)
    for table in ("observation", "engine_inbox"):
        assert whose(database_url, table) == [
            (before, home.patient), (after, home.neighbour), late,
        ], table  # fmt: skip
    assert whose(database_url, "latest") == [(before, home.patient), late]


async def test_a_value_passed_on_afterwards_is_nobodys(
    database: Database, home: Home, database_url: str
) -> None:
    measured = NOON - 3 * HOUR
    await store(database, home, pressure(1, at=measured, gw_t=NOON - HOUR))
    assert whose(database_url, "measurement") == [(measured, home.patient, None)]
    assert await unbind(database, home, HANDED_OVER) == bindings.Ended(1, 1)
    assert whose(database_url, "measurement") == [(measured, None, "outside_binding")]
    assert whose(database_url, "latest") == []


async def test_what_a_person_entered_stays(
    database: Database, home: Home, database_url: str
) -> None:
    typed = entered(
        pressure(1, at=NOON - HOUR), token="x" * 20, patient_id=home.patient, entered_by=home.staff
    )
    async with database.transaction() as tx:
        await keep(tx, [typed], stored_at=NOON)
    assert await unbind(database, home, HANDED_OVER) == bindings.Ended(1, 0)
    assert whose(database_url, "measurement") == [(NOON - HOUR, home.patient, None)]


async def test_an_end_that_is_now_takes_nothing(
    database: Database, home: Home, database_url: str
) -> None:
    await store(database, home, pressure(1, at=NOON - HOUR))
    assert await unbind(database, home, NOON) == bindings.Ended(1, 0)
    assert whose(database_url, "latest") == [(NOON - HOUR, home.patient)]
