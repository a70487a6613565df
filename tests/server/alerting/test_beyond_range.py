"""HI and LO from store to alert: kept without a number, judged as beyond every limit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import msgspec
import psycopg
import pytest

from alerts.decision import Inputs
from alerts.limits import Guardrail, Override
from alerts.rules import Direction
from devices.wire import Item, WireSample
from server.alerting.judge import re_evaluate
from server.store import bindings, limits
from server.store.database import Database
from tests.server.alerting.fix_engine import arrive, engine, judge, minutes
from tests.server.homes import NOON, Home, pressure, rows, settle

pytestmark = pytest.mark.integration
GLUCOSE = 601
SPARE = "ble-00aabbccddee"
EVIDENCE = """SELECT a.rule, a.severity, e.value, e.beyond
              FROM alert a JOIN alert_evidence e ON e.alert_id = a.id
              ORDER BY a.rule, e.measured_at"""


@pytest.fixture
def home(database_url: str) -> Home:
    return settle(database_url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with engine(database_url) as database:
        yield database


def glucose(seq: int, value: float | str, at: datetime = NOON, **changes: Any) -> Item:
    """A meter's result: a number, or the reason for none."""
    sample = WireSample("160184", None, "mmol/L")
    said = {"absent": value} if isinstance(value, str) else {"value": value}
    samples = (msgspec.structs.replace(sample, **said),)
    return pressure(seq, at=at, kind="glucose", samples=samples, char="2A18", **changes)


def temperature(seq: int, absent: Any, **changes: Any) -> Item:
    samples = (WireSample("150364", None, "Cel", absent=absent),)
    return pressure(seq, kind="body_temperature", samples=samples, char="2A1C", **changes)


async def own_limits(database: Database, home: Home, **bounds: float) -> None:
    override = Override(GLUCOSE, Guardrail(**bounds), "Dr Exempel", "")
    async with database.transaction() as tx:
        await limits.set_limit(tx, home.patient, override, at=minutes(-60))


@pytest.mark.parametrize(
    ("absent", "flags", "rule", "side"),
    [
        ("pos_inf", ("result_too_high",), "glucose.glucose.high", "high"),
        ("pos_inf", (), "glucose.glucose.high", "high"),
        ("nan", ("result_too_high",), "glucose.glucose.high", "high"),
        ("neg_inf", (), "glucose.glucose.low", "low"),
        ("reserved", ("result_too_low",), "glucose.glucose.low", "low"),
    ],
)
async def test_a_result_without_a_number_is_a_red_alert_that_cites_the_side(
    database: Database,
    home: Home,
    database_url: str,
    absent: str,
    flags: tuple[str, ...],
    rule: str,
    side: str,
) -> None:
    await own_limits(database, home, red_low=3, yellow_low=4, yellow_high=15, red_high=20)
    await arrive(database, home, glucose(1, absent, flags=flags))
    assert (await judge(database)).fired == 1
    assert rows(database_url, EVIDENCE) == [(rule, "red", None, side)]
    ((kept,),) = rows(database_url, "SELECT inputs FROM alert")
    (cited,) = msgspec.convert(kept, Inputs).evidence
    assert (cited.value, cited.beyond) == (None, Direction(side))
    # What was sent stays as it was sent, and is the person's latest.
    sent = [(None, absent)]
    assert rows(database_url, "SELECT value, absent FROM observation") == sent
    assert rows(database_url, "SELECT value, absent FROM latest") == sent


@pytest.mark.parametrize("absent", ["nan", "nres", "reserved"])
async def test_what_was_not_measured_is_judged_by_no_rule(
    database: Database, home: Home, database_url: str, absent: str
) -> None:
    await own_limits(database, home, red_low=3, red_high=20)
    await arrive(database, home, glucose(1, absent), temperature(2, absent))
    judged = await judge(database)
    assert (judged.measurements, judged.decisions, judged.left) == (2, (), 0)


async def test_without_a_limit_nothing_fires(database: Database, home: Home) -> None:
    await arrive(database, home, glucose(1, "pos_inf"))
    assert (await judge(database)).decisions == ()


