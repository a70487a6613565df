"""NEWS2 against the whole table of RCP 2017, both sides of each threshold, and every interval."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.errors import VitalsError
from alerts.news2 import (
    Consciousness,
    Excluded,
    Item,
    Risk,
    Scale,
    Score,
    Vitals,
    excluded,
    is_possible,
    news2,
)
from tests.alerts import news2_table as table
from tests.alerts.news2_table import Case

FIELDS = {
    "respiratory_rate": "respiratory_rate_per_min",
    "spo2": "spo2_percent",
    "systolic": "systolic_mmhg",
    "pulse": "pulse_per_min",
}
SEEDS = st.integers(0, 2**32)
CALM: Case = {
    "respiratory_rate": 16,
    "spo2": 90,
    "scale": 2,
    "on_oxygen": False,
    "systolic": 130,
    "pulse": 70,
    "consciousness": "A",
    "temperature": 370,
}


def vitals(case: Case) -> Vitals:
    """A case of the table as our own value."""

    def whole(name: str) -> int | None:
        value = case[name]
        assert value is None or isinstance(value, int)
        return value

    tenths, level, oxygen = whole("temperature"), case["consciousness"], case["on_oxygen"]
    scale: Scale = 2 if case["scale"] == 2 else 1
    assert oxygen is None or isinstance(oxygen, bool)
    return Vitals(
        respiratory_rate_per_min=whole("respiratory_rate"),
        spo2_percent=whole("spo2"),
        scale=scale,
        on_oxygen=oxygen,
        systolic_mmhg=whole("systolic"),
        pulse_per_min=whole("pulse"),
        consciousness=None if level is None else Consciousness(str(level)),
        temperature_celsius=None if tenths is None else tenths / 10,
    )


def scored(case: Case) -> Score:
    return news2(vitals(case))


def assert_as_in_the_table(case: Case) -> None:
    score = scored(case)
    assert dict(score.points) == {item: table.points(item.value, case) for item in Item}, case
    aggregate = table.total(case)
    assert (score.total, score.low, score.high) == (aggregate,) * 3, case
    assert score.risk == table.risk(case), case
    assert score.is_complete
    assert not score.missing


def every_single_value() -> Iterator[Case]:
    for scale, oxygen in itertools.product((1, 2), (False, True)):
        base = {**CALM, "scale": scale, "on_oxygen": oxygen}
        for item, values in table.GRID.items():
            yield from ({**base, item: value} for value in values)
        yield from ({**base, "consciousness": level} for level in table.LEVELS)


def test_every_value_of_every_item_on_both_scales_with_and_without_oxygen() -> None:
    cases = list(every_single_value())
    assert len(cases) == 4 * (61 + 51 + 261 + 231 + 131 + 5)
    for case in cases:
        assert_as_in_the_table(case)


def any_case(chance: random.Random) -> Case:
    return {
        **{item: chance.choice(values) for item, values in table.GRID.items()},
        "scale": chance.choice((1, 2)),
        "on_oxygen": chance.choice((False, True)),
        "consciousness": chance.choice(table.LEVELS),
    }


def test_values_together_add_up() -> None:
    chance = random.Random(2017)  # noqa: S311 - a seed, no secret
    for _ in range(4_000):
        assert_as_in_the_table(any_case(chance))


def test_one_value_of_each_cell_with_each_other() -> None:
    # Each eleventh of the product: eleven shares no factor with the numbers of cells, so that every
    # cell comes, and meets every other.
    product = itertools.product(*(table.COMPLETIONS[item] for item in table.ITEMS), (1, 2))
    risks = set()
    for values in itertools.islice(product, 0, None, 11):
        case: Case = dict(zip((*table.ITEMS, "scale"), values, strict=True))
        assert_as_in_the_table(case)
        risks.add(scored(case).risk)
    assert risks == set(Risk) - {Risk.INCOMPLETE}


# Missing items: the interval against every completion.


def completions(case: Case) -> Iterator[Case]:
    missing = [item for item in table.ITEMS if case[item] is None]
    for values in itertools.product(*(table.COMPLETIONS[item] for item in missing)):
        yield {**case, **dict(zip(missing, values, strict=True))}


def assert_interval(case: Case) -> None:
    score = scored(case)
    totals = [table.total(complete) for complete in completions(case)]
    assert (score.low, score.high) == (min(totals), max(totals)), case
    assert score.low == sum(points for points in score.points.values() if points is not None)
    for item in Item:
        either = {table.points(item.value, complete) for complete in completions(case)}
        assert score.points[item] == (either.pop() if len(either) == 1 else None), (item, case)


def without(case: Case, missing: set[str]) -> Case:
    return {name: None if name in missing else value for name, value in case.items()}


def patterns() -> Iterator[set[str]]:
    for count in range(len(table.ITEMS) + 1):
        yield from (set(pattern) for pattern in itertools.combinations(table.ITEMS, count))


def test_the_interval_is_what_completions_can_give_for_each_set_of_missing_items() -> None:
    chance = random.Random(5)  # noqa: S311 - a seed, no secret
    for missing in patterns():
        if len(missing) <= 3:
            assert_interval(without(any_case(chance), missing))
        for scale in (1, 2):
            known = {item: chance.choice(table.COMPLETIONS[item]) for item in table.ITEMS}
            case = without({**known, "scale": scale}, missing)
            score = scored(case)
            totals = [table.total(complete) for complete in completions(case)]
            assert (score.low, score.high) == (min(totals), max(totals)), case


def test_spo2_and_oxygen_are_judged_together() -> None:
    for scale, spo2, oxygen in itertools.product(
        (1, 2), (None, *table.GRID["spo2"]), (None, False, True)
    ):
        assert_interval({**CALM, "scale": scale, "spo2": spo2, "on_oxygen": oxygen})


@pytest.mark.parametrize(
    ("spo2", "points", "low", "high"),
    [
        (83, 3, 3, 5), (87, 1, 1, 3), (92, 0, 0, 2),
        (93, None, 0, 3), (96, None, 0, 4), (97, None, 0, 5),
    ],
)  # fmt: skip
def test_scale_2_with_unknown_oxygen(spo2: int, points: int | None, low: int, high: int) -> None:
    score = scored({**CALM, "spo2": spo2, "on_oxygen": None})
    assert (score.points[Item.SPO2], score.low, score.high) == (points, low, high)
    assert score.missing == (Item.ON_OXYGEN,)
    # 97 % may be three points; what may be is not known.
    assert score.single_three == (spo2 == 83)


@given(st.data())
def test_one_more_item_only_narrows(data: st.DataObject) -> None:
    chance = random.Random(data.draw(SEEDS))  # noqa: S311 - a seed, no secret
    case = any_case(chance)
    missing = data.draw(st.sets(st.sampled_from(table.ITEMS), min_size=1))
    told = data.draw(st.sampled_from(sorted(missing)))
    before, after = scored(without(case, missing)), scored(without(case, missing - {told}))
    assert before.low <= after.low <= after.high <= before.high
    assert before.total is None
    assert not before.single_three or after.single_three


def test_nothing_known_has_no_total_and_says_so() -> None:
    score = news2(Vitals())
    assert (score.total, score.low, score.high, score.risk) == (None, 0, 20, Risk.INCOMPLETE)
    assert score.missing == tuple(Item)
    assert not score.single_three


@pytest.mark.parametrize(
    ("case", "risk"),
    [
        ({"systolic": 85, "pulse": 120}, Risk.MEDIUM),
        ({"systolic": 85, "pulse": 135}, Risk.MEDIUM),
        ({"systolic": 85, "pulse": 135, "temperature": 385}, Risk.HIGH),
        ({"systolic": 85, "pulse": 100}, Risk.INCOMPLETE),
        ({}, Risk.INCOMPLETE),
    ],
)
def test_with_items_missing_the_band_is_what_is_certain(case: Case, risk: Risk) -> None:
    score = scored({**CALM, **case, "respiratory_rate": None})
    assert score.risk is risk
    assert score.total is None


def test_a_known_three_alarms_whatever_is_missing() -> None:
    for missing in patterns():
        score = scored(without({**CALM, "systolic": 90}, missing - {"systolic"}))
        assert score.single_three
    assert scored({**CALM, "systolic": 90}).risk is Risk.LOW_MEDIUM


@pytest.mark.parametrize(
    ("case", "asked"),
    [
        # 0 to 3: nothing that is missing can reach 5.
        ({"respiratory_rate": None}, ()),
        # 2 to 5.
        ({"respiratory_rate": None, "pulse": 120}, (Item.RESPIRATORY_RATE,)),
        # 5 already: alarm, and let nobody wait for a count of breaths.
        ({"respiratory_rate": None, "pulse": 120, "systolic": 90}, ()),
        (
            {"respiratory_rate": None, "consciousness": None},
            (Item.RESPIRATORY_RATE, Item.CONSCIOUSNESS),
        ),
        ({"spo2": 97, "on_oxygen": None}, (Item.ON_OXYGEN,)),
        ({"spo2": 96, "on_oxygen": None}, ()),
        ({"pulse": 120, "systolic": 90}, ()),
    ],
)
def test_somebody_is_asked_where_it_decides(case: Case, asked: tuple[Item, ...]) -> None:
    assert scored({**CALM, **case}).ask_for == asked


# Rounding.


@pytest.mark.parametrize(
    ("celsius", "points"),
    [
        (35.0, 3), (35.04, 3), (35.05, 1), (36.0, 1), (36.04, 1), (36.049, 1), (36.05, 0),
        (36.06, 0), (38.04, 0), (38.05, 1), (39.04, 1), (39.05, 2), (39.0499999, 1), (34.95, 3),
    ],
)  # fmt: skip
def test_temperature_is_rounded_as_it_is_written(celsius: float, points: int) -> None:
    # 36.05 is a little less than that as a binary fraction, and 36.1 on the display.
    assert news2(Vitals(temperature_celsius=celsius)).points[Item.TEMPERATURE] == points


def test_every_hundredth_of_a_degree_is_rounded_half_upwards() -> None:
    for hundredths in range(3000, 4300):
        tenths = (hundredths + 5) // 10
        points = news2(Vitals(temperature_celsius=hundredths / 100)).points[Item.TEMPERATURE]
        assert points == table.cell("temperature", tenths), hundredths


@pytest.mark.parametrize("item", FIELDS)
@pytest.mark.parametrize(("tenths", "up"), [(4, 0), (5, 1), (9, 1)])
def test_the_rest_are_whole_numbers_as_shown(item: str, tenths: int, up: int) -> None:
    row = "spo2 scale 1" if item == "spo2" else item
    field = FIELDS[item]
    for whole in table.GRID[item][:-1]:
        told = msgspec.structs.replace(Vitals(), **{field: whole + tenths / 10})
        assert news2(told).points[Item(item)] == table.cell(row, whole + up), whole


# What cannot be.


@pytest.mark.parametrize(
    ("item", "ends", "beyond"),
    [
        (Item.RESPIRATORY_RATE, (0, 100), (-1, 101)),
        (Item.SPO2, (0, 1, 100), (-1, 100.5, 0.97, 0.5)),
        (Item.SYSTOLIC, (30, 350), (29.9, 351, 16.0)),
        (Item.PULSE, (0, 350), (-0.1, 351)),
        (Item.TEMPERATURE, (20.0, 46.0), (19.9, 46.1, 98.6, 0)),
    ],
)
def test_another_unit_is_refused(
    item: Item, ends: tuple[float, ...], beyond: tuple[float, ...]
) -> None:
    assert all(is_possible(item, value) for value in ends)
    bad = (*beyond, float("nan"), float("inf"), -float("inf"), 8e133)
    assert not any(is_possible(item, value) for value in bad)


@pytest.mark.parametrize("value", [98.6, float("nan")])
def test_what_is_refused_says_which_item_and_its_unit_but_no_value(value: float) -> None:
    with pytest.raises(VitalsError, match="temperature lies within 20–46 °C") as refused:
        Vitals(temperature_celsius=value)
    assert refused.value.reason == "out_of_range"
    assert str(value) not in str(refused.value)


def test_not_for_children_nor_in_pregnancy() -> None:
    assert excluded(15, is_pregnant=False) is Excluded.UNDER_16
    assert excluded(16, is_pregnant=False) is None
    assert excluded(30, is_pregnant=True) is Excluded.PREGNANT
