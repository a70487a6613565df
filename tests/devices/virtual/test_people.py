"""The invented people: the same seed tells the same stories, and a nurse would recognise them."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import mean

import pytest

from devices.gatt import blood_pressure
from devices.kinds import KINDS
from devices.virtual.people import (
    PEOPLE,
    PERSONNUMMER,
    SCREEN,
    Bounds,
    Person,
    StoryItem,
    story_items,
)

UNTIL = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
SEED = 7
STORIES = story_items(SEED, UNTIL)
DAY = timedelta(days=1)


def values(key: str, kind: str, name: str, *, since: timedelta = timedelta(days=91)) -> list[float]:
    code = KINDS[kind].named(name).code
    return [
        sample.value
        for item in STORIES[key]
        if item.measurement.kind == kind and item.measured_at >= UNTIL - since
        for sample in item.measurement.samples
        if sample.code == code and sample.value is not None
    ]


def test_twelve_people_and_one_test_personnummer() -> None:
    assert [person.key for person in PEOPLE] == [f"DEMO-{n:02d}" for n in range(1, 13)]
    assert len({person.story for person in PEOPLE}) == 12
    with_number = [person for person in PEOPLE if person.identifier_system == PERSONNUMMER]
    assert [person.identifier for person in with_number] == ["191212121212"]
    assert all(70 <= person.age_years <= 95 and person.matters for person in PEOPLE)
    addresses = Counter(device.address for person in PEOPLE for device in person.devices)
    assert set(addresses.values()) == {1}


def test_every_limit_is_for_a_component_that_exists() -> None:
    names = {component.name for kind in KINDS.values() for component in kind.components}
    assert all(name in names for person in PEOPLE for name in person.limits)


def test_bounds_rise() -> None:
    with pytest.raises(AssertionError, match="bounds rise"):
        Bounds(red_low=100, yellow_low=90)


def test_same_arguments_same_bytes_and_another_seed_another_story() -> None:
    assert story_items(SEED, UNTIL) == STORIES
    assert story_items(SEED + 1, UNTIL) != STORIES


def test_a_longer_history_does_not_change_the_shorter_one() -> None:
    shorter = story_items(SEED, UNTIL, days=10)["DEMO-06"]
    assert shorter == STORIES["DEMO-06"][-len(shorter) :]


@pytest.mark.parametrize("person", PEOPLE, ids=lambda one: one.key)
def test_items_are_in_order_in_the_past_and_from_the_persons_own_devices(person: Person) -> None:
    items = STORIES[person.key]
    assert items == tuple(sorted(items, key=lambda item: item.measured_at))
    devices = {device.dev: device for device in person.devices}
    for item in items:
        assert item.measured_at <= item.received_at < UNTIL
        assert item.measured_at.tzinfo is UTC
        if item.dev == SCREEN:
            assert item.measurement.raw == b""
            continue
        assert item.measurement.raw
        assert item.measurement.kind in devices[item.dev].kinds
        assert devices[item.dev].model == item.model


def test_values_are_what_decoding_their_bytes_gives() -> None:
    for item in STORIES["DEMO-06"]:
        if item.measurement.kind == "blood_pressure":
            assert blood_pressure.decode(item.measurement.raw) == item.measurement


def test_nothing_is_implausible() -> None:
    for items in STORIES.values():
        for item in items:
            kind = KINDS[item.measurement.kind]
            for sample in item.measurement.samples:
                component = kind.component(sample.code)
                assert component is not None
                assert sample.value is not None
                assert component.is_plausible(sample.value)


def test_heart_failure_gains_weight_over_the_last_ten_days() -> None:
    before = values("DEMO-01", "body_weight", "weight")[:-12]
    now = values("DEMO-01", "body_weight", "weight", since=2 * DAY)
    assert 2.3 < mean(now) - mean(before) < 4.0


def test_copd_dips_below_its_target() -> None:
    assert mean(values("DEMO-02", "pulse_oximetry", "spo2")[:20]) > 88
    assert min(values("DEMO-02", "pulse_oximetry", "spo2", since=2 * DAY)) < 88


def test_white_coat_highs_settle_when_repeated() -> None:
    series: list[tuple[datetime, float]] = [
        (item.measured_at, item.measurement.samples[0].value or 0.0)
        for item in STORIES["DEMO-03"]
        if item.measurement.kind == "blood_pressure"
    ]
    repeats = [
        (first, second)
        for (at, first), (then, second) in pairwise(series)
        if then - at == timedelta(minutes=5)
    ]
    assert len(repeats) >= 5
    assert mean(first for first, _ in repeats) > 160
    assert mean(second for _, second in repeats) < 150


def test_the_silent_gateway_fell_silent_three_days_ago() -> None:
    last = STORIES["DEMO-04"][-1].measured_at
    assert timedelta(days=2.5) < UNTIL - last < timedelta(days=4)


def test_one_battery_is_low() -> None:
    def last_level(items: tuple[StoryItem, ...]) -> float:
        return [i for i in items if i.measurement.kind == "battery"][-1].measurement.samples[
            0
        ].value or 0.0

    levels = {person.key: last_level(STORIES[person.key]) for person in PEOPLE if person.devices}
    assert [key for key, level in levels.items() if level <= 20] == ["DEMO-05"]


def test_the_discharged_person_begins_nine_days_ago_and_measures_a_lot() -> None:
    items = STORIES["DEMO-07"]
    assert UNTIL - items[0].measured_at < 10 * DAY
    assert len(items) > 60


def test_standing_is_lower_than_sitting_lately() -> None:
    recent = values("DEMO-08", "blood_pressure", "systolic", since=5 * DAY)
    assert mean(recent[0::2]) - mean(recent[1::2]) > 20


def test_gaps_are_gaps_and_some_values_come_in_late() -> None:
    items = [i for i in STORIES["DEMO-09"] if i.measurement.kind == "body_weight"]
    longest = max((later.measured_at - earlier.measured_at) for earlier, later in pairwise(items))
    assert longest > 8 * DAY
    assert max(item.received_at - item.measured_at for item in items) >= 2 * DAY


def test_the_irregular_pulse_flag_comes_in_the_last_week() -> None:
    flagged = [i for i in STORIES["DEMO-10"] if "irregular_pulse" in i.measurement.flags]
    recent = [i for i in flagged if UNTIL - i.measured_at < 7 * DAY]
    assert len(recent) > len(flagged) / 2
    assert len(recent) >= 6


def test_the_fever_is_above_the_limit_today() -> None:
    assert max(values("DEMO-11", "body_temperature", "temperature", since=DAY)) >= 38.1
    assert max(values("DEMO-11", "body_temperature", "temperature")[:20]) < 37.5


def test_entered_values_say_so() -> None:
    assert {item.dev for item in STORIES["DEMO-12"]} == {SCREEN}


@pytest.mark.parametrize("hour", [0, 4, 8, 9, 14, 20, 23])
def test_the_stories_hold_at_any_hour(hour: int) -> None:
    until = UNTIL.replace(hour=hour)
    stories = story_items(SEED, until)
    fever = [
        i.measurement.samples[0].value or 0.0
        for i in stories["DEMO-11"]
        if i.measurement.kind == "body_temperature" and until - i.measured_at < 1.5 * DAY
    ]
    assert max(fever) >= 38.0
