"""Which readings make up one score, on which scale, and what is asked for."""

from __future__ import annotations

import itertools
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.errors import RuleError
from alerts.news2 import Consciousness, Item, Vitals, news2
from alerts.occasion import WITHIN_S, Scale2Order, occasion, request, scale_at
from alerts.rules import Direction
from tests.alerts.fix_readings import at, beyond, reading

BREATHS, SPO2, OXYGEN, SYSTOLIC, LEVEL, TEMPERATURE = 1001, 201, 1201, 101, 1101, 301
CUFF_PULSE, FINGER_PULSE, STRAP = 104, 202, 701
EVERYTHING = [
    reading(SYSTOLIC, 95, 0, seq=1),
    reading(CUFF_PULSE, 92, 0, seq=1),
    reading(SPO2, 91, 5, seq=2),
    reading(OXYGEN, 1, 6, seq=3),
    reading(TEMPERATURE, 38.05, 10, seq=4),
    reading(BREATHS, 22, 29, seq=5),
    reading(LEVEL, 1, 30, seq=6),
]


def test_everything_within_half_an_hour_is_one_score() -> None:
    told = occasion(EVERYTHING, at(30))
    assert told.vitals == Vitals(
        respiratory_rate_per_min=22,
        spo2_percent=91,
        on_oxygen=True,
        systolic_mmhg=95,
        pulse_per_min=92,
        consciousness=Consciousness.CONFUSION,
        temperature_celsius=38.05,
    )
    assert told.missing == ()
    assert told.uids == tuple(f"{seq:032x}" for seq in (5, 2, 3, 1, 6, 4))
    assert news2(told.vitals).total == 2 + 3 + 2 + 2 + 1 + 3 + 1


@pytest.mark.parametrize(("minutes", "missing"), [(30, ()), (30.01, (Item.SYSTOLIC,))])
def test_the_window_includes_its_end(minutes: float, missing: tuple[Item, ...]) -> None:
    rest = [r for r in EVERYTHING if r.component not in (LEVEL, CUFF_PULSE)]
    late = [reading(LEVEL, 0, minutes, seq=7), reading(FINGER_PULSE, 80, minutes, seq=8)]
    assert occasion([*rest, *late], at(60)).missing == missing


def test_the_window_is_the_callers() -> None:
    assert set(occasion(EVERYTHING, at(30), within_s=60).cited) == {
        Item.RESPIRATORY_RATE,
        Item.CONSCIOUSNESS,
    }


def test_the_newest_of_each_counts() -> None:
    readings = [
        reading(SPO2, value, minute, seq=minute + 1) for minute, value in enumerate((97, 90, 94))
    ]
    assert occasion(readings, at(2)).vitals.spo2_percent == 94
    assert occasion(readings, at(1)).vitals.spo2_percent == 90


def test_of_one_moment_what_came_last_counts() -> None:
    readings = [reading(SPO2, 94, 0, seq=2), reading(SPO2, 90, 0, seq=1)]
    assert occasion(readings, at(0)).vitals.spo2_percent == 94


def test_pulse_at_rest_goes_before_a_strap() -> None:
    strap, cuff, finger = (
        reading(STRAP, 130, 3),
        reading(CUFF_PULSE, 80, 1),
        reading(FINGER_PULSE, 82, 2),
    )
    assert occasion([strap, cuff, finger], at(5)).vitals.pulse_per_min == 82
    assert occasion([strap, cuff], at(5)).vitals.pulse_per_min == 80
    assert occasion([strap], at(5)).vitals.pulse_per_min == 130


def test_nothing_to_read() -> None:
    for readings in ([], [reading(SPO2, 90, 5)], [reading(102, 70, 0), reading(401, 80, 0)]):
        told = occasion(readings, at(0))
        assert (told.vitals, dict(told.cited), told.uids) == (Vitals(), {}, ())
        assert told.missing == tuple(Item)


@pytest.mark.parametrize("flag", ["retracted", "demonstration", "early_estimate"])
@pytest.mark.parametrize("with_doubted", [False, True])
def test_what_is_no_reading_is_missing(flag: str, with_doubted: bool) -> None:
    told = occasion([reading(SPO2, 80, flags=(flag,))], at(0), with_doubted=with_doubted)
    assert Item.SPO2 in told.missing


@pytest.mark.parametrize(
    "doubted",
    [
        reading(SPO2, 90, 1, flags=("poor_signal",)),
        reading(SPO2, 90, 1, flags=("implausible",)),
        reading(SPO2, 55, 1),  # beyond the catalogue's plausible range
    ],
)
def test_what_is_doubted_takes_part_only_to_alarm(doubted: object) -> None:
    assert isinstance(doubted, type(EVERYTHING[0]))
    believed = reading(SPO2, 97, 0, seq=9)
    assert occasion([doubted], at(5)).cited == {}
    assert occasion([doubted, believed], at(5)).cited == {Item.SPO2: believed}
    assert occasion([doubted, believed], at(5), with_doubted=True).cited == {Item.SPO2: doubted}


