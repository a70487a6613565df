"""Uids of old epochs are packed: cut off anywhere, twice at once, and none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from devices.wire import Item
from server.settings import SettingsError, read_settings
from server.store import erasure, items, uid_runs
from server.store.database import Database
from server.store.items import Outcome
from server.store.uid_runs import BATCH_UIDS, KEEP_MIN, RUN_UIDS, Uids
from tests.server.homes import BOOT, NOON, Home, pressure, rows, settle
from tests.server.store.fix_uids import DAY, end_epochs, outcome, prune_all

pytestmark = pytest.mark.integration

LATE = NOON + 100 * DAY
MANY = 2 * BATCH_UIDS + RUN_UIDS // 2
_FILL = """
INSERT INTO item_uid (uid, stored_at, measured_at, identity, epoch)
SELECT md5(n::text)::uuid, %s, CASE WHEN n %% 7 > 0 THEN %s + n * INTERVAL '1 second' END,
       CASE WHEN n %% 5 > 0 THEN md5('i' || n)::uuid END, 1
FROM generate_series(1, %s) n
"""
_KNOWN = """
SELECT count(*) FROM generate_series(1, %s) n
JOIN claimed((SELECT array_agg(md5(n::text)::uuid) FROM generate_series(1, %s) n)) c
    ON c.uid = md5(n::text)::uuid
   AND c.measured_at IS NOT DISTINCT FROM
       CASE WHEN n %% 7 > 0 THEN %s + n * INTERVAL '1 second' END
"""
_PACKED = """
SELECT count(*), count(DISTINCT u.uid), count(*) FILTER (
    WHERE u.identity IS NOT DISTINCT FROM CASE WHEN n %% 5 > 0 THEN md5('i' || n)::uuid END)
FROM uid_run r CROSS JOIN LATERAL unnest(r.uids, r.identities) u (uid, identity)
JOIN generate_series(1, %s) n ON u.uid = md5(n::text)::uuid
"""


@pytest.fixture
def home(database_url: str) -> Home:
    return settle(database_url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.connect(database_url, name="test") as database:
        yield database


async def uids(database: Database) -> Uids:
    async with database.transaction() as tx:
        return await uid_runs.state(tx)


async def grow_old(database: Database) -> int:
    """Let the epoch of everything that is stored be pruned; return how many uids were packed."""
    await end_epochs(database, first=NOON + DAY, count=2)
    return await prune_all(database, at=LATE)


async def test_every_uid_is_packed_once_and_stays_known(
    database: Database, database_url: str
) -> None:
    rows(database_url, _FILL, NOON, NOON, MANY, fetch=False)
    await end_epochs(database, first=NOON, count=2)
    packed = await asyncio.gather(*(prune_all(database, at=LATE) for _ in range(3)))
    assert sum(packed) == MANY
    assert rows(database_url, _PACKED, MANY) == [(MANY, MANY, MANY)]
    assert rows(database_url, _KNOWN, MANY, MANY, NOON) == [(MANY,)]
    assert rows(database_url, "SELECT count(*) FROM item_uid") == [(0,)]
    sizes = rows(database_url, "SELECT cardinality(uids) FROM uid_run ORDER BY first_uid")
    assert {size for (size,) in sizes[:-1]} == {RUN_UIDS}
    assert await uids(database) == Uids(1, 2, MANY, NOON + 7 * DAY, 0)
    assert await prune_all(database, at=LATE) == 0


async def test_what_is_half_packed_is_known_and_goes_on(
    database: Database, database_url: str
) -> None:
    rows(database_url, _FILL, NOON, NOON, MANY, fetch=False)
    await end_epochs(database, first=NOON, count=1)
    rows(database_url, _STOP, fetch=False)
    with pytest.raises(Exception, match="cut off"):
        await prune_all(database, at=LATE)
    assert rows(database_url, "SELECT count(*) FROM item_uid") == [(MANY - BATCH_UIDS,)]
    assert rows(database_url, _KNOWN, MANY, MANY, NOON) == [(MANY,)]
    assert (await uids(database)).pruned_epochs == 0
    rows(database_url, "DROP TRIGGER stop ON uid_run", fetch=False)
    assert await prune_all(database, at=LATE) == MANY - BATCH_UIDS
    assert rows(database_url, _KNOWN, MANY, MANY, NOON) == [(MANY,)]


_STOP = """
CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT sum(pruned_uids) FROM uid_epoch) > 0 THEN RAISE EXCEPTION 'cut off'; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER stop BEFORE INSERT ON uid_run FOR EACH STATEMENT EXECUTE FUNCTION stop()
"""


async def test_what_homes_may_still_send_again_is_not_packed(
    database: Database, home: Home
) -> None:
    await outcome(database, home, pressure(1), at=NOON)
    await outcome(database, home, pressure(2, at=NOON + 90 * DAY), at=NOON)
    ended = NOON + DAY
    await end_epochs(database, first=ended, count=1)
    assert await uid_runs.prune(database, now=ended + KEEP_MIN, keep=KEEP_MIN) == 0
    late = ended + KEEP_MIN + timedelta(seconds=1)
    assert await uid_runs.prune(database, now=late, keep=30 * DAY) == 0
    assert await uid_runs.prune(database, now=late, keep=KEEP_MIN) == 1
    assert (await uids(database)).ahead == 1, "what was dated ahead is never packed"
    with pytest.raises(ValueError, match="7 days"):
        await uid_runs.prune(database, now=LATE, keep=KEEP_MIN - timedelta(seconds=1))


async def test_a_value_is_kept_once_while_its_epoch_is_packed(
    database: Database, home: Home, database_url: str
) -> None:
    rows(database_url, _FILL, NOON, NOON, MANY, fetch=False)
    known = [pressure(n) for n in range(1, 6)]
    for item in known:
        await outcome(database, home, item, at=NOON)
    await end_epochs(database, first=NOON + DAY, count=1)
    packing = asyncio.create_task(prune_all(database, at=LATE))
    found: set[Outcome] = set()
    while not packing.done():
        found.update(
            await asyncio.gather(*(outcome(database, home, one, at=LATE) for one in known))
        )
    assert await packing == MANY + len(known)
    found.update([await outcome(database, home, one, at=LATE) for one in known])
    assert found == {Outcome.DUPLICATE}
    assert rows(database_url, "SELECT count(*) FROM measurement") == [(len(known),)]


async def test_a_clock_that_is_learnt_late_moves_packed_values(
    database: Database, home: Home, database_url: str
) -> None:
    """A boot's clock item that comes months late: two of its values stand in one run."""
    wrong = NOON - 5 * DAY
    estimated = [
        pressure(n, at=wrong, tq="estimated", dev_t=None, gw_q="none", mono_ms=n * 1000)
        for n in (1, 2, 3)
    ]
    for item in estimated:
        await outcome(database, home, item, at=NOON)
    await outcome(database, home, pressure(4), at=NOON)
    assert await grow_old(database) == 4
    clock = Item(seq=9, uid=f"{9:032x}", type="clock", boot=BOOT, mono_ms=9000, utc=NOON, q="ntp")
    assert await outcome(database, home, clock, at=LATE) is Outcome.STORED
    located = rows(
        database_url,
        "SELECT m.seq, l.measured_at FROM located(%s::uuid[]) l"
        " JOIN measurement m ON m.uid = l.uid AND m.measured_at = l.measured_at ORDER BY 1",
        [item.uid for item in [*estimated, pressure(4)]],
    )
    moved = [(n, NOON - timedelta(seconds=9 - n)) for n in (1, 2, 3)]
    assert located == [*moved, (4, NOON)]
    for item in [*estimated, pressure(4)]:
        assert await outcome(database, home, item, at=LATE) is Outcome.DUPLICATE


