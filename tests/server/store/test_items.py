"""keep(): each item once, with its patient or the reason for having none, in whatever order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from devices.wire import Item, WireSample
from server.store import bindings
from server.store.database import Database
from server.store.errors import BindingOverlap, DataRefused
from server.store.identity import fingerprint
from server.store.items import Kept, Outcome, ReceivedItem, entered, keep
from tests.server.homes import BOOT, CUFF, GATEWAY, NOON, Home, pressure, rows, settle

pytestmark = pytest.mark.integration

PINNED = [
    "c267ff59bc215aca978e31947f98fd92",
    "d508981cb868520ff4777b1b42aadbe7",
    "a8528fef6b63cb2b3f2d1228280359b6",
    "4eab71752c7ff8894665700f7c64acba",
]


@pytest.fixture
def home(database_url: str) -> Home:
    return settle(database_url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.connect(database_url, name="test") as database:
        yield database


async def store(
    database: Database, home: Home, *items: Item, at: datetime = NOON, boot: str = BOOT
) -> list[Kept]:
    received = [ReceivedItem(item, home.gateway, GATEWAY, boot) for item in items]
    async with database.transaction() as tx:
        return await keep(tx, received, stored_at=at)


def outcomes(kept: Sequence[Kept]) -> list[Outcome]:
    return [one.outcome for one in kept]


async def test_a_value_is_stored_once_with_all_it_said(
    database: Database, home: Home, database_url: str
) -> None:
    item = pressure(1, flags=("irregular_pulse",), ctx={"posture": "sitting"})
    (kept,) = await store(database, home, item)
    assert (kept.outcome, kept.patient_id, kept.unassigned) == (Outcome.STORED, home.patient, None)
    (row,) = rows(
        database_url,
        """SELECT measured_at, measured_how, kind_id, gateway_id, device_id, seq, device_time,
                  gateway_time, gateway_clock, mono_ms, stored_at, flags, context, characteristic,
                  encode(raw, 'hex')
           FROM measurement""",
    )
    assert row == (
        NOON, "device", 1, home.gateway, home.cuff, 1, NOON.replace(tzinfo=None), NOON,
        "ntp", 1000, NOON, ["irregular_pulse"], {"posture": "sitting"}, "2A35", item.raw,
    )  # fmt: skip
    observed = rows(database_url, "SELECT component_id, value FROM observation ORDER BY 1")
    assert observed == [(101, 128.0), (102, 82.0), (104, 71.0)]
    assert rows(database_url, "SELECT patient_id, uid FROM engine_inbox") == [
        (home.patient, rows(database_url, "SELECT uid FROM measurement")[0][0])
    ]


async def test_redelivery_changes_nothing(
    database: Database, home: Home, database_url: str
) -> None:
    first = await store(database, home, pressure(1), pressure(2), pressure(1))
    assert outcomes(first) == [Outcome.STORED, Outcome.STORED, Outcome.DUPLICATE]
    again = await store(database, home, pressure(2), pressure(1), pressure(3))
    assert outcomes(again) == [Outcome.DUPLICATE, Outcome.DUPLICATE, Outcome.STORED]
    assert rows(database_url, "SELECT count(*), count(DISTINCT uid) FROM measurement") == [(3, 3)]
    assert rows(database_url, "SELECT count(*) FROM engine_inbox") == [(3,)]


OTHER_RAW = "1e7800500064"


def aside(url: str) -> list[tuple[Any, ...]]:
    return rows(url, "SELECT gateway, reason, seq, times FROM quarantine ORDER BY seq")


@pytest.mark.parametrize("in_one_batch", [True, False])
async def test_another_item_under_a_taken_uid_is_put_aside_and_the_first_stays(
    database: Database, home: Home, database_url: str, in_one_batch: bool
) -> None:
    first = pressure(1)
    other = pressure(2, uid=first.uid, raw=OTHER_RAW, systolic=190)
    batches = [[first, other, pressure(3)]] if in_one_batch else [[first], [other, pressure(3)]]
    kept = [one for batch in batches for one in await store(database, home, *batch)]
    assert outcomes(kept) == [Outcome.STORED, Outcome.CONFLICT, Outcome.STORED]
    again = await store(database, home, other, first)
    assert outcomes(again) == [Outcome.CONFLICT, Outcome.DUPLICATE]
    assert aside(database_url) == [(GATEWAY, "uid_taken", 2, 2)]
    (payload,) = rows(database_url, "SELECT payload FROM quarantine")[0]
    assert msgspec.json.decode(payload, type=Item) == other, "nothing of it is lost"
    query = "SELECT value FROM observation WHERE component_id = 101 ORDER BY received_seq"
    assert rows(database_url, query) == [(128.0,), (128.0,)]


@pytest.mark.parametrize(
    "change",
    [
        {"raw": OTHER_RAW},
        {"raw": None},
        {"char": "2A36"},
        {"dev": "ble-ffffffffffff"},
        {"type": "event", "event": "measurement_failed"},
        {"type": "undecodable"},
        {"type": "retract", "of": "f" * 32, "raw": None},
        {"type": "clock", "boot": BOOT, "utc": NOON, "q": "ntp", "raw": None},
    ],
)
async def test_what_makes_it_another_item(
    database: Database, home: Home, database_url: str, change: dict[str, Any]
) -> None:
    await store(database, home, pressure(1))
    (kept,) = await store(database, home, msgspec.structs.replace(pressure(1), **change))
    assert kept.outcome is Outcome.CONFLICT
    assert [row[1] for row in aside(database_url)] == ["uid_taken"]
    assert rows(database_url, "SELECT count(*) FROM retraction") == [(0,)]


@pytest.mark.parametrize(
    "change",
    [
        {"t": NOON - timedelta(days=3), "tq": "corrected", "gw_t": None, "mono_ms": 7},
        {"seq": 9, "flags": ("movement",), "ctx": {"posture": "sitting"}, "model": "other"},
        # The bytes are kept: decoding them anew needs no second row.
        {"samples": (WireSample("150021", 190.0, "mm[Hg]"),)},
        {"raw": "1E8000520060"},
        {"type": "tombstone", "raw": None},
    ],
)
async def test_what_does_not_make_it_another_item(
    database: Database, home: Home, database_url: str, change: dict[str, Any]
) -> None:
    await store(database, home, pressure(1))
    (kept,) = await store(database, home, msgspec.structs.replace(pressure(1), **change))
    assert kept.outcome is Outcome.DUPLICATE
    assert aside(database_url) == []


async def test_without_bytes_the_samples_tell(database: Database, home: Home) -> None:
    answer: dict[str, Any] = {"dev": "screen", "char": None, "raw": None}
    changed = [
        pressure(1, **answer),
        pressure(1, **answer, at=NOON - timedelta(days=1)),
        pressure(1, **answer, systolic=129),
        pressure(1, **answer, kind="pulse_oximetry", samples=(WireSample("150456", 97, "%"),)),
    ]
    expected = [Outcome.STORED, Outcome.DUPLICATE, Outcome.CONFLICT, Outcome.CONFLICT]
    assert outcomes(await store(database, home, *changed)) == expected


async def test_after_a_clock_item_moved_it_a_value_is_still_the_same(
    database: Database, home: Home
) -> None:
    value = pressure(5, at=NOON - timedelta(days=30), tq="estimated", dev_t=None, raw=None)
    await store(database, home, value, clock(9, mono_ms=120_000, utc=NOON))
    (kept,) = await store(database, home, value)
    assert kept.outcome is Outcome.DUPLICATE


async def test_a_value_never_hides_behind_a_fact_with_its_uid(
    database: Database, home: Home, database_url: str
) -> None:
    for seq, fact in enumerate(("undecodable", "tombstone"), start=1):
        value = pressure(seq)
        await store(database, home, msgspec.structs.replace(value, type=fact))
        (kept,) = await store(database, home, value)
        assert kept.outcome is Outcome.CONFLICT
    taken = [row for row in aside(database_url) if row[1] == "uid_taken"]
    assert taken == [(GATEWAY, "uid_taken", seq, 1) for seq in (1, 2)]


async def test_a_uid_from_before_there_were_fingerprints_counts_as_the_same(
    database: Database, home: Home, database_url: str
) -> None:
    await store(database, home, pressure(1))
    rows(database_url, "UPDATE item_uid SET identity = NULL", fetch=False)
    (kept,) = await store(database, home, pressure(1, raw=OTHER_RAW))
    assert kept.outcome is Outcome.DUPLICATE


def test_fingerprints_are_stored_and_so_never_change() -> None:
    value = pressure(1)
    typed = msgspec.structs.replace(value, raw=None, char=None)
    found = [
        fingerprint(value, device=CUFF),
        fingerprint(typed, device=CUFF),
        fingerprint(typed, device="proxy", entered=(1, 1)),
        fingerprint(clock(9, mono_ms=1, utc=NOON), device=None),
    ]
    assert [one.hex() for one in found] == PINNED


async def test_two_workers_with_two_items_of_one_uid_keep_one_and_refuse_one(
    database: Database, home: Home, database_url: str
) -> None:
    mine = [pressure(seq, at=NOON + timedelta(seconds=seq)) for seq in range(50)]
    theirs = [msgspec.structs.replace(item, raw=OTHER_RAW) for item in mine]
    answers = await asyncio.gather(
        store(database, home, *mine), store(database, home, *theirs[::-1])
    )
    told = [outcome for kept in answers for outcome in outcomes(kept)]
    assert (told.count(Outcome.STORED), told.count(Outcome.CONFLICT)) == (50, 50)
    assert rows(database_url, "SELECT count(*) FROM measurement") == [(50,)]
    assert len(aside(database_url)) == 50


async def test_an_older_value_never_becomes_the_latest(
    database: Database, home: Home, database_url: str
) -> None:
    await store(database, home, pressure(2, systolic=140))
    await store(database, home, pressure(1, at=NOON - timedelta(hours=1), systolic=120))
    query = "SELECT value FROM latest WHERE component_id = 101"
    assert rows(database_url, query) == [(140.0,)]
    await store(database, home, pressure(3, at=NOON + timedelta(days=400), systolic=99))
    assert rows(database_url, query) == [(140.0,)], "a date in the future hides nothing"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dev": "ble-ffffffffffff"}, "unbound_device"),
        ({"t": NOON - timedelta(days=11)}, "outside_binding"),
        ({"gw_t": NOON - timedelta(days=11)}, "outside_binding"),
        ({"gw_t": None}, "outside_binding"),
    ],
)
async def test_without_a_binding_for_both_times_a_value_is_unassigned(
    database: Database, home: Home, database_url: str, change: dict[str, Any], reason: str
) -> None:
    (kept,) = await store(database, home, pressure(1, **change))
    assert (kept.outcome, kept.patient_id, kept.unassigned) == (Outcome.STORED, None, reason)
    assert rows(database_url, "SELECT patient_id FROM engine_inbox") == [(None,)]
    assert rows(database_url, "SELECT count(*) FROM latest") == [(0,)]


async def test_two_users_of_one_scale(database: Database, home: Home) -> None:
    async with database.transaction() as tx:
        scale = await bindings.register_device(tx, "ble-aaaaaaaaaaaa", model="UC-352BLE")
        for user, patient in ((1, home.patient), (2, home.neighbour)):
            await bindings.bind(
                tx, device_id=scale, patient_id=patient, user_index=user,
                since=NOON - timedelta(days=1),
            )  # fmt: skip
    kept = await store(
        database,
        home,
        *(pressure(seq, dev="ble-aaaaaaaaaaaa", ctx={"user_index": seq}) for seq in (1, 2, 3)),
        pressure(4, dev="ble-aaaaaaaaaaaa"),
    )
    assert [k.patient_id for k in kept] == [home.patient, home.neighbour, None, None]
    assert [k.unassigned for k in kept] == [None, None, "other_user", "other_user"]


async def test_binding_later_places_and_judges(
    database: Database, home: Home, database_url: str
) -> None:
    await store(database, home, pressure(1, dev="ble-aaaaaaaaaaaa"))
    rows_before = rows(database_url, "SELECT unassigned FROM measurement")
    assert rows_before == [("unbound_device",)]
    async with database.transaction() as tx:
        await tx.execute("DELETE FROM engine_inbox")
        device = await bindings.id_of(tx, "device", "ble-aaaaaaaaaaaa")
        bound = await bindings.bind(
            tx, device_id=device, patient_id=home.neighbour, since=NOON - timedelta(days=1)
        )
    assert bound.placed == 1
    for table in ("measurement", "observation", "engine_inbox", "latest"):
        query = f"SELECT DISTINCT patient_id FROM {table}"  # noqa: S608 - constants
        assert rows(database_url, query) == [(home.neighbour,)], table


async def test_bindings_do_not_overlap(database: Database, home: Home) -> None:
    with pytest.raises(BindingOverlap):
        async with database.transaction() as tx:
            await bindings.bind(tx, device_id=home.cuff, patient_id=home.neighbour, since=NOON)
    async with database.transaction() as tx:
        assert await bindings.unbind(tx, home.cuff, at=NOON) == bindings.Ended(1, 0)
        await bindings.bind(tx, device_id=home.cuff, patient_id=home.neighbour, since=NOON)
        assert [b.until for b in await bindings.listed(tx)] == [NOON, None]


async def test_an_implausible_value_is_stored_and_flagged(
    database: Database, home: Home, database_url: str
) -> None:
    await store(database, home, pressure(1, systolic=19.0), pressure(2))
    flagged = rows(database_url, "SELECT flags FROM measurement ORDER BY seq")
    assert flagged == [(["implausible"],), ([],)]
    assert rows(database_url, "SELECT count(*) FROM observation WHERE value = 19") == [(1,)]


async def test_a_special_value_keeps_its_reason(
    database: Database, home: Home, database_url: str
) -> None:
    samples = (WireSample("150021", None, "mm[Hg]", "nres"),)
    await store(database, home, pressure(1, samples=samples))
    assert rows(database_url, "SELECT value, absent FROM observation") == [(None, "nres")]


async def test_a_value_entered_by_a_person(
    database: Database, home: Home, database_url: str
) -> None:
    for _ in range(2):
        received = entered(
            pressure(0), token="form-1", patient_id=home.neighbour, entered_by=home.staff
        )
        async with database.transaction() as tx:
            await keep(tx, [received], stored_at=NOON)
    assert rows(
        database_url,
        "SELECT m.patient_id, d.name, m.entered_by, m.gateway_id, m.seq FROM measurement m"
        " JOIN device d ON d.id = m.device_id",
    ) == [(home.neighbour, "proxy", home.staff, None, None)]


@pytest.mark.parametrize(
    "other",
    [{"samples": ()}, {"t": NOON - timedelta(hours=1)}, {"ctx": {"note": "rättat"}}, "neighbour"],
)
async def test_a_forms_token_with_other_values_is_a_conflict(
    database: Database, home: Home, database_url: str, other: Any
) -> None:
    async def send(patient: int, **change: Any) -> Outcome:
        item = msgspec.structs.replace(pressure(0, raw=None, char=None), **change)
        received = entered(item, token="form-1", patient_id=patient, entered_by=home.staff)
        async with database.transaction() as tx:
            return (await keep(tx, [received], stored_at=NOON))[0].outcome

    assert await send(home.patient) is Outcome.STORED
    if other == "neighbour":
        assert await send(home.neighbour) is Outcome.CONFLICT
    else:
        assert await send(home.patient, **other) is Outcome.CONFLICT
    assert await send(home.patient) is Outcome.DUPLICATE
    assert aside(database_url) == [], "who typed it is told"


async def test_an_event_is_kept_but_not_judged(
    database: Database, home: Home, database_url: str
) -> None:
    event = Item(
        seq=1, uid="0" * 31 + "1", type="event", event="not_me", dev="screen",
        t=NOON, tq="gateway", gw_t=NOON, gw_q="ntp",
    )  # fmt: skip
    (kept,) = await store(database, home, event)
    assert kept.unassigned == "unbound_device"
    assert rows(
        database_url,
        "SELECT m.type, m.event, d.name FROM measurement m JOIN device d ON d.id = m.device_id",
    ) == [("event", "not_me", f"screen:{GATEWAY}")]
    assert rows(database_url, "SELECT count(*) FROM engine_inbox") == [(0,)]


def retraction(seq: int, of: str) -> Item:
    return Item(seq=seq, uid=f"{seq:032x}", type="retract", of=of, why="not_me")


@pytest.mark.parametrize("wish_first", [False, True])
async def test_a_retracted_value_stays_and_is_marked(
    database: Database, home: Home, database_url: str, wish_first: bool
) -> None:
    old = pressure(1, at=NOON - timedelta(hours=1), systolic=120)
    value = pressure(2, systolic=140)
    await store(database, home, old)
    order = [retraction(9, value.uid), value] if wish_first else [value, retraction(9, value.uid)]
    for item in order:
        await store(database, home, item)
    assert rows(database_url, "SELECT seq, flags FROM measurement ORDER BY seq") == [
        (1, []),
        (2, ["retracted"]),
    ]
    assert rows(database_url, "SELECT value FROM latest WHERE component_id = 101") == [(120.0,)]


def clock(seq: int, *, mono_ms: int, utc: datetime) -> Item:
    return Item(
        seq=seq, uid=f"{seq:032x}", type="clock", boot=BOOT, mono_ms=mono_ms, utc=utc, q="ntp"
    )


@pytest.mark.parametrize("fact_first", [False, True])
async def test_a_clock_item_corrects_the_boot_and_keeps_the_original(
    database: Database, home: Home, database_url: str, fact_first: bool
) -> None:
    guess = NOON - timedelta(days=30)
    value = pressure(5, at=guess, tq="estimated", gw_q="estimated", dev_t=None, mono_ms=60_000)
    fact = clock(9, mono_ms=120_000, utc=NOON)
    for item in [fact, value] if fact_first else [value, fact]:
        await store(database, home, item)
    assert rows(
        database_url,
        """SELECT measured_at, measured_at_sent, measured_how, gateway_time, patient_id
           FROM measurement""",
    ) == [(NOON - timedelta(minutes=1), guess, "corrected", guess, home.patient)]
    for table in ("observation", "engine_inbox", "latest"):
        query = f"SELECT DISTINCT patient_id, measured_at FROM {table}"  # noqa: S608 - constants
        assert rows(database_url, query) == [(home.patient, NOON - timedelta(minutes=1))], table


@pytest.mark.parametrize("fact_first", [False, True])
async def test_a_devices_own_time_stays_and_finds_its_binding_once_the_gateways_is_known(
    database: Database, home: Home, database_url: str, fact_first: bool
) -> None:
    guess = NOON - timedelta(days=700)
    value = pressure(5, tq="device", gw_t=guess, gw_q="none", mono_ms=60_000)
    fact = clock(9, mono_ms=120_000, utc=NOON + timedelta(minutes=2))
    for item in [fact, value] if fact_first else [value, fact]:
        await store(database, home, item)
    assert rows(
        database_url,
        """SELECT measured_at, measured_at_sent, measured_how, gateway_time, patient_id, unassigned
           FROM measurement""",
    ) == [(NOON, None, "device", guess, home.patient, None)]
    for table in ("observation", "engine_inbox", "latest"):
        query = f"SELECT DISTINCT patient_id, measured_at FROM {table}"  # noqa: S608 - constants
        assert rows(database_url, query) == [(home.patient, NOON)], table


async def test_an_impossible_clock_item_harms_nothing(
    database: Database, home: Home, database_url: str
) -> None:
    estimated: dict[str, Any] = {"tq": "estimated", "dev_t": None}
    await store(database, home, pressure(1, **estimated))
    await store(database, home, clock(9, mono_ms=2**63 - 1, utc=NOON))
    await store(database, home, pressure(2, **estimated))
    query = "SELECT measured_at, measured_how FROM measurement"
    assert rows(database_url, query) == [(NOON, "estimated")] * 2


async def test_a_clock_item_leaves_other_values_alone(
    database: Database, home: Home, database_url: str
) -> None:
    other = "6f1c0a52-0000-4000-8000-000000000002"
    await store(database, home, pressure(1))
    await store(database, home, pressure(2, tq="estimated"), boot=other)
    await store(database, home, clock(9, mono_ms=0, utc=NOON + timedelta(days=1)))
    assert rows(database_url, "SELECT DISTINCT measured_at FROM measurement") == [(NOON,)]


async def test_undecodable_and_tombstone(database: Database, home: Home, database_url: str) -> None:
    items = (
        Item(seq=1, uid=f"{1:032x}", type="undecodable", dev=CUFF, char="2A35", raw="ff"),
        Item(seq=2, uid=f"{2:032x}", type="tombstone"),
    )
    for _ in range(2):
        await store(database, home, *items)
    query = "SELECT gateway, seq, reason, times FROM quarantine"
    assert rows(database_url, query) == [(GATEWAY, 1, "undecodable", 1)]
    assert rows(database_url, "SELECT tombstones FROM gateway") == [(1,)]


@pytest.mark.parametrize(
    "change", [{"ctx": {"note": "\0"}}, {"seq": 2**70}, {"kind": "soul_weight"}]
)
async def test_what_cannot_be_stored_refuses_the_whole_transaction(
    database: Database, home: Home, database_url: str, change: dict[str, Any]
) -> None:
    with pytest.raises(DataRefused):
        await store(database, home, pressure(1), msgspec.structs.replace(pressure(2), **change))
    assert rows(database_url, "SELECT count(*) FROM item_uid") == [(0,)]


async def test_the_inbox_is_announced_at_commit(database: Database, home: Home) -> None:
    heard: list[str] = []
    listening = asyncio.Event()

    async def listen() -> None:
        async for note in database.notifications("hemma_inbox"):
            heard.append(note)
            listening.set()
            if len(heard) == 2:
                return

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(listen())
        await listening.wait()
        await store(database, home, pressure(1))
    assert heard == ["", ""]


async def test_two_workers_with_the_same_items_store_each_once(
    database: Database, home: Home, database_url: str
) -> None:
    items = [pressure(seq, at=NOON + timedelta(seconds=seq)) for seq in range(200)]
    answers = await asyncio.gather(
        *(store(database, home, *order) for order in (items, items[::-1], items[50:] + items[:50]))
    )
    assert sum(outcomes(kept).count(Outcome.STORED) for kept in answers) == 200
    assert rows(database_url, "SELECT count(*) FROM measurement") == [(200,)]
    assert rows(database_url, "SELECT count(*) FROM observation") == [(600,)]
