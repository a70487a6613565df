"""Meal and food around a glucose value: joined while the value is at home, else an event."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from devices import wire
from devices.gatt import Fields, decode, glucose, glucose_context
from devices.gatt.glucose import Glucose
from devices.gatt.glucose_context import GlucoseContext
from devices.measurement import Absent
from gateway.glucose_context import announces, context_of
from gateway.rows import Row
from tests.gateway.fix_home import STOCKHOLM, Home, make_home, written_items

METER = "ble-c0ffee000018"
BEFORE_MEAL = GlucoseContext(7, meal=1, carbohydrate=(2, 0.045))


def rows(home: Home) -> tuple[Row, ...]:
    return home.outbox.fresh(now_ms=home.clock.read().mono_ms, limit=99)


def value(home: Home, number: int = 7, *, follows: bool = True, minutes_ago: int = 5) -> bytes:
    time = home.clock.read().utc.astimezone(STOCKHOLM) - timedelta(minutes=minutes_ago)
    return glucose.encode(
        Glucose(
            number,
            time.replace(tzinfo=None, microsecond=0),
            concentration=0.0061,
            in_moles=True,
            context_follows=follows,
        )
    )


def tell(home: Home, characteristic: str, raw: bytes) -> None:
    home.journal.append(dev=METER, model="meter", characteristic=characteristic, raw=raw)
    home.intake.take_all()


def leave(home: Home) -> None:
    now_ms = home.clock.read().mono_ms
    due = rows(home)
    home.outbox.mark_sent(due, msg="m", now_ms=now_ms, next_try_ms=[now_ms] * len(due))


def test_a_context_joins_the_value_that_is_still_at_home(home: Home) -> None:
    raw = value(home)
    tell(home, "2A18", raw)
    tell(home, "2A34", glucose_context.encode(BEFORE_MEAL))
    (item,) = written_items(home)
    assert (item.type, item.raw, item.dev_seq) == ("value", raw.hex(), 7)
    assert item.ctx["meal"] == "before_meal"
    assert (item.ctx["carbohydrate"], item.ctx["carbohydrate_amount_g"]) == ("lunch", 45.0)
    assert item.ctx["context_follows"] == "yes"
    assert wire.fault_of(item) is None


def test_a_context_whose_value_has_left_travels_with_its_number(home: Home) -> None:
    tell(home, "2A18", value(home))
    leave(home)
    before = [row.item for row in rows(home)]
    tell(home, "2A34", glucose_context.encode(BEFORE_MEAL))
    assert [row.item for row in rows(home)][-len(before) :] == before, "what has left is as it was"
    event = next(item for item in written_items(home) if item.type == "event")
    assert (event.event, event.kind, event.dev_seq) == ("glucose_context", "glucose", 7)
    assert event.ctx["meal"] == "before_meal"
    assert wire.fault_of(event) is None


@pytest.mark.parametrize("has_left", [True, False])
def test_a_replay_brings_no_second_context(home: Home, has_left: bool) -> None:
    raw, context = value(home), glucose_context.encode(BEFORE_MEAL)
    tell(home, "2A18", raw)
    if has_left:
        leave(home)
    tell(home, "2A34", context)
    before = written_items(home)
    tell(home, "2A18", raw)
    tell(home, "2A34", context)
    assert written_items(home) == before


def test_the_newest_value_of_that_number_is_meant(home: Home) -> None:
    """The meter began anew while the gateway was offline, and has a number 7 again."""
    tell(home, "2A18", value(home, minutes_ago=60))
    tell(home, "2A18", value(home, minutes_ago=5))
    tell(home, "2A34", glucose_context.encode(BEFORE_MEAL))
    old, new = written_items(home)
    assert "meal" not in old.ctx
    assert new.ctx["meal"] == "before_meal"


@pytest.mark.parametrize("has_left", [True, False])
def test_the_same_context_of_another_value_is_another(home: Home, has_left: bool) -> None:
    """Numbers began anew, and a context has no time: number 7 is after lunch once more."""
    context = glucose_context.encode(BEFORE_MEAL)
    for minutes_ago in (60, 5):
        tell(home, "2A18", value(home, minutes_ago=minutes_ago))
        if has_left:
            leave(home)
        tell(home, "2A34", context)
        tell(home, "2A34", context)
    told = [item for item in written_items(home) if "meal" in item.ctx]
    assert [item.type for item in told] == ["event" if has_left else "value"] * 2


def test_a_context_of_another_number_or_device_joins_nothing(home: Home) -> None:
    tell(home, "2A18", value(home, 6))
    home.journal.append(dev="ble-c0ffee000019", model="m", characteristic="2A18", raw=value(home))
    home.intake.take_all()
    tell(home, "2A34", glucose_context.encode(BEFORE_MEAL))
    assert [item.event for item in written_items(home)] == [None, None, "glucose_context"]


def test_a_value_marked_with_a_meal_later_is_no_second_value(home: Home) -> None:
    bare = value(home, follows=False)
    tell(home, "2A18", bare)
    leave(home)
    marked = bytes((bare[0] | 0x10,)) + bare[1:]
    for _ in range(2):
        tell(home, "2A18", marked)
        tell(home, "2A34", glucose_context.encode(BEFORE_MEAL))
    assert sorted(item.type for item in written_items(home)) == ["event", "value"]
    # And its mark taken off again:
    tell(home, "2A18", bare)
    assert len(written_items(home)) == 2


def test_a_value_with_its_context_in_one_batch_is_one_item(home: Home) -> None:
    home.journal.append(dev=METER, model="m", characteristic="2A18", raw=value(home))
    tell(home, "2A34", glucose_context.encode(BEFORE_MEAL))
    assert len(written_items(home)) == 1


def test_an_announced_context_is_waited_for_by_its_device_only(tmp_path: Path) -> None:
    home = make_home(tmp_path / "waiting.sqlite3")
    home.intake._not_yet = announces
    home.journal.append(dev=METER, model="m", characteristic="2A18", raw=value(home))
    tell(home, "2A34", glucose_context.encode(BEFORE_MEAL))
    assert written_items(home) == []
    home.measure(150)
    assert [item.kind for item in written_items(home)] == ["blood_pressure"]
    home.intake._not_yet = lambda _row: False
    assert home.intake.take_all()
    assert [item.kind for item in written_items(home)] == ["blood_pressure", "glucose"]
    assert written_items(home)[1].ctx["meal"] == "before_meal"
    home.outbox.close()


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (GlucoseContext(1), {}),
        (GlucoseContext(1, tester_health=(1, 5)), {"tester": "self", "health": "no_issues"}),
        (
            GlucoseContext(1, exercise=(600, 70)),
            {"exercise_duration_s": 600, "exercise_intensity_percent": 70},
        ),
        (
            GlucoseContext(1, medication=(1, 0.000_5)),
            {"medication": "rapid_acting_insulin", "medication_amount_mg": 500.0},
        ),
        (
            GlucoseContext(1, medication=(1, Absent.NAN), in_litres=True),
            {"medication": "rapid_acting_insulin", "medication_amount_ml": "nan"},
        ),
        (GlucoseContext(1, hba1c_percent=6.5), {"hba1c_percent": 6.5}),
        (GlucoseContext(1, meal=99), {"context_flags": "unknown_meal"}),
    ],
)
def test_every_field_gets_a_plain_name(
    context: GlucoseContext, expected: dict[str, object]
) -> None:
    fields = decode("2A34", glucose_context.encode(context))
    assert isinstance(fields, Fields)
    assert context_of(fields) == expected
