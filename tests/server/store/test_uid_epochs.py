"""Uids in epochs: each is claimed once in all of them, and old databases bring theirs along."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

import server.store
from devices.wire import Item
from server.store import receipts
from server.store.database import Database
from server.store.identity import EPOCH_AGE, fingerprint
from server.store.items import Outcome
from server.store.migrate import VERSION_TABLE, migrate
from tests.server.homes import CUFF, NOON, Home, pressure, rows, settle
from tests.server.store.fix_uids import DAY, LOST, end_epochs, outcome, prune_all, turn

pytestmark = pytest.mark.integration

MIGRATIONS = Path(server.store.__file__).parent / "migrations"


@pytest.fixture
def home(database_url: str) -> Home:
    return settle(database_url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.connect(database_url, name="test") as database:
        yield database


async def test_an_epoch_ends_when_it_is_old(database: Database, database_url: str) -> None:
    await end_epochs(database, first=NOON, count=1)
    assert not await turn(database, at=NOON + EPOCH_AGE - DAY)
    assert await turn(database, at=NOON + EPOCH_AGE)
    query = "SELECT epoch, until FROM uid_epoch WHERE epoch > 0 ORDER BY epoch"
    assert rows(database_url, query) == [(1, NOON), (2, NOON + EPOCH_AGE), (3, None)]


@pytest.mark.parametrize(("epochs", "is_pruned"), [(1, False), (5, False), (5, True)])
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
    database: Database,
    home: Home,
    database_url: str,
    change: dict[str, Any],
    epochs: int,
    is_pruned: bool,
) -> None:
    await outcome(database, home, pressure(1), at=NOON)
    await end_epochs(database, first=NOON + DAY, count=epochs)
    at = NOON + 41 * DAY
    if is_pruned:
        assert await prune_all(database, at=at) == 1
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


@pytest.mark.parametrize("is_pruned", [False, True])
@pytest.mark.parametrize("ahead", [2 * DAY, 90 * DAY])
async def test_a_value_whose_device_was_ahead_is_known_when_its_clock_is_believed(
    database: Database,
    home: Home,
    database_url: str,
    ahead: timedelta,
    is_pruned: bool,
) -> None:
    dev_t = (NOON + ahead).replace(tzinfo=None)
    await outcome(database, home, pressure(1, tq="gateway", dev_t=dev_t), at=NOON)
    await end_epochs(database, first=NOON + timedelta(hours=1), count=5)
    at = NOON + 100 * DAY
    if is_pruned:
        await prune_all(database, at=at)
    # The clock was mended, and a gateway that is new believes what it said before.
    again = pressure(1, t=NOON + ahead, dev_t=dev_t, gw_t=at)
    assert await outcome(database, home, again, at=at) is Outcome.DUPLICATE
    assert rows(database_url, "SELECT count(*) FROM measurement") == [(1,)]


async def test_a_device_in_another_zone_is_not_ahead(
    database: Database, home: Home, database_url: str
) -> None:
    far_east = (NOON + timedelta(hours=14)).replace(tzinfo=None)
    await outcome(database, home, pressure(1, dev_t=far_east), at=NOON)
    assert rows(database_url, "SELECT epoch FROM item_uid") == [(1,)]


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


@pytest.mark.parametrize("is_pruned", [False, True])
async def test_what_is_old_is_found_by_its_uid(
    database: Database,
    home: Home,
    database_url: str,
    is_pruned: bool,
) -> None:
    value = pressure(1)
    await outcome(database, home, value, at=NOON)
    await end_epochs(database, first=NOON + DAY, count=5)
    if is_pruned:
        assert await prune_all(database, at=NOON + 40 * DAY) == 1
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
    _migrate_to(url, "0006")
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


async def test_a_device_that_was_ahead_before_is_known_too(empty_database_url: str) -> None:
    url = empty_database_url
    _migrate_to(url, "0010")
    home = settle(url)
    for n, ahead in enumerate((2 * DAY, 0 * DAY), start=1):
        identity = fingerprint(pressure(n), device=CUFF)
        uid = pressure(n).uid
        rows(url, _MEASUREMENT, uid, NOON, home.patient, home.cuff, NOON, fetch=False)
        rows(url, "UPDATE measurement SET device_time = %s WHERE uid = %s",
             (NOON + ahead).replace(tzinfo=None), uid, fetch=False)  # fmt: skip
        rows(url, "INSERT INTO item_uid VALUES (%s, %s, %s, %s, 1)", uid, NOON, NOON,
             UUID(bytes=identity), fetch=False)  # fmt: skip
    migrate(url)
    assert rows(url, "SELECT uid, epoch FROM item_uid ORDER BY epoch") == [
        (UUID(pressure(1).uid), 0), (UUID(pressure(2).uid), 1),
    ]  # fmt: skip
    async with Database.connect(url, name="test", size=1) as database:
        await end_epochs(database, first=NOON + timedelta(hours=1), count=2)
        again = pressure(1, at=NOON + 2 * DAY, gw_t=NOON + 9 * DAY)
        found = outcome(database, home, again, at=NOON + 9 * DAY)
        assert await found is Outcome.DUPLICATE


async def test_a_record_that_was_stored_twice_before_does_not_stop_the_migration(
    empty_database_url: str,
) -> None:
    """A device was ahead; its record came again when that time had come, and was stored again."""
    url = empty_database_url
    _migrate_to(url, "0010")
    home = settle(url)
    item = pressure(1)
    identity = UUID(bytes=fingerprint(item, device=CUFF))
    rows(url, "UPDATE uid_epoch SET until = %s WHERE epoch = 1", NOON + DAY, fetch=False)
    rows(url, "INSERT INTO uid_epoch VALUES (2, %s, NULL, 0)", NOON + DAY, fetch=False)
    for epoch, at in enumerate((NOON, NOON + 2 * DAY), start=1):
        rows(url, _MEASUREMENT, item.uid, at, home.patient, home.cuff, at, fetch=False)
        rows(url, "INSERT INTO item_uid VALUES (%s, %s, %s, %s, %s)", item.uid, at, at,
             identity, epoch, fetch=False)  # fmt: skip
    dev_t = (NOON + 2 * DAY).replace(tzinfo=None)
    rows(url, "UPDATE measurement SET device_time = %s", dev_t, fetch=False)
    migrate(url)
    found = rows(url, "SELECT epoch, measured_at FROM item_uid ORDER BY epoch")
    assert found == [(0, NOON), (2, NOON + 2 * DAY)]
    async with Database.connect(url, name="test", size=1) as database:
        assert await turn(database, at=NOON + 20 * DAY)
        assert await prune_all(database, at=NOON + 100 * DAY) == 1
        again = outcome(database, home, item, at=NOON + 100 * DAY)
        assert await again is Outcome.DUPLICATE


def _migrate_to(url: str, version: str) -> None:
    """Make the schema of an earlier version."""
    with psycopg.connect(url) as db:
        for path in sorted(MIGRATIONS.glob("*.sql")):
            if path.name[:4] <= version:
                db.execute(path.read_bytes())
        db.execute(f"CREATE TABLE {VERSION_TABLE} (version_num varchar(32) PRIMARY KEY)".encode())
        db.execute(f"INSERT INTO {VERSION_TABLE} VALUES ('{version}')".encode())  # noqa: S608 - ours


_MEASUREMENT = """
INSERT INTO measurement (uid, measured_at, measured_how, patient_id, device_id, stored_at,
                         received_seq)
VALUES (%s, %s, 'device', %s, %s, %s, nextval('received_seq'))
"""
