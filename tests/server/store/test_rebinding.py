"""A device that belonged to somebody else from a time that has passed: its values follow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from alerts.lifecycle import Outcome
from devices.wire import Item
from server.alerting.judge import judge_inbox
from server.store import alert_commands, bindings
from server.store.database import Database
from server.store.items import ReceivedItem, entered, keep
from tests.server.homes import BOOT, GATEWAY, NOON, Home, pressure, rows, settle

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)
HANDED_OVER = NOON - 2 * HOUR


@pytest.fixture
def home(database_url: str) -> Home:
    return settle(database_url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.connect(database_url, name="test") as database:
        yield database


async def store(database: Database, home: Home, *items: Item) -> None:
    received = [ReceivedItem(item, home.gateway, GATEWAY, BOOT) for item in items]
    async with database.transaction() as tx:
        await keep(tx, received, stored_at=NOON)


async def unbind(database: Database, home: Home, at: datetime) -> bindings.Ended:
    async with database.transaction() as tx:
        return await bindings.unbind(tx, home.cuff, at=at, now=NOON)


def whose(url: str, table: str) -> list[tuple[object, ...]]:
    """Return patient and time of each row, with the reason where there is no patient."""
    why = ", unassigned" if table == "measurement" else ""
    return rows(url, f"SELECT DISTINCT measured_at, patient_id{why} FROM {table} ORDER BY 1")  # noqa: S608


async def test_values_since_then_are_the_new_persons(
    database: Database, home: Home, database_url: str
) -> None:
    before, after = NOON - 3 * HOUR, NOON - HOUR
    await store(database, home, pressure(1, at=before), pressure(2, at=after))
    assert await unbind(database, home, HANDED_OVER) == bindings.Ended(1, 1)
    assert whose(database_url, "measurement") == [
        (before, home.patient, None),
        (after, None, "outside_binding"),
    ]
    async with database.transaction() as tx:
        bound = await bindings.bind(
            tx, device_id=home.cuff, patient_id=home.neighbour, since=HANDED_OVER, at=NOON
        )
    assert bound.placed == 1
    # The one that comes late is treated as the one that came in time.
    await store(database, home, pressure(3, at=after + timedelta(minutes=5)))
    late = (after + timedelta(minutes=5), home.neighbour)
    for table in ("observation", "engine_inbox"):
        assert whose(database_url, table) == [
            (before, home.patient), (after, home.neighbour), late,
        ], table  # fmt: skip
    assert whose(database_url, "latest") == [(before, home.patient), late]


async def test_a_value_passed_on_afterwards_is_nobodys(
    database: Database, home: Home, database_url: str
) -> None:
    measured = NOON - 3 * HOUR
    await store(database, home, pressure(1, at=measured, gw_t=NOON - HOUR))
    assert whose(database_url, "measurement") == [(measured, home.patient, None)]
    assert await unbind(database, home, HANDED_OVER) == bindings.Ended(1, 1)
    assert whose(database_url, "measurement") == [(measured, None, "outside_binding")]
    assert whose(database_url, "latest") == []


async def test_what_a_person_entered_stays(
    database: Database, home: Home, database_url: str
) -> None:
    typed = entered(
        pressure(1, at=NOON - HOUR), token="x" * 20, patient_id=home.patient, entered_by=home.staff
    )
    async with database.transaction() as tx:
        await keep(tx, [typed], stored_at=NOON)
    assert await unbind(database, home, HANDED_OVER) == bindings.Ended(1, 0)
    assert whose(database_url, "measurement") == [(NOON - HOUR, home.patient, None)]


async def test_an_end_that_is_now_takes_nothing(
    database: Database, home: Home, database_url: str
) -> None:
    await store(database, home, pressure(1, at=NOON - HOUR))
    assert await unbind(database, home, NOON) == bindings.Ended(1, 0)
    assert whose(database_url, "latest") == [(NOON - HOUR, home.patient)]


def alert_of(url: str, patient: int) -> tuple[object, ...]:
    """Return what of the patient's one alert a correction of its values must not change."""
    columns = "severity, handling, condition, owner_id, text_sv, measured_at, closed_at, outcome"
    (found,) = rows(url, f"SELECT {columns} FROM alert WHERE patient_id = %s", patient)  # noqa: S608
    return found


