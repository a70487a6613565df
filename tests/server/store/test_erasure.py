"""An order takes the content of a person or an item; places, chain and access log stay."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from devices.wire import Item
from server.alerting.judge import judge_inbox
from server.store import erasure
from server.store.database import Database
from server.store.erasure import NotErasable, Order
from server.store.errors import RightsMissing, UnknownName
from server.store.items import Outcome, ReceivedItem, entered, keep
from tests.server.homes import BOOT, GATEWAY, NOON, Home, pressure, rows, settle
from tests.server.store.fix_uids import end_epochs, prune_all

pytestmark = pytest.mark.integration

DAY = timedelta(days=1)
# An order of an earlier transaction opens nothing.
OLD_ORDER = (
    "SELECT set_config('hemma.erasure', (SELECT max(id)::text FROM erasure), true);"
    " UPDATE decision SET text_sv = ''"
)
ORDER = Order("IVO 3.1-1/2026", "Chefsläkare Prov", "Beslut om förstöring")
CLOSE = (
    "WITH e AS (INSERT INTO alert_event (alert_id, at, event, detail) SELECT id, now(),"
    ' \'closed\', \'{"outcome": "contacted-no-action", "note": "Ringde Maj-Britt"}\' FROM alert)'
    " UPDATE alert SET handling = 'closed'"
)


@pytest.fixture
def home(database_url: str) -> Home:
    return settle(database_url)


async def live(database: Database, home: Home) -> None:
    """Let a red value and two others come, be judged, and be answered."""
    wish = Item(seq=4, uid=f"{4:032x}", type="retract", of=pressure(1).uid, why="Grannen mätte")
    items = [pressure(1, at=NOON - 2 * DAY), pressure(2, at=NOON - DAY, systolic=231.0),
             pressure(3, at=NOON), wish]  # fmt: skip
    async with database.transaction() as tx:
        received = [ReceivedItem(item, home.gateway, GATEWAY, BOOT) for item in items]
        await keep(tx, received, stored_at=NOON)
        await judge_inbox(tx, now=NOON)


def content(url: str) -> str:
    """Everything that stands in the tables that hold content, as text."""
    tables = ("measurement", "observation", "latest", "alert", "alert_evidence", "alert_event",
              "decision", "patient", "patient_limit", "retraction")  # fmt: skip
    return "\n".join(str(rows(url, f"SELECT t::text FROM {table} t")) for table in tables)  # noqa: S608


async def test_a_persons_content_goes_and_its_places_stay(database_url: str, home: Home) -> None:
    places = (
        "SELECT uid, measured_at, boot, seq, stored_at, received_seq FROM measurement ORDER BY seq"
    )
    async with Database.connect(database_url, name="test") as database:
        await live(database, home)
        before = rows(database_url, places)
        order = replace(ORDER, patient_id=home.patient)
        with pytest.raises(NotErasable, match="open"):
            async with database.transaction() as tx:
                await erasure.erase(tx, order, at=NOON)
        rows(database_url, CLOSE, fetch=False)
        assert "231" in content(database_url)
        assert "Grannen" in content(database_url)
        async with database.transaction() as tx:
            done = await erasure.erase(tx, order, at=NOON)
        assert done.counts["measurement"] == 3
        assert done.counts["observation"] == 9
        assert rows(database_url, places) == before
        left = content(database_url)
        for gone in ("231", "128", "1e8000520060", "DEMO-01", "Ringde Maj-Britt", "Grannen"):
            assert gone not in left, gone
        assert "DEMO-02" in left
        assert rows(database_url, "SELECT count(*) FROM erased_item") == [(3,)]
        # The home sends it again: it is known, and stays erased.
        async with database.transaction() as tx:
            again = ReceivedItem(pressure(3, at=NOON), home.gateway, GATEWAY, BOOT)
            (kept,) = await keep(tx, [again], stored_at=NOON)
        assert kept.outcome is Outcome.DUPLICATE
        async with database.transaction() as tx:
            (listed,) = await erasure.listed(tx)
    assert (listed.reference, listed.patient_id) == (ORDER.reference, home.patient)


async def test_one_item_goes_and_the_one_before_is_the_latest(
    database_url: str, home: Home
) -> None:
    async with Database.connect(database_url, name="test") as database:
        await live(database, home)
        rows(database_url, CLOSE, fetch=False)
        order = replace(ORDER, uid=UUID(pressure(3).uid))
        async with database.transaction() as tx:
            first = await erasure.prospect(tx, order)
            word = erasure.confirmation(order, first)
            assert word == erasure.confirmation(order, await erasure.prospect(tx, order))
            assert word != erasure.confirmation(replace(order, reference="another"), first)
            await erasure.erase(tx, order, at=NOON)
        latest = rows(database_url, "SELECT DISTINCT uid FROM latest")
        assert latest == [(UUID(pressure(2).uid),)]
        assert rows(database_url, "SELECT count(DISTINCT uid) FROM observation") == [(2,)]
        with pytest.raises(UnknownName):
            async with database.transaction() as tx:
                await erasure.erase(tx, replace(ORDER, uid=UUID(int=7)), at=NOON)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE alert_event SET detail = '{}'",
        "DELETE FROM alert_event",
        "UPDATE decision SET text_sv = ''",
        "UPDATE erasure SET reason = ''",
        "DELETE FROM erased_item",
        OLD_ORDER,
    ],
)
async def test_nothing_else_changes_what_is_append_only(
    database_url: str, home: Home, statement: str
) -> None:
    async with Database.connect(database_url, name="test") as database:
        await live(database, home)
        rows(database_url, CLOSE, fetch=False)
        async with database.transaction() as tx:
            await erasure.erase(tx, replace(ORDER, patient_id=home.patient), at=NOON)
        with pytest.raises(RightsMissing, match="append-only"):
            async with database.transaction() as tx:
                await tx.execute(statement.encode())


async def store(database: Database, home: Home, *items: Item) -> list[Outcome]:
    async with database.transaction() as tx:
        received = [ReceivedItem(item, home.gateway, GATEWAY, BOOT) for item in items]
        return [kept.outcome for kept in await keep(tx, received, stored_at=NOON)]


async def test_no_fingerprint_is_left_to_try_values_against(database_url: str, home: Home) -> None:
    fingerprints = "SELECT count(*), count(identity) FROM item_uid"
    typed = entered(pressure(9), token="x" * 20, patient_id=home.patient, entered_by=home.staff)
    async with Database.connect(database_url, name="test") as database:
        await store(database, home, pressure(1), pressure(2, systolic=231.0))
        async with database.transaction() as tx:
            await keep(tx, [typed], stored_at=NOON)
        assert rows(database_url, fingerprints) == [(3, 3)]
        async with database.transaction() as tx:
            await erasure.erase(tx, replace(ORDER, patient_id=home.patient), at=NOON)
        assert rows(database_url, fingerprints) == [(3, 0)]
        # The home sends it again, also with other words: it is known, and stays erased.
        again = [pressure(1), pressure(2, systolic=231.0, raw="ff")]
        assert await store(database, home, *again) == [Outcome.DUPLICATE] * 2
    assert rows(database_url, "SELECT count(*) FROM observation") == [(0,)]


async def test_no_packed_fingerprint_is_left_either(database_url: str, home: Home) -> None:
    fingerprints = "SELECT count(*), count(f) FROM uid_run, unnest(identities) AS f"
    mine = [pressure(n, at=NOON - n * DAY / 24) for n in range(100)]
    other = pressure(500, dev="ble-ffeeddccbbaa")
    async with Database.connect(database_url, name="test") as database:
        await store(database, home, *mine, other)
        await end_epochs(database, first=NOON + 30 * DAY, count=1)
        assert await prune_all(database, at=NOON + 400 * DAY) == 101
        assert rows(database_url, fingerprints) == [(101, 101)]
        async with database.transaction() as tx:
            await erasure.erase(tx, replace(ORDER, patient_id=home.patient), at=NOON)
        assert rows(database_url, fingerprints) == [(101, 1)]
        again = [*mine, other]
        assert await store(database, home, *again) == [Outcome.DUPLICATE] * 101


async def test_what_found_no_patient_goes_unless_it_may_be_anothers(
    database_url: str, home: Home
) -> None:
    """The cuff is user 1's, the patient's, for five days; and the neighbour's from noon on."""
    bind = (
        "INSERT INTO binding (device_id, patient_id, user_index, valid)"
        " VALUES (%s, %s, %s, tstzrange(%s, %s))"
    )
    rows(database_url, "DELETE FROM binding", fetch=False)
    spans = (NOON - 9 * DAY, NOON - 7 * DAY), (NOON - 5 * DAY, NOON - 3 * DAY)
    for since, until in spans:
        rows(database_url, bind, home.cuff, home.patient, 1, since, until, fetch=False)
    rows(database_url, bind, home.cuff, home.neighbour, 1, NOON, None, fetch=False)
    gone = {
        1: pressure(1, at=NOON - 10 * DAY, systolic=231.0),  # before anybody's
        2: pressure(2, at=NOON - 6 * DAY, ctx={"user_index": 1}),  # between two of the person's
        3: pressure(3, at=NOON - 4 * DAY, ctx={"user_index": 1}),  # the person's
    }
    left = {
        4: pressure(4, at=NOON - DAY, ctx={"user_index": 1}),  # between the person and another
        5: pressure(5, at=NOON - 4 * DAY, ctx={"user_index": 2}),  # a guest's
        6: pressure(6, at=NOON - 4 * DAY, dev="ble-ffeeddccbbaa"),  # of a device that was nobody's
        7: pressure(7, at=NOON + DAY / 24 / 60),  # during another's
    }
    async with Database.connect(database_url, name="test") as database:
        await store(database, home, *gone.values(), *left.values())
        async with database.transaction() as tx:
            await judge_inbox(tx, now=NOON)
        about = "SELECT count(*) FROM alert WHERE patient_id IS NULL AND text_sv <> ''"
        assert rows(database_url, about) == [(1,)]
        rows(database_url, CLOSE, fetch=False)
        async with database.transaction() as tx:
            done = await erasure.erase(tx, replace(ORDER, patient_id=home.patient), at=NOON)
        assert (done.counts["measurement"], done.counts["observation"]) == (3, 9)
        assert rows(database_url, about) == [(0,)]
        erased = "SELECT seq FROM measurement WHERE 'erased' = ANY(flags) ORDER BY seq"
        assert [seq for (seq,) in rows(database_url, erased)] == list(gone)
        seqs = "SELECT DISTINCT m.seq FROM observation o JOIN measurement m USING (uid) ORDER BY 1"
        assert [seq for (seq,) in rows(database_url, seqs)] == list(left)
        assert "231" not in content(database_url)
        assert await store(database, home, gone[1]) == [Outcome.DUPLICATE]