def test_hi_and_lo_have_no_points_of_their_own() -> None:
    low = beyond(TEMPERATURE, Direction.LOW)
    assert Item.TEMPERATURE in occasion([low], at(0), with_doubted=True).missing


@pytest.mark.parametrize(
    ("component", "value"),
    [(SPO2, 8e133), (TEMPERATURE, 98.6), (LEVEL, 5), (LEVEL, 0.5), (OXYGEN, -1)],
)
def test_what_cannot_be_is_missing_and_stops_nothing(component: int, value: float) -> None:
    rest = reading(BREATHS, 16, 0, seq=2)
    told = occasion([reading(component, value), rest], at(0), with_doubted=True)
    assert told.cited == {Item.RESPIRATORY_RATE: rest}


@pytest.mark.parametrize(("ordinal", "level"), list(enumerate("ACVPU")))
def test_coded_answers(ordinal: int, level: str) -> None:
    assert occasion([reading(LEVEL, ordinal)], at(0)).vitals.consciousness == level


def test_air_is_an_answer() -> None:
    assert occasion([reading(OXYGEN, 0)], at(0)).vitals.on_oxygen is False


@given(st.integers(0, 2**32))
def test_order_and_repetition_change_nothing_and_all_lie_within_the_window(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a seed, no secret
    components = (
        BREATHS,
        SPO2,
        OXYGEN,
        SYSTOLIC,
        LEVEL,
        TEMPERATURE,
        CUFF_PULSE,
        FINGER_PULSE,
        STRAP,
    )
    readings = [
        reading(
            chance.choice(components), chance.choice((0, 1, 38, 95)), chance.randrange(90), seq=seq
        )
        for seq in range(1, 25)
    ]
    told = occasion(readings, at(60))
    shuffled = chance.sample(readings, len(readings))
    assert occasion([*shuffled, *readings], at(60)) == told
    times = [r.measured_at for r in told.cited.values()]
    assert all(abs((a - b).total_seconds()) <= WITHIN_S for a, b in itertools.product(times, times))
    assert all(time <= at(60) for time in times)


# Scale 2.


def test_scale_2_only_while_its_order_is_valid() -> None:
    orders = [Scale2Order("dr:7", at(10), at(20)), Scale2Order("dr:7", at(40))]
    scales = {minute: scale_at(orders, at(minute)) for minute in (9, 10, 19, 20, 39, 40, 4000)}
    assert scales == {9: 1, 10: 2, 19: 2, 20: 1, 39: 1, 40: 2, 4000: 2}
    assert scale_at([], at(0)) == 1


def test_the_scale_is_that_of_the_occasion_and_not_of_today() -> None:
    orders = [Scale2Order("dr:7", at(10), at(20))]
    assert occasion([reading(SPO2, 90, 15)], at(60), orders=orders).vitals.scale == 2
    assert occasion([reading(SPO2, 90, 25)], at(60), orders=orders).vitals.scale == 1


def test_an_order_has_a_signer_and_a_duration() -> None:
    with pytest.raises(RuleError, match="physician"):
        Scale2Order("", at(0))
    with pytest.raises(RuleError, match="ends after"):
        Scale2Order("dr:7", at(0), at(0))


# What is asked for.


def test_the_request_names_each_missing_item_in_the_order_of_the_table() -> None:
    text = request([Item.CONSCIOUSNESS, Item.RESPIRATORY_RATE])
    assert text.sv.startswith("Andningsfrekvens saknas. Räkna andetagen i en minut. Medvetandegrad")
    assert text.en.startswith("Respiratory rate is missing. Count the breaths for one minute. Cons")
    assert (request([]).sv, request([]).en) == ("", "")


@pytest.mark.parametrize("item", Item)
def test_every_item_can_be_asked_for_in_both_languages(item: Item) -> None:
    text = request([item])
    assert "saknas. " in text.sv
    assert "is missing. " in text.en
    assert not re.search(r"\d|\{|diagnos|dos\b|läkemedel|sepsis|infektion", text.sv, re.IGNORECASE)


def test_what_decides_is_what_is_asked_for() -> None:
    known = [
        reading(SYSTOLIC, 120),
        reading(CUFF_PULSE, 120),
        reading(SPO2, 97),
        reading(TEMPERATURE, 37),
    ]
    score = news2(occasion([*known, reading(OXYGEN, 0), reading(LEVEL, 0)], at(0)).vitals)
    assert request(score.ask_for).sv == "Andningsfrekvens saknas. Räkna andetagen i en minut."
