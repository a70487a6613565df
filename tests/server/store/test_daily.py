"""Daily aggregates: what counts, whose days they are, and both ways of reading the same."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import date, timedelta

import numpy as np
import pytest

from alerts.standing import NO_READING
from server.store import daily, history
from server.store.corrections import RETRACTED
from server.store.daily import Daily
from server.store.database import Database
from server.store.days import day_of, each_day, start_of
from tests.server.homes import NOON, Home, rows, settle
from tests.server.store.fix_reads import DIASTOLIC, SUMMER, SYSTOLIC, WINTER, Shelf, at

pytestmark = pytest.mark.integration


_SHOWN = """
SELECT patient_id, component_id, day, n, sum, sum_squares, min, max, first, last FROM obs_daily
"""


@pytest.fixture
async def shelf(database_url: str) -> AsyncIterator[Shelf]:
    home: Home = settle(database_url)
    async with Database.connect(database_url, name="test") as database:
        yield Shelf(database, home)


async def days_of(shelf: Shelf, first: date, last: date, component: int = SYSTOLIC) -> Daily:
    async with shelf.database.transaction() as tx:
        found = await daily.of_patient(tx, shelf.reach, shelf.home.patient, first=first, last=last)
    wanted = found.component_id == component
    return Daily(*(getattr(found, name)[wanted] for name in Daily.__slots__))


async def test_a_days_figures(shelf: Shelf) -> None:
    for hour, systolic in ((9, 140.0), (7, 120.0), (11, 131.0)):
        await shelf.put(NOON.replace(hour=hour), systolic)
    found = await days_of(shelf, NOON.date(), NOON.date())
    assert found.day.tolist() == [NOON.date()]
    assert (found.n[0], found.sum[0], found.sum_squares[0]) == (3, 391.0, 140**2 + 120**2 + 131**2)
    assert (found.min[0], found.max[0], found.first[0], found.last[0]) == (120, 140, 120, 131)
    assert found.mean[0] == pytest.approx(391 / 3)
    assert found.n.dtype == np.int32
    assert found.sum.dtype == np.float64


async def test_days_combine_exactly(shelf: Shelf) -> None:
    for hours, systolic in ((0, 140.0), (-24, 120.0), (-25, 121.0)):
        await shelf.put(NOON + timedelta(hours=hours), systolic)
    found = await days_of(shelf, NOON.date() - timedelta(days=1), NOON.date())
    assert found.n.tolist() == [2, 1]
    assert found.sum.sum() / found.n.sum() == pytest.approx(127.0)


async def test_what_does_not_count(shelf: Shelf) -> None:
    await shelf.put(NOON, 128.0)
    taken_back = await shelf.put(NOON - timedelta(hours=1), 190.0)
    await shelf.put(NOON - timedelta(hours=2), 191.0, flags=("demonstration",))
    await shelf.put(NOON - timedelta(hours=3), "nan")
    await shelf.put(NOON - timedelta(hours=4), "pos_inf")
    await shelf.put(NOON, 192.0, type="retract", of=taken_back, why="not_me")
    found = await days_of(shelf, NOON.date(), NOON.date())
    assert (found.n.tolist(), found.max.tolist()) == ([1], [128.0])
    async with shelf.database.transaction() as tx:
        everyone = await daily.of_everyone(tx, first=NOON.date(), last=NOON.date())
    assert everyone.max[everyone.component_id == SYSTOLIC].tolist() == [128.0]
    assert everyone.n[everyone.component_id == DIASTOLIC].tolist() == [3]


async def test_days_are_stockholms_also_where_the_clock_is_changed(shelf: Shelf) -> None:
    await shelf.bind_from(at("2026-01-01T00:00"))
    for time in ("2026-03-28T22:59", "2026-03-28T23:00", "2026-03-29T21:59", "2026-03-29T22:00"):
        await shelf.put(at(time))
    for time in ("2026-10-24T21:59", "2026-10-24T22:00", "2026-10-25T22:59", "2026-10-25T23:00"):
        await shelf.put(at(time))
    for day in (SUMMER, WINTER):
        before, after = day - timedelta(days=1), day + timedelta(days=1)
        found = await days_of(shelf, before, after)
        assert dict(zip(found.day.tolist(), found.n.tolist(), strict=True)) == {
            before: 1, day: 2, after: 1,
        }  # fmt: skip


async def test_the_database_and_python_agree_on_days(database_url: str) -> None:
    assert [end - begin for _, begin, end in each_day(SUMMER, SUMMER)] == [timedelta(hours=23)]
    assert [end - begin for _, begin, end in each_day(WINTER, WINTER)] == [timedelta(hours=25)]
    for hour in range(0, 24 * 366, 7):
        time = at("2026-01-01T00:00") + timedelta(hours=hour)
        assert start_of(day_of(time)) <= time < start_of(day_of(time) + timedelta(days=1))
    found = rows(
        database_url,
        "SELECT t, day_of(t), day_start(day_of(t)) FROM generate_series("
        "'2026-01-01Z'::timestamptz, '2027-01-01Z', '3 hours') AS t",
    )
    assert all(day_of(t) == day and start_of(day) == start for t, day, start in found)


async def test_what_counts_is_one_set(database_url: str) -> None:
    for flag in sorted(NO_READING | {RETRACTED}):
        assert rows(database_url, "SELECT is_counted(ARRAY['movement', %s])", flag) == [(False,)]
    [(source,)] = rows(database_url, "SELECT prosrc FROM pg_proc WHERE proname = 'is_counted'")
    listed = re.search(r"\{([^}]*)\}", source)
    assert listed
    assert set(re.split(r"[\s,]+", listed[1])) == NO_READING | {RETRACTED}


async def test_everyones_days_are_those_of_the_view(shelf: Shelf) -> None:
    await shelf.put_many()
    first, last = NOON.date() - timedelta(days=7), NOON.date()
    async with shelf.database.transaction() as tx:
        read = await daily.of_everyone(tx, first=first, last=last)
        cursor = await tx.execute(_SHOWN)
        shown = sorted(await cursor.fetchall())
    columns = [getattr(read, name).tolist() for name in Daily.__slots__]
    ours = sorted(zip(*columns, strict=True))
    assert len(ours) > 20
    assert [one[:4] for one in ours] == [one[:4] for one in shown]
    assert [one[4:] for one in ours] == [pytest.approx(one[4:]) for one in shown]


async def test_nobody_sees_another_units_days(shelf: Shelf) -> None:
    await shelf.put(NOON)
    shelf.home = Home(**{n: getattr(shelf.home, n) for n in Home.__slots__} | {"unit": 999})
    assert len(await days_of(shelf, NOON.date(), NOON.date())) == 0


async def test_empty_days_and_a_wrong_order(shelf: Shelf) -> None:
    async with shelf.database.transaction() as tx:
        nothing = await daily.of_everyone(tx, first=SUMMER, last=SUMMER)
        assert (len(nothing), nothing.day.dtype) == (0, np.dtype("datetime64[D]"))
        with pytest.raises(ValueError, match="before"):
            await daily.of_everyone(tx, first=WINTER, last=SUMMER)
    assert len(daily.reduced(history.Values(*(np.empty(0) for _ in range(4))), SUMMER)) == 0
