"""Uids in epochs: each is claimed once in all of them, and old databases bring theirs along."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

import server.store
from devices.wire import Item
from server.store import corrections, receipts
from server.store.database import Database
from server.store.identity import EPOCH_AGE, fingerprint, turn_epoch
from server.store.items import Outcome, ReceivedItem, keep
from server.store.migrate import VERSION_TABLE, migrate
from tests.server.homes import BOOT, CUFF, GATEWAY, NOON, Home, pressure, rows, settle

pytestmark = pytest.mark.integration

DAY = timedelta(days=1)
# As a device says that has lost its time.
LOST = datetime(1, 1, 1)  # noqa: DTZ001 - a device's own time has no zone
MIGRATIONS = Path(server.store.__file__).parent / "migrations"


@pytest.fixture
def home(database_url: str) -> Home:
    return settle(database_url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.connect(database_url, name="test") as database:
        yield database


async def outcome(database: Database, home: Home, item: Item, *, at: datetime) -> Outcome:
    async with database.transaction() as tx:
        received = [ReceivedItem(item, home.gateway, GATEWAY, BOOT)]
        return (await keep(tx, received, stored_at=at))[0].outcome


async def turn(database: Database, *, at: datetime) -> bool:
    async with database.transaction() as tx:
        await corrections.take_turn(tx, alone=True)
        return await turn_epoch(tx, at=at)


async def end_epochs(database: Database, *, first: datetime, count: int) -> None:
    """Let ``count`` epochs of a week end, the first one at ``first``."""
    async with database.transaction() as tx:
        since = first - EPOCH_AGE
        await tx.execute("UPDATE uid_epoch SET since = %s WHERE epoch = 1", (since,))
    for n in range(count):
        assert await turn(database, at=first + n * EPOCH_AGE)


async def test_an_epoch_ends_when_it_is_old(database: Database, database_url: str) -> None:
    await end_epochs(database, first=NOON, count=1)
    assert not await turn(database, at=NOON + EPOCH_AGE - DAY)
    assert await turn(database, at=NOON + EPOCH_AGE)
    query = "SELECT epoch, until FROM uid_epoch WHERE epoch > 0 ORDER BY epoch"
    assert rows(database_url, query) == [(1, NOON), (2, NOON + EPOCH_AGE), (3, None)]


@pytest.mark.parametrize("epochs", [1, 5])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"gw_t": NOON + 40 * DAY},  # from the device's memory, through a gateway that is new
        {"gw_q": "none", "t": NOON + 40 * DAY, "gw_t": NOON + 40 * DAY},
        {"tq": "estimated", "t": NOON + 40 * DAY, "gw_t": NOON + 40 * DAY},
        {"t": NOON + 12 * timedelta(hours=1)},  # dated anew by half a day
        {"t": NOON + 400 * DAY, "gw_t": NOON + 400 * DAY},
        # The gateway that is new holds its own clock for the better one: older than five weeks.
        {"t": NOON + 40 * DAY, "tq": "gateway", "gw_t": NOON + 40 * DAY},
        {"t": NOON + 40 * DAY, "tq": "gateway", "gw_t": NOON + 40 * DAY, "dev_t": LOST},
        {
            "t": NOON + 40 * DAY,
            "tq": "gateway",
            "gw_t": NOON + 40 * DAY,
            "dev_t": None,
            "dev_seq": 7,
        },
    ],
)
async def test_an_old_item_is_known_however_it_comes_again(
    database: Database, home: Home, database_url: str, change: dict[str, Any], epochs: int
) -> None:
    await outcome(database, home, pressure(1), at=NOON)
    await end_epochs(database, first=NOON + DAY, count=epochs)
    at = NOON + 41 * DAY
    again = pressure(1, **change)
    assert await outcome(database, home, again, at=at) is Outcome.DUPLICATE
    other = pressure(1, **change | {"raw": "00"})
    assert await outcome(database, home, other, at=at) is Outcome.CONFLICT
    assert rows(database_url, "SELECT count(*) FROM measurement") == [(1,)]


async def test_a_value_that_comes_again_dated_ahead_is_known(
    database: Database, home: Home, database_url: str
) -> None:
    await outcome(database, home, pressure(1), at=NOON)
    late = NOON + timedelta(hours=1)
    again = pressure(1, t=late, gw_t=late)
    assert await outcome(database, home, again, at=NOON) is Outcome.DUPLICATE
    other = pressure(1, t=late, gw_t=late, raw="00")
    assert await outcome(database, home, other, at=NOON) is Outcome.CONFLICT
    assert rows(database_url, "SELECT count(*) FROM measurement") == [(1,)]


async def test_a_value_dated_ahead_is_known_when_its_time_has_come(
    database: Database, home: Home
) -> None:
    ahead = pressure(1, at=NOON + 60 * DAY)
    await outcome(database, home, ahead, at=NOON)
    await end_epochs(database, first=NOON + DAY, count=3)
    again = outcome(database, home, ahead, at=NOON + 60 * DAY)
    assert await again is Outcome.DUPLICATE
    new = outcome(database, home, pressure(2, at=NOON + 60 * DAY), at=NOON + 60 * DAY)
    assert await new is Outcome.STORED


async def test_two_workers_keep_one_while_an_epoch_ends(
    database: Database, home: Home, database_url: str
) -> None:
    for n in range(20):
        at = NOON + n * EPOCH_AGE
        item = pressure(n, at=at)
        first, second, _ = await asyncio.gather(
            outcome(database, home, item, at=at),
            outcome(database, home, item, at=at),
            turn(database, at=at),
        )
        assert {first, second} == {Outcome.STORED, Outcome.DUPLICATE}
    assert rows(database_url, "SELECT count(*) > 10 FROM uid_epoch") == [(True,)]


async def test_what_is_old_is_found_by_its_uid(
    database: Database, home: Home, database_url: str
) -> None:
    value = pressure(1)
    await outcome(database, home, value, at=NOON)
    await end_epochs(database, first=NOON + DAY, count=5)
    async with database.transaction() as tx:
        seen = await receipts.mark_seen(
            tx, [value.uid], staff_id=home.staff, unit_id=home.unit, at=NOON
        )
    assert seen == 1
    wish = Item(seq=9, uid=f"{9:032x}", type="retract", of=value.uid, why="not_me")
    await outcome(database, home, wish, at=NOON + 40 * DAY)
    assert rows(database_url, "SELECT flags FROM measurement") == [(["retracted"],)]


def test_a_database_from_before_brings_its_uids_along(empty_database_url: str) -> None:
    url = empty_database_url
    before = sorted(path for path in MIGRATIONS.glob("*.sql") if path.name < "0007")
    with psycopg.connect(url) as db:
        for path in before:
            db.execute(path.read_bytes())
        db.execute(f"CREATE TABLE {VERSION_TABLE} (version_num varchar(32) PRIMARY KEY)".encode())
        db.execute(f"INSERT INTO {VERSION_TABLE} VALUES ('0006')".encode())  # noqa: S608 - constants
    home = settle(url)
    value, ahead, fact = pressure(1), pressure(2, at=NOON + DAY), pressure(3)
    for item, has_row in ((value, True), (ahead, True), (fact, False)):
        identity = fingerprint(item, device=CUFF)
        rows(url, "INSERT INTO item_uid VALUES (%s, %s, %s)", item.uid, NOON, identity, fetch=False)
        if has_row:
            rows(url, _MEASUREMENT, item.uid, item.t, home.patient, home.cuff, NOON, fetch=False)
    migrate(url)
    found = rows(url, "SELECT measured_at, epoch FROM item_uid ORDER BY measured_at")
    assert found == [(NOON, 1), (NOON + DAY, 0), (None, 1)]

    async def again() -> list[Outcome]:
        async with Database.connect(url, name="test", size=1) as database:
            other = pressure(2, at=NOON + DAY, raw="00")
            return [
                await outcome(database, home, item, at=NOON) for item in (value, ahead, fact, other)
            ]

    known = [Outcome.DUPLICATE] * 3
    assert asyncio.run(again()) == [*known, Outcome.CONFLICT]


_MEASUREMENT = """
INSERT INTO measurement (uid, measured_at, measured_how, patient_id, device_id, stored_at,
                         received_seq)
VALUES (%s, %s, 'device', %s, %s, %s, nextval('received_seq'))
"""
