"""The ledger of numbers: gaps, what is pending, duplicates, late ones, and two workers at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest

from devices import wire
from devices.wire import Item
from server.store import migrate as migrations
from server.store.database import Database
from server.store.items import ReceivedItem, entered, keep
from server.store.ledger import FOLDED_WITHIN, Refused, fold, is_old, note
from tests.server.homes import BOOT, CUFF, GATEWAY, NOON, Home, pressure, rows, settle

pytestmark = pytest.mark.integration

NEXT_BOOT = "6f1c0a52-0000-4000-8000-000000000002"
MINUTE = timedelta(minutes=1)
LEDGER = "SELECT boot::text, had::text, duplicates, late FROM ledger ORDER BY gateway_id, boot"


@pytest.fixture
def home(database_url: str) -> Home:
    return settle(database_url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.connect(database_url, name="test") as database:
        yield database


async def take(
    database: Database,
    home: Home,
    items: Sequence[Item],
    *,
    at: datetime = NOON,
    boot: str = BOOT,
    refused: Sequence[int] = (),
) -> None:
    """Keep and note ``items`` as a worker does."""
    received = [ReceivedItem(item, home.gateway, GATEWAY, boot) for item in items]
    async with database.transaction() as tx:
        kept = await keep(tx, received, stored_at=at)
        numbers = [Refused(home.gateway, boot, seq) for seq in refused]
        await note(tx, received, kept, refused=numbers, at=at)


async def ledger_of(database: Database, query: str = LEDGER) -> list[tuple[Any, ...]]:
    """Fold, and return what the ledger says."""
    async with database.transaction() as tx:
        await fold(tx, at=NOON)
        return await (await tx.execute(query.encode())).fetchall()


def several(*seqs: int) -> list[Item]:
    return [pressure(seq) for seq in seqs]


def tombstone(seq: int) -> Item:
    uid = wire.row_uid(BOOT, seq)
    return Item(seq=seq, uid=uid, type="tombstone", why="too_large", gw_t=NOON, gw_q="ntp")


async def test_each_number_with_a_last_word_is_there_once(
    database: Database, home: Home, database_url: str
) -> None:
    await take(database, home, several(1, 2, 3, 7), refused=[9, 2**63 - 1])
    await take(database, home, several(3, 4), boot=BOOT.upper())
    await take(database, home, several(11), boot=NEXT_BOOT)
    assert await ledger_of(database) == [
        (BOOT, "{[1,5),[7,8),[9,10)}", 1, 0),
        (NEXT_BOOT, "{[11,12)}", 0, 0),
    ]
    both = [
        ReceivedItem(pressure(n), home.gateway, GATEWAY, b)
        for n, b in ((5, BOOT.upper()), (6, BOOT))
    ]
    async with database.transaction() as tx:
        await note(tx, both, await keep(tx, both, stored_at=NOON), at=NOON)
    assert (await ledger_of(database))[0][1] == "{[1,8),[9,10)}"


async def test_what_is_refused_by_uid_or_by_the_database_has_its_word_too(
    database: Database, home: Home, database_url: str
) -> None:
    rival = msgspec.structs.replace(pressure(1), seq=2, raw="ff")
    await take(database, home, [pressure(1), rival])
    culprit = ReceivedItem(pressure(3), home.gateway, GATEWAY, BOOT)
    async with database.transaction() as tx:
        await note(tx, [culprit], None, at=NOON)
    assert await ledger_of(database) == [(BOOT, "{[1,4)}", 0, 0)]


async def test_late_is_by_a_clock_to_trust_and_counted_once(
    database: Database, home: Home, database_url: str
) -> None:
    old = NOON - timedelta(minutes=11)
    items = [
        pressure(1, at=old),
        pressure(2, at=NOON - timedelta(minutes=9)),
        pressure(3, at=old, gw_q="none"),
        # Measured long ago, and read out of its device just now.
        pressure(4, t=old - timedelta(days=3)),
    ]
    for _ in range(2):
        await take(database, home, items)
    assert await ledger_of(database) == [(BOOT, "{[1,5)}", 4, 1)]


async def test_what_a_person_entered_has_no_number(
    database: Database, home: Home, database_url: str
) -> None:
    item = entered(pressure(1), token="t", patient_id=home.patient, entered_by=home.staff)
    async with database.transaction() as tx:
        await note(tx, [item], await keep(tx, [item], stored_at=NOON), at=NOON)
    assert await ledger_of(database) == []


async def test_a_tombstone_is_a_hole_with_its_reason(
    database: Database, home: Home, database_url: str
) -> None:
    for _ in range(2):
        await take(database, home, [pressure(1), tombstone(2), pressure(3)])
    assert await ledger_of(database) == [(BOOT, "{[1,4)}", 3, 0)]
    assert rows(database_url, "SELECT seq, why FROM tombstone") == [(2, "too_large")]


async def test_too_many_holes_are_bounded_and_told(database: Database, home: Home) -> None:
    full = "SELECT is_full, upper(had) FROM ledger"
    chance = random.Random(7)  # noqa: S311 - a seed, so that the numbers repeat themselves
    holes = sorted(chance.sample(range(2, 1_000_000), 10_000))
    await _refuse(database, home, [n for n in holes if n - 1 not in holes])
    assert await ledger_of(database, full) == [(False, holes[-1] + 1)]
    await _refuse(database, home, range(2_000_000, 2_000_100, 2))
    assert await ledger_of(database, full) == [(True, holes[-1] + 1)]
    await _refuse(database, home, range(1, 1_000_001))
    assert await ledger_of(database, "SELECT had::text FROM ledger") == [("{[1,1000001)}",)]


async def _refuse(database: Database, home: Home, seqs: Sequence[int]) -> None:
    async with database.transaction() as tx:
        await note(tx, (), (), refused=[Refused(home.gateway, BOOT, n) for n in seqs], at=NOON)


async def test_what_is_folded_again_or_at_once_counts_once(database: Database, home: Home) -> None:
    await take(database, home, [*several(1, 2, 2), pressure(3, at=NOON - timedelta(hours=1))])
    both = await asyncio.gather(ledger_of(database), ledger_of(database))
    assert list(both) == [[(BOOT, "{[1,4)}", 1, 1)]] * 2
    # Committed after a folding, with a time before it.
    await take(database, home, several(4), at=NOON - timedelta(minutes=10))
    assert await ledger_of(database) == [(BOOT, "{[1,5)}", 1, 1)]


async def test_a_ledger_grows_old(database: Database, home: Home) -> None:
    assert home.gateway
    for at, is_so in ((NOON, True), (NOON + FOLDED_WITHIN - MINUTE, False)):
        async with database.transaction() as tx:
            assert await is_old(tx, at=at) == is_so
            await fold(tx, at=NOON)


async def test_two_workers_in_opposite_order_wait_and_never_deadlock(
    database: Database, home: Home, database_url: str
) -> None:
    chance = random.Random(7)  # noqa: S311 - a seed, so that the order repeats itself
    boots = [str(UUID(int=chance.getrandbits(128), version=4)) for _ in range(8)]
    everything = [(boot, seq) for boot in boots for seq in range(1, 101)]

    async def work(order: list[tuple[str, int]]) -> None:
        for start in range(0, len(order), 40):
            part = order[start : start + 40]
            received = [
                ReceivedItem(pressure(n, salt=boot), home.gateway, GATEWAY, boot)
                for boot, n in part
            ]
            async with database.transaction() as tx:
                kept = await keep(tx, received, stored_at=NOON)
                await note(tx, received, kept, at=NOON)

    orders = [chance.sample(everything, len(everything)) for _ in range(3)]
    await asyncio.gather(*(work(order) for order in orders))
    counted = "SELECT had::text, duplicates FROM ledger ORDER BY boot"
    assert await ledger_of(database, counted) == [("{[1,101)}", 200)] * len(boots)
    dead = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert rows(database_url, dead) == [(0,)]


async def test_the_ledger_is_filled_from_what_was_stored_before_it(
    database: Database, home: Home, database_url: str
) -> None:
    late = pressure(2, at=NOON - timedelta(hours=1))
    facts = [
        Item(
            seq=6, uid=wire.row_uid(BOOT, 6), type="clock", boot=BOOT, mono_ms=0, utc=NOON, q="ntp"
        ),
        tombstone(7),
        Item(seq=8, uid=wire.row_uid(BOOT, 8), type="undecodable", dev=CUFF, char="2A35", raw="ff"),
    ]
    await take(database, home, [pressure(1), late, pressure(3), *facts, pressure(9)])
    await take(database, home, several(1_000_000_000), boot=NEXT_BOOT)
    by_hand = entered(pressure(50), token="t", patient_id=home.patient, entered_by=home.staff)
    async with database.transaction() as tx:
        await keep(tx, [by_hand], stored_at=NOON)
    kept = await ledger_of(database)
    assert [had for _, had, _, _ in kept] == ["{[1,4),[6,10)}", "{[1000000000,1000000001)}"]
    heard = "SELECT boot, first_at, last_at, is_full FROM ledger ORDER BY boot"
    before = await ledger_of(database, heard)
    _migrate_again(database_url)
    assert rows(database_url, LEDGER) == kept
    assert rows(database_url, heard) == before
    assert await ledger_of(database) == kept


def _migrate_again(url: str) -> None:
    """Take the database back to before the ledger, and let the migration's file run."""
    migration = Path(migrations.__file__ or "").parent / "migrations" / "0008_ledger.sql"
    with psycopg.connect(url) as db:
        db.execute("DROP TABLE ledger, ledger_entry, ledger_fold, tombstone, erased_row")
        db.execute("DROP TABLE certificate_range, certificate, certified_day")
        db.execute("DROP FUNCTION certificate_row_hash; DROP INDEX measurement_stored")
        db.execute(migration.read_bytes())