async def test_what_was_erased_stays_erased(
    database: Database, home: Home, database_url: str
) -> None:
    first, second = pressure(1), pressure(2)
    for item in (first, second):
        await outcome(database, home, item, at=NOON)
    order = erasure.Order("IVO 3.1-1/2026", "Chefsläkare Prov", "beslut", uid=UUID(first.uid))
    async with database.transaction() as tx:
        await erasure.erase(tx, order, at=NOON)
    assert await grow_old(database) == 2
    async with database.transaction() as tx:
        await erasure.erase(tx, replace(order, uid=UUID(second.uid)), at=LATE)
    for item in (first, second):
        again = msgspec.structs.replace(item, t=LATE, gw_t=LATE, tq="gateway")
        assert await outcome(database, home, again, at=LATE) is Outcome.DUPLICATE
    flags = rows(database_url, "SELECT flags, raw FROM measurement")
    assert flags == [(["erased"], None)] * 2
    assert rows(database_url, "SELECT count(*) FROM observation") == [(0,)]


async def test_a_row_that_went_by_age_does_not_come_back(
    database: Database, home: Home, database_url: str
) -> None:
    await outcome(database, home, pressure(1), at=NOON)
    rows(database_url, "DELETE FROM measurement", fetch=False)
    assert await grow_old(database) == 1
    assert await outcome(database, home, pressure(1), at=LATE) is Outcome.DUPLICATE
    other = pressure(1, raw="00")
    assert await outcome(database, home, other, at=LATE) is Outcome.CONFLICT
    assert rows(database_url, "SELECT count(*) FROM measurement") == [(0,)]


async def test_facts_and_what_people_entered_are_known_too(
    database: Database, home: Home, database_url: str
) -> None:
    facts = [
        Item(seq=8, uid=f"{8:032x}", type="retract", of=pressure(1).uid, why="not_me"),
        Item(seq=10, uid=f"{10:032x}", type="tombstone"),
        Item(seq=11, uid=f"{11:032x}", type="undecodable", char="2A35", raw="ff"),
    ]
    typed = msgspec.structs.replace(pressure(1), dev_t=None, gw_t=None, gw_q=None, raw=None)
    form = items.entered(typed, token="t1", patient_id=home.patient, entered_by=home.staff)

    async def send_all() -> list[Outcome]:
        answers = [await outcome(database, home, fact, at=NOON) for fact in facts]
        async with database.transaction() as tx:
            kept = await items.keep(tx, [form], stored_at=NOON)
        return [*answers, *(one.outcome for one in kept)]

    assert set(await send_all()) == {Outcome.STORED}
    assert await grow_old(database) == 4
    assert set(await send_all()) == {Outcome.DUPLICATE}
    assert rows(database_url, "SELECT tombstones FROM gateway") == [(1,)]


def test_uids_are_kept_longer_than_homes_send_again() -> None:
    base = {"HEMMA_DATABASE_URL": "x"}
    assert read_settings(base).uid_days == 30
    assert read_settings(base | {"HEMMA_UID_DAYS": "7"}).uid_days == 7
    for text in ("6", "3651", "a month"):
        with pytest.raises(SettingsError, match="HEMMA_UID_DAYS"):
            read_settings(base | {"HEMMA_UID_DAYS": text})
