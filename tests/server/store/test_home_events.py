"""of_patient(): what happened at home is found as its values are, and by nobody else's unit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from devices.wire import Item
from server.store import bindings, home_events, oversight, people
from server.store.database import Database
from server.store.home_events import HomeEvent
from server.store.items import ReceivedItem, keep
from server.store.patients import Reach
from tests.server.homes import BOOT, GATEWAY, NOON, Home, pressure, settle

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SCALE = "ble-00aabbccddee"


@pytest.fixture
def home(database_url: str) -> Home:
    return settle(database_url)


@pytest.fixture
async def database(database_url: str, home: Home) -> AsyncIterator[Database]:
    async with Database.connect(database_url, name="test") as database:
        async with database.transaction() as tx:
            # From long ago, so that what is old belongs to somebody too.
            await tx.execute("UPDATE binding SET valid = tstzrange(%s, NULL)", (NOON - 200 * DAY,))
        yield database


def event(seq: int, what: str, **changes: Any) -> Item:
    return pressure(
        seq, **{"type": "event", "event": what, "kind": None, "samples": (), "raw": None} | changes
    )


async def store(database: Database, home: Home, *items: Item) -> None:
    async with database.transaction() as tx:
        for item in items:
            received = ReceivedItem(item, home.gateway, GATEWAY, BOOT)
            await keep(tx, [received], stored_at=item.gw_t or NOON)


async def provider(database: Database) -> int:
    async with database.transaction() as tx:
        row = await (await tx.execute("SELECT provider_id FROM unit")).fetchone()
    assert row is not None
    number: int = row[0]
    return number


async def found(
    database: Database, home: Home, *, patient: int | None = None, limit: int = 30
) -> list[HomeEvent]:
    reach = Reach(home.unit, await provider(database))
    async with database.transaction() as tx:
        return await home_events.of_patient(
            tx, reach, patient or home.patient, at=NOON, limit=limit
        )


async def test_an_event_is_found_with_its_device_and_values_are_not(
    database: Database, home: Home
) -> None:
    context: dict[str, object] = {"detail": "the first link"}
    lost = event(1, "value_may_be_lost", at=NOON - HOUR, tq="gateway", ctx=context)
    await store(database, home, lost, pressure(2))
    assert await found(database, home) == [
        HomeEvent(
            event="value_may_be_lost", kind_id=None, device="ble-001122334455", model="UA-651BLE",
            at=NOON - HOUR, first_at=NOON - HOUR, measured_how="gateway", flags=[],
            context=context, times=1,
        )
    ]  # fmt: skip
    assert await found(database, home, patient=home.neighbour) == []


async def test_what_is_said_each_hour_does_not_push_out_what_was_said_once(
    database: Database, home: Home
) -> None:
    lost = event(1, "value_may_be_lost", at=NOON - 5 * DAY)
    hours = range(60)
    again = [
        event(10 + n, "clock_refused", at=NOON - n * HOUR, ctx={"detail": f"{n}", "also_times": 2})
        for n in hours
    ]
    failed = event(2, "measurement_failed", kind="blood_pressure", at=NOON - DAY)
    await store(database, home, lost, *again, failed)
    rows = await found(database, home)
    assert [(one.event, one.times) for one in rows] == [
        ("clock_refused", 180), ("measurement_failed", 1), ("value_may_be_lost", 1)
    ]  # fmt: skip
    assert (rows[0].at, rows[0].first_at) == (NOON, NOON - 59 * HOUR)
    assert rows[0].context["detail"] == "0"
    assert len(await found(database, home, limit=2)) == 2


async def test_a_fortnight_is_shown_and_what_came_late(database: Database, home: Home) -> None:
    await store(
        database,
        home,
        event(1, "records_refused", at=NOON - 13 * DAY),
        event(2, "clock_refused", at=NOON - 15 * DAY),
        # Told today by a home that was out of contact.
        event(3, "value_may_be_lost", at=NOON - 30 * DAY, gw_t=NOON),
        event(4, "unknown_user", at=NOON - 91 * DAY, gw_t=NOON),
    )
    assert [one.event for one in await found(database, home)] == [
        "records_refused", "value_may_be_lost"
    ]  # fmt: skip


@pytest.mark.parametrize("count", [-3, 1e300, "7", 2.9])
async def test_no_count_breaks_the_page(database: Database, home: Home, count: float | str) -> None:
    await store(database, home, event(1, "clock_refused", ctx={"also_times": count}))
    (row,) = await found(database, home)
    assert 1 <= row.times <= home_events.TIMES_MAX + 1


async def test_an_event_is_given_to_a_person_as_a_value_is(database: Database, home: Home) -> None:
    async with database.transaction() as tx:
        scale = await bindings.register_device(tx, SCALE, model="BF720")
        for user, patient in ((1, home.patient), (2, home.neighbour)):
            await bindings.bind(
                tx, device_id=scale, patient_id=patient, user_index=user, since=NOON - DAY
            )
    about = {"dev": SCALE, "at": NOON - HOUR}
    await store(
        database,
        home,
        event(1, "measurement_failed", ctx={"user_index": 1}, **about),
        event(2, "clock_refused", ctx={"user_index": 2}, **about),
        event(3, "unknown_user", **about),
        event(4, "resend", dev=None, at=NOON - HOUR),
        event(5, "value_may_be_lost", dev="ble-0000000000ff", at=NOON - HOUR),
    )
    assert [one.event for one in await found(database, home)] == ["measurement_failed"]
    theirs = await found(database, home, patient=home.neighbour)
    assert [one.event for one in theirs] == ["clock_refused"]
    reach = Reach(home.unit, await provider(database))
    async with database.transaction() as tx:
        rest = await oversight.unassigned(tx, reach, limit=10)
    assert {(one.event, one.reason) for one in rest} == {
        ("unknown_user", "other_user"),
        ("resend", "no_device"),
        ("value_may_be_lost", "unbound_device"),
    }


async def test_another_unit_finds_nothing(database: Database, home: Home) -> None:
    await store(database, home, event(1, "clock_refused"))
    owner = await provider(database)
    async with database.transaction() as tx:
        other = await people.add_unit(tx, provider_id=owner, name="Syd")
        rows = await home_events.of_patient(
            tx, Reach(other, owner), home.patient, at=NOON, limit=30
        )
    assert rows == []
