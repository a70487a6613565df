"""What people do with alerts, on real databases: two nurses, stale pages, receipts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from alerts.lifecycle import Handling, Refused
from server.store.alert_commands import Conflict, UnknownAlert, close, note, release, take
from server.store.alerts import Alert
from server.store.database import Database
from tests.server.alerting.fix_engine import (
    arrive,
    engine,
    judge,
    minutes,
    saturation,
    second_nurse,
)
from tests.server.homes import NOON, Home, rows, settle

pytestmark = pytest.mark.integration


@pytest.fixture
def home(database_url: str) -> Home:
    return settle(database_url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with engine(database_url) as database:
        yield database


@pytest.fixture
async def alert_id(database: Database, home: Home, database_url: str) -> UUID:
    await arrive(database, home, saturation(1, 88.0))
    await judge(database)
    ((found,),) = rows(database_url, "SELECT id FROM alert")
    assert isinstance(found, UUID)
    return found


async def test_take_note_close(
    database: Database, home: Home, alert_id: UUID, database_url: str
) -> None:
    who: dict[str, Any] = {"staff_id": home.staff, "at": NOON}
    async with database.transaction() as tx:
        taken = await take(tx, alert_id, expected_version=1, **who)
        assert isinstance(taken, Alert)
        assert taken.state.handling is Handling.ACKNOWLEDGED
        again = await take(tx, alert_id, expected_version=1, **who)
        assert isinstance(again, Alert)
        assert again.state.version == 2
    async with database.transaction() as tx:
        written = await note(tx, alert_id, note="Ringer.", **who)
        assert isinstance(written, Alert)
        shut = await close(
            tx, alert_id, outcome="visit", note="Åkte hem till henne.", expected_version=3, **who
        )
        assert isinstance(shut, Alert)
    assert rows(database_url, "SELECT handling, outcome, owner_id, version FROM alert") == [
        ("closed", "visit", home.staff, 4)
    ]
    assert rows(
        database_url, "SELECT event, detail ->> 'while_firing' FROM alert_event ORDER BY id"
    ) == [("fired", None), ("taken", None), ("noted", None), ("closed", "true")]


async def test_taking_means_seen(
    database: Database, home: Home, alert_id: UUID, database_url: str
) -> None:
    async with database.transaction() as tx:
        await take(tx, alert_id, staff_id=home.staff, expected_version=1, at=minutes(1))
    assert rows(database_url, "SELECT gateway_id, staff_id, unit_id, seen_at FROM receipt") == [
        (home.gateway, home.staff, home.unit, minutes(1))
    ]


async def test_two_nurses_at_once_and_the_second_hears_a_name(
    database: Database, home: Home, alert_id: UUID, database_url: str
) -> None:
    mats = second_nurse(database_url)

    async def press(staff_id: int) -> object:
        async with database.transaction() as tx:
            return await take(tx, alert_id, staff_id=staff_id, expected_version=1, at=NOON)

    answers = await asyncio.gather(press(home.staff), press(mats))
    winners = [a for a in answers if isinstance(a, Alert)]
    losers = [a for a in answers if isinstance(a, Conflict)]
    assert len(winners) == len(losers) == 1
    names = {home.staff: "Prov Provsson", mats: "Mats Påhittad"}
    owner = winners[0].state.owner_id
    assert owner is not None
    assert losers[0].reason is Refused.HELD
    assert losers[0].holder_name == names[owner]
    assert rows(database_url, "SELECT count(*) FROM alert_event WHERE event = 'taken'") == [(1,)]


async def test_a_close_from_a_page_that_is_behind_is_refused(
    database: Database, home: Home, alert_id: UUID
) -> None:
    await arrive(database, home, saturation(2, 80.0, minutes(5)))
    await judge(database, minutes(5))
    async with database.transaction() as tx:
        answer = await close(
            tx,
            alert_id,
            staff_id=home.staff,
            outcome="visit",
            expected_version=1,
            at=minutes(6),
        )
    assert isinstance(answer, Conflict)
    assert answer.reason is Refused.CHANGED
    assert answer.holder_name is None
    assert answer.alert.state.version == 2


async def test_release_gives_it_back_and_after_close_only_a_new_value_fires(
    database: Database, home: Home, alert_id: UUID, database_url: str
) -> None:
    who: dict[str, Any] = {"staff_id": home.staff, "at": NOON}
    async with database.transaction() as tx:
        await take(tx, alert_id, expected_version=1, **who)
        back = await release(tx, alert_id, expected_version=2, **who)
        assert isinstance(back, Alert)
        assert back.state.handling is Handling.OPEN
        await close(tx, alert_id, outcome="contacted-no-action", expected_version=3, **who)
    assert (await judge(database, minutes(30))).decisions == ()
    await arrive(database, home, saturation(2, 92.0, minutes(40)))
    await judge(database, minutes(40))
    assert rows(database_url, "SELECT reason FROM decision ORDER BY id DESC LIMIT 1") == [
        ("closed_episode_goes_on",)
    ]
    await arrive(database, home, saturation(3, 88.0, minutes(60)))
    await judge(database, minutes(60))
    assert rows(database_url, "SELECT count(*) FROM alert WHERE handling = 'open'") == [(1,)]


async def test_an_outcome_that_does_not_exist_and_an_alert_that_does_not(
    database: Database, home: Home, alert_id: UUID
) -> None:
    who: dict[str, Any] = {"staff_id": home.staff, "at": NOON}
    async with database.transaction() as tx:
        with pytest.raises(ValueError, match="fine"):
            await close(tx, alert_id, outcome="fine", expected_version=1, **who)
        assert isinstance(await take(tx, uuid4(), expected_version=1, **who), UnknownAlert)
