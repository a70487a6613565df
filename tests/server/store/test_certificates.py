"""The daily certificate: made once, true for as long as each row is there, found out when not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from uuid import UUID

import pytest

from devices import wire
from devices.wire import Item
from server.store import bindings, certificates
from server.store.certificate_check import Difference, Fault, differences
from server.store.certificates import Certified, certificate, certify_next
from server.store.database import Database
from server.store.errors import RightsMissing
from server.store.items import ReceivedItem, keep
from server.store.ledger import note
from tests.server.homes import BOOT, GATEWAY, NOON, Home, pressure, rows, settle
from tests.server.store.fix_uids import end_epochs, prune_all

pytestmark = pytest.mark.integration

DAY = timedelta(days=1)
SECOND_BOOT = "0b8f5d1e-6a55-4f0e-9d2b-8d5f1f2a7c10"
SUNDAY, MONDAY = date(2026, 11, 22), date(2026, 11, 23)
LATER = NOON + 3 * DAY


@pytest.fixture
def home(database_url: str) -> Home:
    return settle(database_url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.connect(database_url, name="test") as database:
        yield database


async def take(
    database: Database, home: Home, *items: Item, at: datetime = NOON, boot: str = BOOT
) -> None:
    received = [ReceivedItem(item, home.gateway, GATEWAY, boot) for item in items]
    async with database.transaction() as tx:
        await note(tx, received, await keep(tx, received, stored_at=at), at=at)


async def certify(database: Database, *, now: datetime = LATER) -> list[Certified]:
    done: list[Certified] = []
    while True:
        async with database.transaction() as tx:
            one = await certify_next(tx, now=now)
        if one is None:
            return done
        done.append(one)


async def found(database: Database, gateway: str | None = None) -> list[Difference]:
    async with database.transaction() as tx:
        return await differences(tx, gateway=gateway)


async def two_days(database: Database, home: Home) -> None:
    """Certify a Sunday with two boots and a hole, and a Monday."""
    clock = Item(
        seq=4,
        uid=wire.row_uid(BOOT, 4),
        type="clock",
        boot=SECOND_BOOT,
        mono_ms=0,
        utc=NOON,
        q="ntp",
    )
    await take(database, home, *map(pressure, (1, 2, 3)), clock, *map(pressure, (5, 6)))
    await take(database, home, pressure(1, salt="b"), boot=SECOND_BOOT)
    await take(database, home, pressure(7), at=NOON + DAY)
    await certify(database)


async def test_each_day_is_certified_once_in_order_when_it_is_over(
    database: Database, home: Home, database_url: str
) -> None:
    await take(database, home, *map(pressure, (1, 2)))
    await take(database, home, pressure(3), at=NOON + 2 * DAY)
    too_early = datetime.combine(MONDAY, datetime.min.time(), NOON.tzinfo) + certificates.GRACE
    assert await certify(database, now=too_early - timedelta(seconds=1)) == []
    assert await certify(database, now=too_early) == [Certified(SUNDAY, 1, 2)]
    made = rows(database_url, "SELECT * FROM certificate")
    many = await asyncio.gather(*(certify(database) for _ in range(3)))
    assert sorted(one for done in many for one in [(d.day, d.rows) for d in done]) == [
        (MONDAY, 0),
        (MONDAY + DAY, 1),
    ]
    assert rows(database_url, "SELECT * FROM certificate WHERE day = %s", SUNDAY) == made
    assert await certify(database) == []


async def test_a_certificate_says_what_was_hashed_and_rests_on_the_one_before(
    database: Database, home: Home
) -> None:
    await two_days(database, home)
    async with database.transaction() as tx:
        sunday = await certificate(tx, GATEWAY, SUNDAY)
        monday = await certificate(tx, GATEWAY, MONDAY)
        assert await certificate(tx, GATEWAY, MONDAY + DAY) is None
    assert sunday is not None
    assert monday is not None
    spans = [(one.boot, one.first, one.last) for one in sunday.ranges]
    assert spans == [(SECOND_BOOT, 1, 1), (BOOT, 1, 3), (BOOT, 5, 6)]
    hashes = [wire.row_hash(UUID(BOOT), n, UUID(pressure(n).uid)) for n in (1, 2, 3)]
    assert sunday.ranges[1].digest == wire.range_digest(hashes).hex()
    assert (sunday.rows, sunday.previous, monday.previous) == (6, None, sunday.chain)
    sealed = wire.chain_hash(None, GATEWAY, SUNDAY, sunday.ranges)
    assert sealed.hex() == sunday.chain
    assert wire.chain_hash(sealed, GATEWAY, MONDAY, monday.ranges).hex() == monday.chain


async def test_what_is_learnt_later_leaves_the_certificates_true(
    database: Database, home: Home, database_url: str
) -> None:
    await take(database, home, pressure(1, tq="estimated", gw_q="none", mono_ms=1_000))
    await take(database, home, pressure(2, dev="ble-aaaaaaaaaaaa"))
    await certify(database)
    day_after = NOON + 4 * DAY
    clock = Item(
        seq=3, uid=wire.row_uid(BOOT, 3), type="clock", boot=BOOT, mono_ms=2_000,
        utc=NOON + timedelta(days=40), q="ntp",
    )  # fmt: skip
    wish = Item(seq=4, uid=wire.row_uid(BOOT, 4), type="retract", of=pressure(2).uid, why="not_me")
    await take(database, home, clock, wish, pressure(1), at=day_after)
    async with database.transaction() as tx:
        device = await bindings.register_device(tx, "ble-aaaaaaaaaaaa")
        await bindings.bind(tx, device_id=device, patient_id=home.patient, since=NOON - DAY)
    learnt = "SELECT measured_how, patient_id, flags FROM measurement ORDER BY seq"
    assert rows(database_url, learnt) == [
        ("corrected", home.patient, []),
        ("device", home.patient, ["retracted"]),
    ]
    assert await found(database) == []


async def test_what_is_erased_by_law_keeps_its_place(
    database: Database, home: Home, database_url: str
) -> None:
    await two_days(database, home)
    same = "SELECT certificate_row_hash(%s, 258, %s)"
    expected = wire.row_hash(UUID(BOOT), 258, UUID(int=9))
    assert rows(database_url, same, UUID(BOOT), UUID(int=9)) == [(expected,)]
    erase = """
    WITH gone AS (
        DELETE FROM measurement WHERE seq = 2 RETURNING gateway_id, boot, seq, stored_at, uid)
    INSERT INTO erased_row
    SELECT gateway_id, boot, seq, stored_at, certificate_row_hash(boot, seq, uid) FROM gone
    """
    rows(database_url, erase, fetch=False)
    emptied = "UPDATE measurement SET raw = NULL, patient_id = NULL, unassigned = 'erased'"
    rows(database_url, emptied, fetch=False)
    assert await found(database) == []


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (
            "DELETE FROM measurement WHERE seq = 2",
            [Difference(GATEWAY, SUNDAY, Fault.GONE, UUID(BOOT), 2, 2)],
        ),
        (
            "UPDATE measurement SET uid = gen_random_uuid() WHERE seq = 6",
            [Difference(GATEWAY, SUNDAY, Fault.CHANGED, UUID(BOOT), 6, 6)],
        ),
        (
            "UPDATE measurement m SET uid = o.uid FROM measurement o WHERE m.seq = 5 AND o.seq = 6",
            [Difference(GATEWAY, SUNDAY, Fault.CHANGED, UUID(BOOT), 5, 6)],
        ),
        (
            "UPDATE measurement SET seq = 9 WHERE seq = 6",
            [
                Difference(GATEWAY, SUNDAY, Fault.GONE, UUID(BOOT), 6, 6),
                Difference(GATEWAY, SUNDAY, Fault.ADDED, UUID(BOOT), 9, 9),
            ],
        ),
        (
            "UPDATE measurement SET stored_at = stored_at + INTERVAL '1 day' WHERE seq = 3",
            [
                Difference(GATEWAY, SUNDAY, Fault.GONE, UUID(BOOT), 3, 3),
                Difference(GATEWAY, MONDAY, Fault.ADDED, UUID(BOOT), 3, 3),
            ],
        ),
        (
            "DELETE FROM measurement WHERE seq = 7",
            [Difference(GATEWAY, MONDAY, Fault.GONE, UUID(BOOT), 7, 7)],
        ),
    ],
)
async def test_a_row_that_is_not_as_certified_is_named(
    database: Database,
    home: Home,
    database_url: str,
    damage: str,
    expected: list[Difference],
) -> None:
    await two_days(database, home)
    assert await found(database) == []
    rows(database_url, damage, fetch=False)
    assert await found(database) == expected
    assert await found(database, "gw-nowhere") == []


async def test_a_row_is_named_also_when_its_uid_is_packed(
    database: Database, home: Home, database_url: str
) -> None:
    await two_days(database, home)
    await end_epochs(database, first=NOON + 2 * DAY, count=3)
    assert await prune_all(database, at=NOON + 40 * DAY) == 8
    assert await found(database) == []
    rows(
        database_url,
        "UPDATE measurement SET uid = gen_random_uuid() WHERE seq = 6",
        fetch=False,
    )
    changed = Difference(GATEWAY, SUNDAY, Fault.CHANGED, UUID(BOOT), 6, 6)
    assert await found(database) == [changed]


@pytest.mark.parametrize(
    ("damage", "faults"),
    [
        (
            "UPDATE certificate_range SET digest = sha256('') WHERE first_seq = 7",
            [(MONDAY, Fault.CHANGED), (MONDAY, Fault.CHAIN)],
        ),
        (
            "DELETE FROM certificate_range WHERE first_seq = 7",
            [(MONDAY, Fault.ADDED), (MONDAY, Fault.CHAIN)],
        ),
        (
            "UPDATE certificate SET chain = sha256('') WHERE day = '2026-11-23'",
            [(MONDAY, Fault.CHAIN)],
        ),
    ],
)
async def test_a_certificate_that_was_changed_is_found_though_a_trigger_refuses_it(
    database: Database,
    home: Home,
    database_url: str,
    damage: str,
    faults: list[tuple[date, Fault]],
) -> None:
    await two_days(database, home)
    with pytest.raises(RightsMissing, match="append-only"):
        async with database.transaction() as tx:
            await tx.execute(damage.encode())
    rows(database_url, f"SET session_replication_role = replica; {damage}", fetch=False)
    assert [(one.day, one.fault) for one in await found(database)] == faults
