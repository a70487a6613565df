"""Series of a value a second or a beat: what is kept comes back, once, at its time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from devices.kinds import KINDS
from server.store import erasure, extract, retention
from server.store.database import Database
from server.store.errors import DataRefused
from server.store.patients import Reach
from server.store.recordings import RUN_MAX, Recording, Samples, keep_recording, samples_of
from server.store.retention import Rule
from tests.server.homes import NOON, rows, settle
from tests.server.store.fix_reads import Shelf

pytestmark = pytest.mark.integration

SPO2 = KINDS["pulse_oximetry"].named("spo2").number
RATE = KINDS["heart_rate"].named("heart_rate").number
HOUR = timedelta(hours=1)


@pytest.fixture
async def shelf(database_url: str) -> AsyncIterator[Shelf]:
    async with Database.connect(database_url, name="test") as database:
        yield Shelf(database, settle(database_url))


def night(shelf: Shelf, values: Any, **changes: Any) -> Recording:
    made = Recording(
        device_id=shelf.home.cuff,
        component_id=SPO2,
        patient_id=shelf.home.patient,
        started_at=NOON,
        first_index=0,
        period_ms=1000,
        decimals=0,
        values=np.array(values, np.float64),
    )
    return replace(made, **changes)


async def kept(shelf: Shelf, recording: Recording) -> int:
    async with shelf.database.transaction() as tx:
        return await keep_recording(tx, recording, stored_at=NOON + 12 * HOUR)


async def read(
    shelf: Shelf,
    component: int = SPO2,
    since: datetime = NOON - HOUR,
    until: datetime = NOON + 24 * HOUR,
    unit: int | None = None,
) -> Samples:
    reach = Reach(unit or shelf.home.unit, 1)
    async with shelf.database.transaction() as tx:
        return await samples_of(
            tx, reach, shelf.home.patient, component_id=component, since=since, until=until
        )


async def test_a_night_of_one_value_a_second(shelf: Shelf, database_url: str) -> None:
    values = np.round(95 + 3 * np.sin(np.arange(8 * 3600) / 500))
    values[1000:1010] = np.nan
    assert await kept(shelf, night(shelf, values)) == 32
    found = await read(shelf)
    np.testing.assert_array_equal(found.value, values)
    assert found.at[0] == np.datetime64(NOON.replace(tzinfo=None), "us")
    assert set(np.diff(found.at).tolist()) == {timedelta(seconds=1)}
    assert rows(database_url, "SELECT max(cardinality(samples)) FROM recording") == [(RUN_MAX,)]
    # Out of line, each row would be looked for a second time.
    assert rows(database_url, "SELECT max(pg_column_size(samples)) < 2000 FROM recording") == [
        (True,)
    ]


async def test_a_part_is_read_from_the_middle_of_runs(shelf: Shelf) -> None:
    await kept(shelf, night(shelf, np.arange(2000) % 100))
    since = NOON + timedelta(seconds=890)
    found = await read(shelf, since=since, until=since + timedelta(seconds=20))
    assert found.value.tolist() == [float(n % 100) for n in range(890, 910)]


async def test_beats_are_at_the_end_of_their_intervals(shelf: Shelf) -> None:
    beats = night(
        shelf, [800, 810, 1200], component_id=RATE, period_ms=None, measured_at=NOON + HOUR
    )
    await kept(shelf, beats)
    found = await read(shelf, RATE)
    assert found.value.tolist() == [800, 810, 1200]
    after = [(at - NOON.replace(tzinfo=None) - HOUR) for at in found.at.tolist()]
    assert after == [timedelta(milliseconds=ms) for ms in (800, 1610, 2810)]


async def test_many_beats_go_on_from_run_to_run(shelf: Shelf) -> None:
    beats = np.full(2 * RUN_MAX + 5, 750.0)
    await kept(shelf, night(shelf, beats, component_id=RATE, period_ms=None, measured_at=NOON))
    found = await read(shelf, RATE)
    assert set(np.diff(found.at).tolist()) == {timedelta(milliseconds=750)}


async def test_the_same_again_is_kept_once(shelf: Shelf) -> None:
    first = night(shelf, np.arange(2000) % 100)
    assert await kept(shelf, first) == 3
    assert await kept(shelf, first) == 0
    later = night(shelf, np.arange(2700) % 100)
    with pytest.raises(DataRefused, match="other samples"):
        await kept(shelf, later)
    following = night(shelf, [1.0], first_index=2000)
    assert await kept(shelf, following) == 1
    assert len((await read(shelf)).value) == 2001


async def test_decimals(shelf: Shelf) -> None:
    await kept(shelf, night(shelf, [36.82, np.nan, -1.5], decimals=2))
    assert (await read(shelf)).value.tolist() == pytest.approx([36.82, np.nan, -1.5], nan_ok=True)


@pytest.mark.parametrize(
    ("values", "changes", "why"),
    [
        ([40000.0], {}, "too large"),
        ([400.0], {"decimals": 2}, "too large"),
        ([800.0, np.nan], {"period_ms": None, "measured_at": NOON}, "positive"),
        ([800.0], {"period_ms": None}, "without the time"),
        ([1.0] * 900, {"period_ms": 60_000}, "not a series"),
    ],
)
async def test_what_cannot_be_kept_is_refused(
    shelf: Shelf, values: list[float], changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(DataRefused, match=why):
        await kept(shelf, night(shelf, values, **changes))
    assert len((await read(shelf)).value) == 0


async def test_nobody_sees_another_units_samples(shelf: Shelf) -> None:
    await kept(shelf, night(shelf, [97.0]))
    assert len((await read(shelf, unit=999)).value) == 0


async def test_age_an_order_and_an_extract_know_them(shelf: Shelf, database_url: str) -> None:
    left = "SELECT patient_id, measured_at FROM recording ORDER BY 2"
    old, new = NOON - 400 * 24 * HOUR, NOON
    await kept(shelf, night(shelf, [96, 95], started_at=old))
    await kept(shelf, night(shelf, [93, 94], started_at=new))
    await kept(shelf, night(shelf, [92], started_at=new - HOUR, patient_id=None))
    await kept(shelf, night(shelf, [91], started_at=new + HOUR, patient_id=shelf.home.neighbour))
    (part,) = [one for one in extract.PARTS if one.name == "recordings"]
    async with shelf.database.transaction() as tx:
        found = [row["samples"] async for row in extract.rows(tx, part, shelf.home.patient)]
        rule = Rule("pulse_oximetry", None, 100, NOON, "prov", "ett prov")
        await retention.set_rule(tx, rule, is_no_record=True)
    assert found == [[96, 95], [93, 94]]
    assert await retention.retain(shelf.database, now=NOON) == {"pulse_oximetry": 1}
    order = erasure.Order("IVO 1", "Prov", "beslut", patient_id=shelf.home.patient)
    async with shelf.database.transaction() as tx:
        done = await erasure.erase(tx, order, at=NOON)
    assert done.counts["recording"] == 2
    assert rows(database_url, left) == [(shelf.home.neighbour, new + HOUR)]
