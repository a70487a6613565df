"""Epochs that end and are pruned change nothing, whatever is sent, repeated or erased in between.

Each play is run twice: as it is drawn, and with a single epoch that is never pruned, in which the
database itself refuses a uid that is there. Outcomes and tables must be the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from devices.wire import Item
from server.store import erasure, retention
from server.store.database import Database
from server.store.errors import UnknownName
from server.store.items import Outcome
from tests.server.homes import BOOT, NOON, Home, pressure, settle
from tests.server.store.fix_uids import DAY, LOST, outcome, prune_all, turn

pytestmark = pytest.mark.integration

_GUESSED: dict[str, Any] = {"tq": "estimated", "dev_t": None, "gw_q": "none"}
_AHEAD = (NOON + 30 * DAY).replace(tzinfo=None)
RECORDS = [
    pressure(1, at=NOON - timedelta(hours=2)),
    pressure(2, at=NOON - 20 * DAY),
    pressure(3, at=NOON, systolic=150),
    pressure(4, at=NOON + 25 * DAY),  # dated ahead
    pressure(5, tq="gateway", dev_t=_AHEAD),  # its device was ahead
    pressure(6, tq="gateway", dev_t=LOST),
    pressure(7, tq="gateway", dev_t=None, dev_seq=7),
]
ROWS = [
    pressure(11, at=NOON - 40 * DAY, **_GUESSED),
    pressure(12, at=NOON - 39 * DAY, **_GUESSED),
    Item(seq=13, uid=f"{13:032x}", type="clock", boot=BOOT, mono_ms=13_000, utc=NOON, q="ntp"),
    Item(seq=14, uid=f"{14:032x}", type="retract", of=RECORDS[0].uid, why="not_me"),
    Item(seq=15, uid=f"{15:032x}", type="tombstone"),
    Item(seq=16, uid=f"{16:032x}", type="undecodable", char="2A35", raw="ff"),
]
# Other records under the uids of a plain one and of one that was ahead.
RIVALS = [msgspec.structs.replace(RECORDS[n], seq=20 + n, raw=f"1e{n:02x}") for n in (1, 4)]


@dataclass(frozen=True, slots=True)
class Send:
    """A gateway sends ``item``; ``anew``: out of its device's memory, dated by the gateway.

    ``believed``: dated by the device's own clock, whatever that was.
    """

    item: Item
    anew: bool = False
    believed: bool = False


@dataclass(frozen=True, slots=True)
class Pass:
    """Days pass, epochs end where they may, and with ``prune`` old ones are pruned."""

    days: int
    prune: bool = False


@dataclass(frozen=True, slots=True)
class Erase:
    """The content of ``item`` is erased by order, if it is there."""

    item: Item


@dataclass(frozen=True, slots=True)
class Retain:
    """What is older than a month is removed by a rule."""


Step = Send | Pass | Erase | Retain
# What has to do with each other; a play is about a few of these.
FAMILIES = [
    [RECORDS[0], ROWS[3]],
    [RECORDS[1], RIVALS[0]],
    [RECORDS[4], RIVALS[1]],
    *([record] for record in (RECORDS[2], RECORDS[3], RECORDS[5], RECORDS[6])),
    ROWS[:2],  # the clock comes last
    ROWS[:3],
    ROWS[4:],
]


@st.composite
def plays(draw: st.DrawFn) -> list[Step]:
    """A few items, sent over and over while epochs end, are pruned, and content goes.

    In rounds with weeks between them, or plays in which much happens would be rare.
    """
    families = draw(st.lists(st.sampled_from(FAMILIES), min_size=1, max_size=2))
    items = [item for family in families for item in family]
    records = [item for item in items if item in RECORDS]
    kinds: list[st.SearchStrategy[Step]] = [st.builds(Send, st.sampled_from(items))] * 2
    if records:
        kinds.append(st.builds(Send, st.sampled_from(records), st.booleans(), st.booleans()))
        kinds.append(st.builds(Erase, st.sampled_from(records)) | st.builds(Retain))
    steps: list[Step] = []
    for days in draw(st.permutations([1, 8, 8, 30])):
        happens = st.sampled_from(kinds).flatmap(lambda kind: kind)
        steps += draw(st.lists(happens, min_size=2, max_size=6))
        steps.append(Pass(days, prune=draw(st.booleans())))
    last = [*items, ROWS[2]]
    return [*steps, *(Send(item, believed=True) for item in last)]


_PACKED: list[Step] = [Pass(8), Pass(8, prune=True)]
# Played always, before what is drawn: each fails where one rule of the packing is not kept.
TELLING: list[list[Step]] = [
    # Its device was ahead, and is believed when that time has passed.
    [Send(RECORDS[4]), *_PACKED, Pass(30), Send(RECORDS[4], believed=True)],
    # A clock moves rows that are packed.
    [*map(Send, ROWS[:2]), *_PACKED, Send(ROWS[2]), *map(Send, ROWS[:2])],
    # What is packed is known, its rival is another, and after an erasure it is neither.
    [Send(RECORDS[1]), *_PACKED, Send(RECORDS[1]), Send(RIVALS[0]), Send(RECORDS[1], anew=True)],
    [Send(RECORDS[1]), *_PACKED, Erase(RECORDS[1]), Send(RIVALS[0]), Send(RECORDS[1])],
]

_STATE = {
    "measurement": "SELECT uid, seq, measured_at, measured_at_sent, measured_how, patient_id,"
    " unassigned, flags, raw FROM measurement ORDER BY uid, measured_at",
    "observation": "SELECT uid, component_id, value, measured_at, patient_id FROM observation"
    " ORDER BY 1, 2, 4",
    "located": "SELECT m.uid, m.measured_at FROM measurement m"
    " JOIN located((SELECT array_agg(uid) FROM measurement)) USING (uid, measured_at) ORDER BY 1",
    "latest": "SELECT * FROM latest ORDER BY 1, 2",
    "engine_inbox": "SELECT uid, patient_id, measured_at FROM engine_inbox ORDER BY uid",
    "gateway": "SELECT tombstones FROM gateway",
    "quarantine": "SELECT reason, seq, times FROM quarantine ORDER BY reason, seq, digest",
}
# Tables that refuse to be emptied are emptied too: each play begins with nothing.
_EMPTY = """
SET LOCAL session_replication_role = replica;
DELETE FROM item_uid;
DELETE FROM uid_run;
DELETE FROM measurement;
DELETE FROM observation;
DELETE FROM latest;
DELETE FROM engine_inbox;
DELETE FROM boot_clock;
DELETE FROM retraction;
DELETE FROM quarantine;
DELETE FROM pruned;
DELETE FROM erased_item;
DELETE FROM erasure;
DELETE FROM erased_row;
DELETE FROM retention_rule;
DELETE FROM uid_epoch WHERE epoch > 1;
UPDATE uid_epoch SET since = '2026-11-22 12:00Z', until = NULL, packing_since = NULL,
    pruned_at = NULL, pruned_uids = 0 WHERE epoch = 1;