async def test_control_solution_that_shows_hi_is_suppressed_with_its_reason(
    database: Database, home: Home, database_url: str
) -> None:
    await own_limits(database, home, red_high=20)
    await arrive(database, home, glucose(1, "pos_inf", flags=("control_solution",)))
    await judge(database)
    assert rows(database_url, "SELECT decided, reason FROM decision") == [
        ("suppress", "no_reading")
    ]
    assert rows(database_url, "SELECT count(*) FROM latest") == [(0,)]


async def test_earlier_results_without_a_number_are_repeats(
    database: Database, home: Home, database_url: str
) -> None:
    await own_limits(database, home, yellow_high=15)
    await arrive(database, home, glucose(1, "pos_inf"))
    await judge(database)
    # Not returned while the middle of the repeats lies beyond; then a number that has.
    await arrive(database, home, glucose(2, 9.0, minutes(2)))
    assert (await judge(database, minutes(2))).decisions == ()
    await arrive(database, home, glucose(3, 16.0, minutes(4)))
    await judge(database, minutes(4))
    assert rows(database_url, EVIDENCE) == [
        ("glucose.glucose.high", "yellow", None, "high"),
        ("glucose.glucose.high", "yellow", 16.0, None),
    ]
    await arrive(database, home, glucose(4, 9.0, minutes(30)))
    (decision,) = (await judge(database, minutes(30))).decisions
    assert decision.decided == "clear"


async def test_hi_from_an_unbound_thermometer_alerts_the_unit_and_then_its_person(
    database: Database, home: Home, database_url: str
) -> None:
    await arrive(database, home, temperature(1, "pos_inf", dev=SPARE))
    await judge(database)
    ((rule, severity, text),) = rows(database_url, "SELECT rule, severity, text_sv FROM alert")
    assert (rule, severity) == (f"unassigned.temp.high/{SPARE}", "red")
    assert text == (
        "Rött värde från okopplad apparat. Temperatur över gräns: "
        "temperatur över mätarens mätområde (HI, gräns 39,1 °C)."
    )
    async with database.transaction() as tx:
        device = await bindings.register_device(tx, SPARE)
        await bindings.bind(
            tx, device_id=device, patient_id=home.neighbour, since=minutes(-60), at=minutes(5)
        )
    await judge(database, minutes(5))
    assert rows(database_url, "SELECT rule FROM alert WHERE patient_id IS NOT NULL") == [
        ("temp.high",)
    ]


async def test_judging_it_again_changes_nothing(
    database: Database, home: Home, database_url: str
) -> None:
    await arrive(database, home, temperature(1, "neg_inf"))
    assert (await judge(database)).fired == 1
    ((uid,),) = rows(database_url, "SELECT uid FROM measurement")
    async with database.transaction() as tx:
        assert await re_evaluate(tx, uid, at=NOON)
    assert (await judge(database)).decisions == ()


async def test_what_cannot_be_judged_is_red_when_it_shows_hi(
    database: Database, home: Home, database_url: str
) -> None:
    await arrive(database, home, pressure(1, systolic=170.0))
    await judge(database)
    damage = "UPDATE alert SET inputs = jsonb_set(inputs, '{rule}', '\"{}\"')"
    rows(database_url, damage, fetch=False)
    await arrive(database, home, temperature(2, "pos_inf"))
    (unjudged,) = (await judge(database)).unjudged
    assert unjudged.error == "HistoryError"
    found = rows(database_url, "SELECT severity, text_sv FROM alert WHERE rule = 'unjudged'")
    assert [severity for severity, _ in found] == ["red"]


def test_the_database_refuses_evidence_with_both_or_neither(home: Home, database_url: str) -> None:
    columns = "(alert_id, uid, component_id, measured_at, value, beyond)"
    for value, beyond in (("1.0", "'high'"), ("NULL", "NULL"), ("NULL", "'sideways'")):
        with pytest.raises(psycopg.errors.CheckViolation):
            rows(
                database_url,
                f"INSERT INTO alert_evidence {columns} VALUES (gen_random_uuid(),"  # noqa: S608 - ours
                f" gen_random_uuid(), {GLUCOSE}, now(), {value}, {beyond})",
            )
