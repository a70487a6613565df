"""Limits, how a person's own are laid over the national ones, and what is covered."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.errors import LimitsContradictError
from alerts.limits import BOUNDS, Guardrail, Origin, Override, merge
from alerts.plan import (
    NATIONAL,
    SPO2,
    SYSTOLIC,
    WEIGHT,
    check_override,
    covers,
    levels_of,
    plan_for,
    unassigned_rules,
)
from alerts.rules import Direction, Severity
from devices.kinds import COMPONENTS

MAYBE = st.none() | st.floats(-1000, 1000)


@given(st.tuples(MAYBE, MAYBE, MAYBE, MAYBE))
def test_outer_bounds_always_contain_inner_ones(
    values: tuple[float | None, float | None, float | None, float | None],
) -> None:
    try:
        guard = Guardrail(*values)
    except LimitsContradictError:
        return
    lows = [v for v in (guard.red_low, guard.yellow_low) if v is not None]
    highs = [v for v in (guard.yellow_high, guard.red_high) if v is not None]
    assert lows == sorted(lows)
    assert highs == sorted(highs)
    assert not lows or not highs or max(lows) < min(highs)


@pytest.mark.parametrize(
    "values",
    [
        (100, 90, None, None),
        (None, 100, 100, None),
        (None, None, 220, 160),
        (100, None, None, 100),
        (None, math.nan, None, None),
        (None, None, None, math.inf),
    ],
)
def test_contradicting_limits_are_refused(values: tuple[float | None, ...]) -> None:
    with pytest.raises(LimitsContradictError):
        Guardrail(*values)


def test_equal_bounds_on_one_side_are_allowed() -> None:
    assert not Guardrail(90, 90, 160, 160).is_empty()
    assert Guardrail().is_empty()


def test_an_override_is_laid_field_by_field_and_keeps_origins() -> None:
    limit = merge(SYSTOLIC, NATIONAL[SYSTOLIC], Guardrail(yellow_high=175))
    assert limit.bounds == Guardrail(90, 100, 175, 220)
    assert limit.origins["yellow_high"] is Origin.PATIENT
    assert {limit.origins[b] for b in BOUNDS if b != "yellow_high"} == {Origin.NATIONAL}


def test_weight_is_covered_only_by_a_person_s_own_limit() -> None:
    assert not covers(WEIGHT)
    own = Override(WEIGHT, Guardrail(yellow_high=92.5), "Dr Exempel", "hjärtsvikt")
    assert covers(WEIGHT, [own])
    rules = {rule.rule: rule for rule in plan_for([own]).rules}
    assert rules["body_weight.weight.high"].bounds[0].hysteresis == 0.3
    assert "body_weight.weight.low" not in rules


def test_a_component_without_noise_figure_returns_by_one_step() -> None:
    own = Override(103, Guardrail(yellow_low=60), "Dr Exempel")
    glucose = next(number for number, c in COMPONENTS.items() if c.decimals == 1 and number > 500)
    other = Override(glucose, Guardrail(yellow_high=30), "Dr Exempel")
    rules = {rule.rule: rule for rule in plan_for([own, other]).rules}
    assert rules["blood_pressure.mean.low"].direction is Direction.LOW
    steps = [b.hysteresis for r in rules.values() for b in r.bounds if b.component == glucose]
    assert steps == [0.1]


@pytest.mark.parametrize("component", sorted(NATIONAL))
def test_every_national_limit_is_read_by_a_rule(component: int) -> None:
    assert covers(component)
    assert levels_of(plan_for().limits[component])


def test_levels_are_listed_from_the_lowest() -> None:
    levels = levels_of(plan_for().limits[SYSTOLIC])
    assert [level for _, _, level in levels] == [90, 100, 160, 220]
    assert levels[0][:2] == (Severity.RED, Direction.LOW)


def test_an_override_that_contradicts_is_left_out_and_named() -> None:
    wrong = Override(SYSTOLIC, Guardrail(yellow_high=230), "Dr Exempel")
    with pytest.raises(LimitsContradictError):
        check_override(wrong)
    plan = plan_for([wrong])
    assert plan.limits[SYSTOLIC].bounds == NATIONAL[SYSTOLIC]
    assert [refused.component for refused in plan.refused] == [SYSTOLIC]
    assert check_override(Override(SPO2, Guardrail(85, 88))).bounds == Guardrail(85, 88)


def test_what_belongs_to_nobody_is_read_by_red_alone() -> None:
    rules = unassigned_rules()
    assert all(b.yellow is None and b.red is not None for rule in rules for b in rule.bounds)
    assert all(rule.text.sv.startswith("Rött värde från okopplad apparat") for rule in rules)
    assert {b.component for rule in rules for b in rule.bounds} == {101, 104, 201, 202, 301}
