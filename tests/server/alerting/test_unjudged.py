"""One person who cannot be judged stops nobody else, and never vanishes: on real databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta

import psycopg
import pytest
from structlog.testing import capture_logs

from server.alerting.judge import re_evaluate
from server.alerting.run import drain
from server.store import bindings
from server.store.alert_commands import close
from server.store.database import Database
from server.store.engine_inbox import RETRY_MAX, pause_after
from tests.server.alerting.fix_engine import arrive, engine, judge, minutes, saturation
from tests.server.homes import NOON, Home, rows, settle

pytestmark = pytest.mark.integration

OXIMETER = "ble-00aabbccddee"
LOOK = "Värden kan inte bedömas automatiskt – titta själv på värdena."


@pytest.fixture
def home(database_url: str) -> Home:
    return settle(database_url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with engine(database_url) as database:
        yield database


@pytest.fixture
async def damaged(database: Database, home: Home, database_url: str) -> Home:
    """A home whose patient has a red alert that fired twice, and a neighbour with a device."""
    async with database.transaction() as tx:
        device = await bindings.register_device(tx, OXIMETER)
        since = NOON - timedelta(days=1)
        await bindings.bind(tx, device_id=device, patient_id=home.neighbour, since=since, at=since)
    await arrive(database, home, saturation(1, 88.0, minutes(-30)))
    assert (await judge(database, minutes(-30))).fired == 1
    change(
        database_url,
        "INSERT INTO alert_event (alert_id, event) SELECT id, 'fired' FROM alert",
    )
    return home


def change(url: str, statement: str, *values: object) -> None:
    with psycopg.connect(url) as db:
        db.execute(statement, values)


def unjudged(url: str) -> list[tuple[object, ...]]:
    """Alerts about values that were not judged, and how much they cite."""
    return rows(
        url,
        """SELECT a.patient_id, a.rule, a.severity, a.handling,
                  (SELECT count(*) FROM alert_evidence e WHERE e.alert_id = a.id)
           FROM alert a WHERE a.rule LIKE 'unjudged%%' ORDER BY a.opened_at, a.rule""",
    )


async def test_the_neighbour_is_judged_and_the_person_is_looked_at(
    database: Database, damaged: Home, database_url: str
) -> None:
    mine, neighbours = saturation(2, 87.0, minutes(5)), saturation(3, 86.0, minutes(5))
    await arrive(database, damaged, mine, neighbours)
    await arrive(database, damaged, saturation(4, 85.0, minutes(5), dev=OXIMETER))
    judged = await judge(database, minutes(5))
    assert (judged.measurements, judged.fired, judged.left) == (1, 1, 0)
    ((subject, error, tries),) = [(u.subject, u.error, u.tries) for u in judged.unjudged]
    assert (subject, error, tries) == (f"patient:{damaged.patient}", "HistoryError", 1)
    assert rows(
        database_url, "SELECT severity FROM alert WHERE patient_id = %s", damaged.neighbour
    ) == [("red",)]
    assert rows(database_url, "SELECT DISTINCT patient_id, tries, retry_at FROM engine_inbox") == [
        (damaged.patient, 1, minutes(5.5))
    ]
    # Two saturations and their two pulses: all that waits is cited.
    assert unjudged(database_url) == [(damaged.patient, "unjudged", "red", "open", 4)]
    ((text,),) = rows(database_url, "SELECT text_sv FROM alert WHERE rule = 'unjudged'")
    assert text == (
        "Rött värde: syremättnad 87 % (gräns 91 %), syremättnad 86 % (gräns 91 %). " + LOOK
    )


async def test_a_value_that_is_not_red_is_yellow_until_a_red_one_waits_too(
    database: Database, damaged: Home, database_url: str
) -> None:
    await arrive(database, damaged, saturation(2, 96.0, minutes(5)))
    async with aclosing(database.notifications("hemma_alert")) as notes:
        assert await anext(notes) == ""
        await judge(database, minutes(5))
        assert await asyncio.wait_for(anext(notes), 5) == str(damaged.unit)
    assert unjudged(database_url) == [(damaged.patient, "unjudged", "yellow", "open", 2)]
    await arrive(database, damaged, saturation(3, 86.0, minutes(5.1)))
    judged = await judge(database, minutes(5.1))  # new, so at once
    assert judged.unjudged[0].waiting == 2
    assert unjudged(database_url) == [(damaged.patient, "unjudged", "red", "open", 4)]
    assert rows(
        database_url, "SELECT decided, reason, severity FROM decision ORDER BY id DESC LIMIT 2"
    ) == [("extend", "not_judged", "red"), ("fire", "not_judged", "yellow")]


async def test_it_is_tried_again_with_growing_delay_and_judged_when_mended(
    database: Database, damaged: Home, database_url: str
) -> None:
    await arrive(database, damaged, saturation(2, 87.0, minutes(5)))
    await judge(database, minutes(5))
    assert (await judge(database, minutes(5.4))).unjudged == ()
    again = await judge(database, minutes(5.5))
    assert [(u.tries, u.pause) for u in again.unjudged] == [(2, timedelta(minutes=1))]
    assert len(unjudged(database_url)) == 1
    change(
        database_url,
        """ALTER TABLE alert_event DISABLE TRIGGER alert_event_append_only;
           DELETE FROM alert_event WHERE detail = '{}';
           ALTER TABLE alert_event ENABLE TRIGGER alert_event_append_only""",
    )
    mended = await judge(database, minutes(6.5))
    assert (mended.measurements, mended.left, mended.unjudged) == (1, 0, ())
    assert rows(database_url, "SELECT count(*) FROM engine_inbox") == [(0,)]
    assert rows(
        database_url,
        """SELECT rule, version, (SELECT count(*) FROM alert_evidence e WHERE e.alert_id = a.id)
           FROM alert a WHERE handling = 'open' ORDER BY rule""",
    ) == [("spo2.target", 2, 2), ("unjudged", 1, 2)]  # only a person ends it


def test_the_delay_grows_to_an_hour() -> None:
    assert [pause_after(tries).total_seconds() for tries in (1, 2, 3, 7, 8)] == [
        30, 60, 120, 1920, 3600,
    ]  # fmt: skip
    assert pause_after(10_000) == RETRY_MAX


async def test_what_a_person_has_looked_at_is_not_asked_again(
    database: Database, damaged: Home, database_url: str
) -> None:
    await arrive(database, damaged, saturation(2, 96.0, minutes(5)))
    await judge(database, minutes(5))
    ((alert_id,),) = rows(database_url, "SELECT id FROM alert WHERE rule = 'unjudged'")
    async with database.transaction() as tx:
        await close(
            tx,
            alert_id,
            staff_id=damaged.staff,
            outcome="contacted-no-action",
            expected_version=1,
            at=minutes(6),
        )
    await judge(database, minutes(10))
    assert [row[3] for row in unjudged(database_url)] == ["closed"]
    await arrive(database, damaged, saturation(3, 97.0, minutes(11)))
    await judge(database, minutes(11))
    assert [row[3] for row in unjudged(database_url)] == ["closed", "open"]


async def test_when_that_alert_s_own_history_is_damaged_a_red_one_is_opened(
    database: Database, damaged: Home, database_url: str
) -> None:
    await arrive(database, damaged, saturation(2, 96.0, minutes(5)))
    await judge(database, minutes(5))
    change(
        database_url,
        """INSERT INTO alert_event (alert_id, event, detail)
           SELECT id, 'hoppat', '{}' FROM alert WHERE rule = 'unjudged'""",
    )
    await arrive(database, damaged, saturation(3, 97.0, minutes(6)))
    await judge(database, minutes(6))
    await judge(database, minutes(60))
    assert unjudged(database_url) == [
        (damaged.patient, "unjudged", "yellow", "open", 2),
        (damaged.patient, "unjudged.unread", "red", "open", 0),
    ]


async def test_a_stored_value_that_is_no_number_and_one_nobody_owns(
    database: Database, damaged: Home, database_url: str
) -> None:
    spare = saturation(2, 88.0, minutes(5), dev="ble-00ffeeddccbb")
    await arrive(database, damaged, spare)
    change(
        database_url,
        "UPDATE observation SET value = 'NaN' WHERE uid = %s AND component_id = 201",
        spare.uid,
    )
    judged = await judge(database, minutes(5))
    assert [u.subject for u in judged.unjudged] == [f"gateway:{damaged.gateway}"]
    assert unjudged(database_url) == [(None, "unjudged.unread", "red", "open", 0)]


async def test_a_value_of_an_unbound_device_that_could_not_be_judged_is_looked_at(
    database: Database, damaged: Home, database_url: str
) -> None:
    spare = "ble-00ffeeddccbb"
    await arrive(database, damaged, saturation(2, 88.0, minutes(5), dev=spare))
    await judge(database, minutes(5))
    change(
        database_url,
        """INSERT INTO alert_event (alert_id, event)
           SELECT id, 'fired' FROM alert WHERE rule LIKE 'unassigned.spo2.target/%%'""",
    )
    await arrive(database, damaged, saturation(3, 87.0, minutes(6), dev=spare))
    await judge(database, minutes(6))
    assert unjudged(database_url) == [(None, "unjudged", "red", "open", 2)]


async def test_a_patient_who_does_not_exist_and_a_rule_from_another_version_stop_nobody(
    database: Database, damaged: Home, database_url: str
) -> None:
    item = saturation(2, 87.0, minutes(5))
    await arrive(database, damaged, item)
    change(database_url, "UPDATE engine_inbox SET patient_id = 4711")
    await arrive(database, damaged, saturation(3, 97.0, minutes(5)))
    change(database_url, "UPDATE alert SET inputs = jsonb_set(inputs, '{rule,kind}', '\"ny\"')")
    await arrive(database, damaged, saturation(4, 85.0, minutes(5), dev=OXIMETER))
    judged = await judge(database, minutes(5))
    assert judged.fired == 1
    assert [(u.subject, u.error) for u in judged.unjudged] == [
        ("patient:4711", "DataRefused"),
        (f"patient:{damaged.patient}", "HistoryError"),
    ]
    ((uid,),) = rows(database_url, "SELECT uid FROM engine_inbox WHERE patient_id = 4711")
    async with database.transaction() as tx:
        assert await re_evaluate(tx, uid, at=minutes(6))
    assert rows(
        database_url, "SELECT patient_id, retry_at FROM engine_inbox WHERE uid = %s", uid
    ) == [(damaged.patient, None)]


async def test_the_log_names_who_and_why_by_key_and_never_a_value(
    database: Database, damaged: Home
) -> None:
    await arrive(database, damaged, saturation(2, 87.0, minutes(5)))
    with capture_logs() as logs:
        assert await drain(database) == 0
    (line,) = [entry for entry in logs if entry["event"] == "not_judged"]
    assert line == {
        "event": "not_judged",
        "log_level": "error",
        "subject": f"patient:{damaged.patient}",
        "error": "HistoryError",
        "detail": "an alert fires once",
        "waiting": 1,
        "tries": 1,
        "again_in_s": 30.0,
    }
