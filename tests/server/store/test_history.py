"""What was measured over weeks and what is newest: which values, whose, in which arrays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import numpy as np
import pytest

from server.store import history, latest
from server.store.columns import fetch_columns
from server.store.database import Database
from server.store.history import Values
from server.store.patients import Reach
from tests.server.homes import NOON, settle
from tests.server.store.fix_reads import DIASTOLIC, PULSE, SYSTOLIC, Shelf, explained

pytestmark = pytest.mark.integration

_DAY = timedelta(days=1)


@pytest.fixture
async def shelf(database_url: str) -> AsyncIterator[Shelf]:
    async with Database.connect(database_url, name="test") as database:
        yield Shelf(database, settle(database_url))


async def patients_values(shelf: Shelf, reach: Reach | None = None) -> Values:
    async with shelf.database.transaction() as tx:
        return await history.of_patient(
            tx,
            reach or shelf.reach,
            shelf.home.patient,
            since=NOON - 5 * _DAY,
            until=NOON + timedelta(seconds=1),
        )


def _of(values: Values, component: int) -> list[float]:
    found: list[float] = values.value[values.component_id == component].tolist()
    return found


async def put_what_counts_and_what_does_not(shelf: Shelf) -> None:
    await shelf.put(NOON, 128.0)
    await shelf.put(NOON - 3 * _DAY, "neg_inf")
    await shelf.put(NOON - _DAY, 120.0)
    await shelf.put(NOON - 4 * _DAY, "nan")
    taken_back = await shelf.put(NOON - 2 * _DAY, 200.0)
    await shelf.put(NOON, type="retract", of=taken_back, why="not_me")
    await shelf.put(NOON - 2 * _DAY, 201.0, flags=("setting",))
    await shelf.put(NOON - 6 * _DAY, 202.0)
    await shelf.put(NOON - _DAY, 203.0, dev="ble-ffeeddccbbaa")  # nobody's


async def test_a_persons_weeks(shelf: Shelf) -> None:
    await put_what_counts_and_what_does_not(shelf)
    values = await patients_values(shelf)
    assert _of(values, SYSTOLIC) == [-np.inf, 120.0, 128.0]
    assert values.measured_at[values.component_id == PULSE].tolist() == [
        (NOON - days * _DAY).replace(tzinfo=None) for days in (4, 3, 1, 0)
    ]
    assert values.component_id.tolist() == sorted(values.component_id.tolist())
    assert {shelf.home.patient} == set(values.patient_id.tolist())
    kinds = [column.dtype.str[1:] for column in _columns(values)]
    assert kinds == ["i4", "i2", "M8[us]", "f8"]


async def test_everyones_weeks_are_the_same_values(shelf: Shelf) -> None:
    await put_what_counts_and_what_does_not(shelf)
    one = await patients_values(shelf)
    async with shelf.database.transaction() as tx:
        parts = [
            part
            async for part in history.of_everyone(
                tx, since=NOON - 5 * _DAY, until=NOON + timedelta(seconds=1)
            )
        ]
        only = [
            part
            async for part in history.of_everyone(
                tx, since=NOON - 5 * _DAY, until=NOON + _DAY, component_ids=[DIASTOLIC]
            )
        ]
    assert len(parts) == 6
    together = [np.concatenate(column) for column in zip(*map(_columns, parts), strict=True)]
    assert sorted(zip(*(c.tolist() for c in together), strict=True)) == sorted(
        zip(*(c.tolist() for c in _columns(one)), strict=True)
    )
    assert {c for part in only for c in part.component_id.tolist()} == {DIASTOLIC}


async def test_the_newest_of_a_unit(shelf: Shelf) -> None:
    await put_what_counts_and_what_does_not(shelf)
    async with shelf.database.transaction() as tx:
        values = await latest.of_unit(tx, shelf.reach)
    assert len(values) == 3
    assert _of(values, SYSTOLIC) == [128.0]
    assert set(values.measured_at.tolist()) == {NOON.replace(tzinfo=None)}


@pytest.mark.parametrize(
    ("reason", "shown"), [("pos_inf", np.inf), ("neg_inf", -np.inf), ("nan", np.nan)]
)
async def test_a_newest_result_without_a_number(shelf: Shelf, reason: str, shown: float) -> None:
    await shelf.put(NOON - _DAY, 128.0)
    await shelf.put(NOON, reason)
    async with shelf.database.transaction() as tx:
        values = await latest.of_unit(tx, shelf.reach)
    assert _of(values, SYSTOLIC) == pytest.approx([shown], nan_ok=True)


async def test_nobody_sees_another_units_values(shelf: Shelf) -> None:
    await shelf.put(NOON)
    elsewhere = Reach(unit_id=999, provider_id=1)
    assert len(await patients_values(shelf, elsewhere)) == 0
    async with shelf.database.transaction() as tx:
        assert len(await latest.of_unit(tx, elsewhere)) == 0


# In the order of time, as they come: that is what a block range index lives on.
_MANY = """
INSERT INTO observation (patient_id, measured_at, component_id, value, device_id, received_seq, uid)
SELECT n %% %(people)s, %(noon)s - (60000 - n) * INTERVAL '1 minute', 1, 120, 1, n,
       gen_random_uuid()
FROM generate_series(1, 60000) n
"""


async def test_each_read_has_its_index(shelf: Shelf) -> None:
    wanted = {
        "patient_id": 1, "since": NOON - _DAY, "until": NOON, "components": None,
    } | shelf.reach.bind()  # fmt: skip
    await shelf.put(NOON - timedelta(hours=1))
    async with shelf.database.transaction() as tx:
        await tx.execute(_MANY, {"noon": NOON, "people": 100})
        await tx.execute("ANALYZE observation")
        one = await explained(tx, history._OF_PATIENT, wanted)
        everyone = await explained(tx, history._OF_EVERYONE, wanted)
    assert "observation_patient" in one
    assert "observation_time" in everyone
    assert "observation_patient" not in everyone
    assert all("measurement_uncounted" in plan for plan in (one, everyone))
    assert "Seq Scan on observation" not in one + everyone


async def test_arrays_come_whole(shelf: Shelf) -> None:
    async with shelf.database.transaction() as tx:
        columns = await fetch_columns(
            tx,
            "SELECT '{-2,3}'::smallint[], '{7}'::int[], '{-9000000000}'::bigint[],"
            " '{0.5,inf,nan}'::float8[], '{1999-12-31,2026-11-22}'::date[],"
            " '{1969-12-31 23:00Z}'::timestamptz[], '{}'::int[]",
            {},
        )
    assert columns[0].tolist() == [-2, 3]
    assert [c.dtype for c in columns[:4]] == [np.int16, np.int32, np.int64, np.float64]
    assert columns[2].tolist() == [-9_000_000_000]
    assert columns[3].tolist() == pytest.approx([0.5, np.inf, np.nan], nan_ok=True)
    assert columns[4].tolist() == [NOON.date().replace(1999, 12, 31), NOON.date()]
    assert columns[5].tolist() == [NOON.replace(1969, 12, 31, 23, tzinfo=None)]
    assert (len(columns[6]), columns[6].dtype.str[1:]) == (0, "i4")


def _columns(values: Values) -> tuple[np.ndarray, ...]:
    return values.patient_id, values.component_id, values.measured_at, values.value