UPDATE gateway SET tombstones = 0
"""
State = dict[str, list[tuple[Any, ...]]]


class Play:
    """One play over a database; ``is_pruned`` False: as if there were no epochs."""

    def __init__(self, database: Database, home: Home, *, is_pruned: bool) -> None:
        self.database = database
        self.home = home
        self.is_pruned = is_pruned
        self.now = NOON

    async def play(self, steps: Sequence[Step]) -> list[Outcome]:
        """Play all steps; return what became of each item that was sent."""
        outcomes = []
        for step in steps:
            match step:
                case Send():
                    item = _as_sent(step, self.now)
                    outcomes.append(await outcome(self.database, self.home, item, at=self.now))
                case Pass():
                    await self._pass(step)
                case Erase():
                    await self._erase(step.item)
                case Retain():
                    await self._retain()
        return outcomes

    async def _pass(self, step: Pass) -> None:
        self.now += timedelta(days=step.days)
        if self.is_pruned:
            await turn(self.database, at=self.now)
            if step.prune:
                await prune_all(self.database, at=self.now)

    async def _erase(self, item: Item) -> None:
        order = erasure.Order("IVO 1", "Prov", "beslut", uid=UUID(item.uid))
        try:
            async with self.database.transaction() as tx:
                await erasure.erase(tx, order, at=self.now)
        except UnknownName:
            pass  # it has not come yet

    async def _retain(self) -> None:
        rule = retention.Rule("blood_pressure", None, 30, self.now, "prov", "ett prov")
        async with self.database.transaction() as tx:
            await retention.set_rule(tx, rule, is_no_record=True)
        await retention.retain(self.database, now=self.now)


def _as_sent(step: Send, now: datetime) -> Item:
    """Return the item as it is dated when it comes at ``now``."""
    item = step.item
    if step.believed and item.dev_t is not None and item.dev_t.year > LOST.year:
        moment = item.dev_t.replace(tzinfo=NOON.tzinfo)
        return msgspec.structs.replace(item, t=moment, tq="device", gw_t=now)
    if step.anew:
        return msgspec.structs.replace(item, t=now, tq="gateway", gw_t=now)
    return item


class Stage:
    """Where plays are played: a database with one home, and connections that stay."""

    def __init__(
        self, runner: asyncio.Runner, database: Database, db: psycopg.Connection, home: Home
    ) -> None:
        self._runner = runner
        self._database = database
        self._db = db
        self._home = home

    def play(self, steps: Sequence[Step], *, is_pruned: bool) -> tuple[State, list[Outcome]]:
        """Play with nothing stored before; return what is stored then, and all outcomes."""
        self._db.execute(_EMPTY)
        self._db.commit()
        play = Play(self._database, self._home, is_pruned=is_pruned)
        outcomes = self._runner.run(play.play(steps))
        found = {name: self._db.execute(query.encode()) for name, query in _STATE.items()}
        return {name: cursor.fetchall() for name, cursor in found.items()}, outcomes


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    home = settle(database_url)
    opened = Database.connect(database_url, name="test", size=2)
    with asyncio.Runner() as runner, psycopg.connect(database_url) as db:
        database = runner.run(opened.__aenter__())
        yield Stage(runner, database, db, home)
        runner.run(opened.__aexit__(None, None, None))


def test_pruning_changes_nothing(stage: Stage) -> None:
    @settings(
        max_examples=30,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(plays())
    def same(steps: list[Step]) -> None:
        once = stage.play(steps, is_pruned=False)
        found = stage.play(steps, is_pruned=True)
        assert found == once
        uids = [row[0] for row in found[0]["measurement"]]
        assert len(uids) == len(set(uids)), "one row for each uid"
        assert [row[0] for row in found[0]["located"]] == uids

    for steps in TELLING:
        same = example(steps)(same)
    same()
