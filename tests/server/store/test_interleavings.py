"""Whatever is doubled and however it is shuffled, the tables end as after the clean stream."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.wire import Item
from server.store.database import Database
from server.store.items import ReceivedItem, keep
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
STREAM = [
    *_VALUES,
    Item(seq=8, uid=f"{8:032x}", type="retract", of=_VALUES[6].uid, why="not_me"),
    Item(seq=9, uid=f"{9:032x}", type="clock", boot=BOOT, mono_ms=9_000, utc=NOON, q="ntp"),
    Item(seq=10, uid=f"{10:032x}", type="tombstone"),
    Item(seq=11, uid=f"{11:032x}", type="undecodable", dev=CUFF, char="2A35", raw="ff"),
]
_STATE = {
    "measurement": "SELECT uid, seq, measured_at, measured_at_sent, measured_how, patient_id,"
    " unassigned, flags FROM measurement ORDER BY uid",
    "observation": "SELECT uid, component_id, value, measured_at, patient_id FROM observation"
    " ORDER BY 1, 2",
    "latest": "SELECT * FROM latest ORDER BY 1, 2",
    "engine_inbox": "SELECT uid, patient_id, measured_at FROM engine_inbox ORDER BY uid",
    "gateway": "SELECT tombstones FROM gateway",
    "quarantine": "SELECT reason, seq, times FROM quarantine",
}
_EMPTY = (
    "TRUNCATE item_uid, measurement, observation, latest, engine_inbox, boot_clock, retraction,"
    " quarantine; UPDATE gateway SET tombstones = 0"
)


@pytest.fixture
def home(database_url: str) -> Home:
    return settle(database_url)


async def _play(url: str, home: Home, batches: list[list[Item]]) -> None:
    async with Database.connect(url, name="test", size=1) as database:
        for batch in batches:
            received = [ReceivedItem(item, home.gateway, GATEWAY, BOOT) for item in batch]
            async with database.transaction() as tx:
                await keep(tx, received, stored_at=NOON)


def _state(url: str, home: Home, batches: list[list[Item]]) -> dict[str, list[tuple[Any, ...]]]:
    with psycopg.connect(url) as db:
        db.execute(_EMPTY)
    asyncio.run(_play(url, home, batches))
    with psycopg.connect(url) as db:
        return {name: db.execute(query.encode()).fetchall() for name, query in _STATE.items()}


@st.composite
def deliveries(draw: st.DrawFn) -> list[list[Item]]:
    """Every item at least once, some again, in any order, cut into any batches."""
    again = draw(st.lists(st.sampled_from(STREAM), max_size=8))
    order = draw(st.permutations([*STREAM, *again]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order) - 1), max_size=5)))
    return [order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]


def test_every_interleaving_ends_the_same(database_url: str, home: Home) -> None:
    clean = _state(database_url, home, [[item] for item in STREAM])
    assert len(clean["measurement"]) == len(_VALUES)

    @settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(deliveries())
    def same(batches: list[list[Item]]) -> None:
        assert _state(database_url, home, batches) == clean

    same()