def events_of(url: str, patient: int) -> list[str]:
    found = rows(
        url,
        "SELECT e.event FROM alert_event e JOIN alert a ON a.id = e.alert_id"
        " WHERE a.patient_id = %s ORDER BY e.id",
        patient,
    )
    return [event for (event,) in found]


async def judge(database: Database) -> None:
    async with database.transaction() as tx:
        await judge_inbox(tx, now=NOON)


@pytest.mark.parametrize("is_closed", [False, True])
async def test_an_alert_on_a_value_that_went_to_another_stays_and_says_so(
    database: Database, home: Home, database_url: str, *, is_closed: bool
) -> None:
    await store(database, home, pressure(1, at=NOON - HOUR, systolic=231.0))
    await judge(database)
    ((alert_id, version),) = rows(database_url, "SELECT id, version FROM alert")
    async with database.transaction() as tx:
        await alert_commands.take(
            tx, alert_id, staff_id=home.staff, expected_version=version, at=NOON
        )
        if is_closed:
            await alert_commands.close(
                tx, alert_id, staff_id=home.staff, expected_version=version + 1,
                outcome=Outcome.VISIT, at=NOON,
            )  # fmt: skip
    before, said = alert_of(database_url, home.patient), events_of(database_url, home.patient)
    assert await unbind(database, home, HANDED_OVER) == bindings.Ended(1, 1)
    assert alert_of(database_url, home.patient) == before
    assert events_of(database_url, home.patient) == [*said, "evidence_changed"]
    # Whose it is now is told too, and once.
    async with database.transaction() as tx:
        await bindings.bind(
            tx, device_id=home.cuff, patient_id=home.neighbour, since=HANDED_OVER, at=NOON
        )
    await judge(database)
    assert alert_of(database_url, home.neighbour)[:2] == ("red", "open")
    assert events_of(database_url, home.neighbour) == ["fired"]
    assert events_of(database_url, home.patient) == [*said, "evidence_changed"]


async def test_an_alert_on_another_value_says_nothing(
    database: Database, home: Home, database_url: str
) -> None:
    await store(database, home, pressure(1, at=NOON - 3 * HOUR, systolic=231.0))
    await judge(database)
    await store(database, home, pressure(2, at=NOON - HOUR))
    assert await unbind(database, home, HANDED_OVER) == bindings.Ended(1, 1)
    assert "evidence_changed" not in events_of(database_url, home.patient)


async def test_a_clock_that_is_learnt_takes_a_value_to_another_and_the_alert_says_so(
    database: Database, home: Home, database_url: str
) -> None:
    async with database.transaction() as tx:
        await bindings.unbind(tx, home.cuff, at=HANDED_OVER, now=NOON)
        await bindings.bind(
            tx, device_id=home.cuff, patient_id=home.neighbour, since=HANDED_OVER, at=NOON
        )
    guessed = pressure(1, at=NOON - 3 * HOUR, systolic=231.0, tq="estimated", gw_q="none")
    await store(database, home, guessed)
    await judge(database)
    assert events_of(database_url, home.patient) == ["fired"]
    clock = Item(seq=2, uid="c" * 32, type="clock", boot=BOOT, mono_ms=guessed.mono_ms,
                 utc=NOON - HOUR, q="ntp")  # fmt: skip
    await store(database, home, clock)
    assert events_of(database_url, home.patient) == ["fired", "evidence_changed"]
    await judge(database)
    assert events_of(database_url, home.neighbour) == ["fired"]
