"""Whatever is doubled, however it is shuffled and cut, the tables end as after the clean stream.

Values, late ones, corrected times, retractions, and people to whom devices are bound in between.

Where two different items claim one uid, that of the first to come: the other one is put aside.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.wire import Item
from server.store import bindings
from server.store.database import Database
from server.store.items import Outcome, ReceivedItem, keep
from tests.server.homes import BOOT, CUFF, GATEWAY, NOON, Home, pressure, settle

pytestmark = pytest.mark.integration

_VALUES = [
    pressure(1, at=NOON - timedelta(hours=2)),
    pressure(2, at=NOON, systolic=150),
    pressure(3, at=NOON, systolic=151),
    pressure(4, at=NOON - timedelta(days=40), tq="estimated", dev_t=None),
    pressure(5, at=NOON - timedelta(days=40), tq="estimated", dev_t=None, dev="ble-aaaaaaaaaaaa"),
    pressure(6, at=NOON - timedelta(days=20)),
    pressure(7, at=NOON + timedelta(minutes=1), systolic=199),
]
SCALE = "ble-aaaaaaaaaaaa"
_ON_SCALE: dict[str, Any] = {"dev": SCALE, "tq": "device"}
# Of a device that is bound to one, then to another, then to a user of it: before, between, after;
# with a gateway that did not know the time; far too late, and dated ahead.
_REBOUND = [
    pressure(31, at=NOON - timedelta(days=90), **_ON_SCALE),
    pressure(32, at=NOON - timedelta(days=50), **_ON_SCALE),
    pressure(33, at=NOON - timedelta(days=25), **_ON_SCALE),
    pressure(34, at=NOON - timedelta(days=9), ctx={"user_index": 1}, **_ON_SCALE),
    pressure(35, at=NOON - timedelta(days=9), ctx={"user_index": 2}, **_ON_SCALE),
    pressure(36, at=NOON - timedelta(seconds=1), gw_t=NOON - timedelta(days=700), gw_q="none",
             mono_ms=9_000, ctx={"user_index": 2}, **_ON_SCALE),
    pressure(37, at=NOON - timedelta(days=50), gw_t=NOON, **_ON_SCALE),
    pressure(38, at=NOON + timedelta(days=300), ctx={"user_index": 1}, **_ON_SCALE),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bind:
    """Somebody binds the scale, or a user of it, in the middle of everything."""

    to_neighbour: bool
    since: datetime
    until: datetime | None
    user_index: int | None = None


BINDS = [
    Bind(True, NOON - timedelta(days=60), NOON - timedelta(days=40)),
    Bind(False, NOON - timedelta(days=40), NOON - timedelta(days=20)),
    Bind(True, NOON - timedelta(days=10), None, user_index=1),
]
STREAM = [
    *_VALUES,
    Item(seq=8, uid=f"{8:032x}", type="retract", of=_VALUES[6].uid, why="not_me"),
    Item(seq=9, uid=f"{9:032x}", type="clock", boot=BOOT, mono_ms=9_000, utc=NOON, q="ntp"),
    Item(seq=10, uid=f"{10:032x}", type="tombstone"),
    Item(seq=11, uid=f"{11:032x}", type="undecodable", dev=CUFF, char="2A35", raw="ff"),
    Item(seq=12, uid=f"{12:032x}", type="retract", of=_REBOUND[1].uid, why="not_me"),
    *_REBOUND,
]
# Other records under the uids of a plain, a corrected and a retracted value: by seq of the rival.
RIVALS = {
    20 + n: msgspec.structs.replace(_VALUES[n], seq=20 + n, raw=f"1e{n:02x}", mono_ms=n)
    for n in (0, 3, 6)
}
_STATE = {
    "measurement": "SELECT uid, seq, measured_at, measured_at_sent, measured_how, patient_id,"
    " unassigned, flags FROM measurement ORDER BY uid",
    "observation": "SELECT uid, component_id, value, measured_at, patient_id FROM observation"
    " ORDER BY 1, 2",
    "latest": "SELECT * FROM latest ORDER BY 1, 2",
    "engine_inbox": "SELECT uid, patient_id, measured_at FROM engine_inbox ORDER BY uid",
    "gateway": "SELECT tombstones FROM gateway",
    # Each time that a loser comes is counted; the same undecodable item is put aside once.
    "quarantine": "SELECT reason, seq, CASE reason WHEN 'uid_taken' THEN 1 ELSE times END"
    " FROM quarantine ORDER BY seq",
}
_EMPTY = (
    "TRUNCATE item_uid, measurement, observation, latest, engine_inbox, boot_clock, retraction,"
    " quarantine; UPDATE gateway SET tombstones = 0; DELETE FROM binding USING device"
    " WHERE device.id = binding.device_id AND device.name = 'ble-aaaaaaaaaaaa'"
)
Step = Item | Bind


@pytest.fixture
def home(database_url: str) -> Home:
    return settle(database_url)


async def _play(url: str, home: Home, batches: list[list[Step]]) -> list[Outcome]:
    outcomes = []
    async with Database.connect(url, name="test", size=1) as database:
        for batch in batches:
            items = [step for step in batch if isinstance(step, Item)]
            received = [ReceivedItem(item, home.gateway, GATEWAY, BOOT) for item in items]
            async with database.transaction() as tx:
                kept = await keep(tx, received, stored_at=NOON)
            outcomes += [one.outcome for one in kept]
            for step in batch:
                if isinstance(step, Bind):
                    await _bind(database, home, step)
    return outcomes


async def _bind(database: Database, home: Home, step: Bind) -> None:
    async with database.transaction() as tx:
        scale = await bindings.register_device(tx, SCALE)
        await bindings.bind(
            tx,
            device_id=scale,
            patient_id=home.neighbour if step.to_neighbour else home.patient,
            since=step.since,
            until=step.until,
            user_index=step.user_index,
            at=NOON,
        )


State = dict[str, list[tuple[Any, ...]]]


def _state(url: str, home: Home, batches: list[list[Step]]) -> tuple[State, list[Outcome]]:
    with psycopg.connect(url) as db:
        db.execute(_EMPTY)
    outcomes = asyncio.run(_play(url, home, batches))
    with psycopg.connect(url) as db:
        found = {name: db.execute(query.encode()).fetchall() for name, query in _STATE.items()}
    return found, outcomes


def _winners(order: list[Item]) -> dict[str, int]:
    """Return the seq of the first item of each uid: the one that stays."""
    first: dict[str, int] = {}
    for item in order:
        first.setdefault(item.uid, item.seq)
    return first


@st.composite
def deliveries(draw: st.DrawFn) -> list[list[Step]]:
    """Every item at least once, some again, in any order, cut into any batches; each binding once.

    Bindings of a batch are made after it.
    """
    everything = [*STREAM, *RIVALS.values()]
    again = draw(st.lists(st.sampled_from(everything), max_size=8))
    order: list[Step] = list(draw(st.permutations([*everything, *again, *BINDS])))
    cuts = sorted(draw(st.sets(st.integers(1, len(order) - 1), max_size=5)))
    return [order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]


def test_every_interleaving_ends_the_same(database_url: str, home: Home) -> None:
    clean: dict[tuple[int, ...], State] = {}
    for winning in itertools.product((False, True), repeat=len(RIVALS)):
        ahead = [rival for rival, wins in zip(RIVALS.values(), winning, strict=True) if wins]
        behind = [rival for rival in RIVALS.values() if rival not in ahead]
        stream = [*ahead, *STREAM, *behind]
        steps: list[Step] = [*BINDS, *stream]
        state, _ = _state(database_url, home, [[step] for step in steps])
        assert len(state["measurement"]) == len(_VALUES) + len(_REBOUND)
        assert len(state["quarantine"]) == 1 + len(RIVALS)
        clean[tuple(sorted(_winners(stream).values()))] = state

    @settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(deliveries())
    def same(batches: list[list[Step]]) -> None:
        order = [step for batch in batches for step in batch if isinstance(step, Item)]
        winners = _winners(order)
        found, outcomes = _state(database_url, home, batches)
        assert found == clean[tuple(sorted(winners.values()))]
        for item, outcome in zip(order, outcomes, strict=True):
            assert (outcome is Outcome.CONFLICT) == (winners[item.uid] != item.seq), item.seq

    same()
