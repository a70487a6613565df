"""HI and LO: a result beyond its device's range is beyond every limit of that side, and no number.

The rules are docs/decisions/0016.
"""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.decision import Decided, Decision, Inputs, Reason, inputs_of
from alerts.engine import evaluate
from alerts.limits import Guardrail, Override
from alerts.plan import SYSTOLIC, plan_for, unassigned_rules
from alerts.rules import Bound, Direction, Severity, Text, Threshold
from alerts.series import Reading
from alerts.standing import NO_READING, beyond_range
from alerts.unjudged import not_judged
from tests.alerts.fix_readings import ANNA, at, beyond, decide, reading, said

HIGH, LOW = Direction.HIGH, Direction.LOW
GLUCOSE, TEMPERATURE, SPO2 = 601, 301, 201
DIABETES = plan_for(
    [Override(GLUCOSE, Guardrail(red_low=3.0, yellow_low=4.0, yellow_high=15.0, red_high=20.0))]
)
RULES = DIABETES.rules


@pytest.mark.parametrize(
    ("absent", "flags", "side"),
    [
        ("pos_inf", (), HIGH),
        ("neg_inf", (), LOW),
        ("nan", ("result_too_high",), HIGH),
        ("reserved", ("result_too_low", "manual"), LOW),
        # The sample's own word counts first; two flags that contradict each other say nothing.
        ("pos_inf", ("result_too_low",), HIGH),
        ("nan", ("result_too_high", "result_too_low"), None),
        ("nan", (), None),
        ("nres", (), None),
        ("reserved", (), None),
        # A number is read as the number it is.
        (None, ("result_too_high",), None),
    ],
)
def test_which_side_is_said(
    absent: str | None, flags: tuple[str, ...], side: Direction | None
) -> None:
    assert beyond_range(absent, frozenset(flags)) is side


def test_a_reading_has_a_number_or_a_side() -> None:
    with pytest.raises(AssertionError):
        replace(reading(GLUCOSE, 5), beyond=HIGH)
    with pytest.raises(AssertionError):
        replace(reading(GLUCOSE, 5), value=None)


def test_hi_and_lo_are_red_and_say_what_stood_on_the_display() -> None:
    _, (high,) = decide([beyond(GLUCOSE, HIGH)], rules=RULES)
    assert said((high,)) == [("glucose.glucose.high", "fire", "limit_reached", "red")]
    assert high.text.sv == (
        "Blodsocker över gräns: blodsocker över mätarens mätområde (HI, gräns 20,0 mmol/L)."
    )
    assert high.text.en == (
        "Glucose above limit: glucose above the meter's range (HI, limit 20.0 mmol/L)."
    )
    _, (low,) = decide([beyond(GLUCOSE, LOW)], rules=RULES)
    assert said((low,)) == [("glucose.glucose.low", "fire", "limit_reached", "red")]
    assert low.text.sv == (
        "Blodsocker under gräns: blodsocker under mätarens mätområde (LO, gräns 3,0 mmol/L)."
    )
    assert "below the meter's range (LO, limit 3.0 mmol/L)" in low.text.en


def test_yellow_alone_fires_too_and_repeats_are_asked() -> None:
    rules = plan_for([Override(GLUCOSE, Guardrail(yellow_high=15))]).rules
    _, decisions = decide([beyond(GLUCOSE, HIGH)], rules=rules)
    assert said(decisions) == [("glucose.glucose.high", "fire", "limit_reached", "yellow")]
    inside = [reading(GLUCOSE, 6, m, seq=m + 1) for m in range(2)]
    _, decisions = decide([*inside, beyond(GLUCOSE, HIGH, 3, seq=9)], 3, rules=rules)
    assert said(decisions) == [
        ("glucose.glucose.high", "suppress", "repeats_disagree", "yellow"),
    ]
    # Of two, the middle lies between a number and what has none: so it has none either.
    _, decisions = decide([inside[0], beyond(GLUCOSE, HIGH, 3, seq=9)], 3, rules=rules)
    assert [d.decided for d in decisions] == [Decided.FIRE]


def test_where_no_limit_is_set_nothing_fires() -> None:
    assert not plan_for().covers(GLUCOSE)
    for side in Direction:
        assert decide([beyond(GLUCOSE, side)])[1] == ()
    only_low = plan_for([Override(GLUCOSE, Guardrail(red_low=3))]).rules
    assert decide([beyond(GLUCOSE, HIGH)], rules=only_low)[1] == ()


def test_an_unassigned_thermometer_that_shows_hi_is_red() -> None:
    _, (decision,) = decide([beyond(TEMPERATURE, HIGH)], rules=unassigned_rules())
    assert (decision.decided, decision.severity) == (Decided.FIRE, Severity.RED)
    assert decision.text.sv.startswith("Rött värde från okopplad apparat. Temperatur över gräns: ")


@pytest.mark.parametrize("flag", sorted(NO_READING))
def test_what_is_no_reading_still_wins(flag: str) -> None:
    _, (decision,) = decide([beyond(GLUCOSE, HIGH, flags=(flag,))], rules=RULES)
    assert (decision.decided, decision.reason) == (Decided.SUPPRESS, Reason.NO_READING)


def test_doubts_are_said_and_red_fires_all_the_same() -> None:
    for flag, lead in (
        ("sensor_malfunction", "Apparaten är själv osäker på värdet, kontrollera. "),
        ("retracted", "Personen har sagt att det inte var den som mätte, kontrollera. "),
        ("implausible", "Orimligt värde, kontrollera. "),
    ):
        _, (decision,) = decide([beyond(GLUCOSE, HIGH, flags=(flag,))], rules=RULES)
        assert decision.severity is Severity.RED
        assert decision.text.sv.startswith(lead)


def test_hi_never_shows_that_a_low_value_has_returned() -> None:
    state, _ = decide([reading(GLUCOSE, 2.5)], rules=RULES)
    _, decisions = decide([beyond(GLUCOSE, HIGH, 30, seq=2)], 30, state=state, rules=RULES)
    assert said(decisions) == [("glucose.glucose.high", "fire", "limit_reached", "red")]
    _, decisions = decide([reading(GLUCOSE, 6, 30, seq=2)], 30, state=state, rules=RULES)
    assert [d.decided for d in decisions] == [Decided.CLEAR]


def test_hi_talks_no_low_yellow_away_and_lo_no_high_one() -> None:
    for side, value in ((HIGH, 3.5), (LOW, 16.0)):
        repeats = [beyond(GLUCOSE, side, m, seq=m + 1) for m in range(3)]
        _, decisions = decide([*repeats, reading(GLUCOSE, value, 5, seq=9)], 5, rules=RULES)
        assert [d.severity for d in decisions if d.evidence[0].value == value] == [Severity.YELLOW]


def test_a_number_after_hi_has_not_returned_while_the_repeats_say_hi() -> None:
    two = [beyond(GLUCOSE, HIGH, m, seq=m + 1) for m in range(2)]
    state, _ = decide(two, 2, rules=RULES)
    assert decide([reading(GLUCOSE, 9, 3, seq=9)], 3, state=state, rules=RULES)[1] == ()
    # Outside the repeats' window it is a measurement of its own.
    _, decisions = decide([reading(GLUCOSE, 9, 30, seq=9)], 30, state=state, rules=RULES)
    assert [d.decided for d in decisions] == [Decided.CLEAR]


def test_what_cannot_be_judged_is_red_when_it_shows_hi() -> None:
    waiting = [beyond(TEMPERATURE, HIGH)]
    decision = not_judged("patient:1", waiting, unassigned_rules(), None, at(0))
    assert decision is not None
    assert decision.severity is Severity.RED
    assert "temperatur över mätarens mätområde (HI, gräns 39,1 °C)" in decision.text.sv


def test_an_alert_keeps_the_side_and_is_derived_again() -> None:
    _, (decision,) = decide([beyond(GLUCOSE, LOW)], rules=RULES)
    kept = msgspec.json.decode(inputs_of(decision, {}), type=Inputs)
    (cited,) = kept.evidence
    assert (cited.value, cited.beyond) == (None, LOW)
    again = Reading(
        cited.uid, cited.component, cited.value, cited.measured_at, 1, frozenset(), cited.beyond
    )
    assert decide([again], rules=(kept.rule,))[1] == (decision,)


# For every rule and side -----------------------------------------------------------------------


@st.composite
def rule_and_number(draw: st.DrawFn) -> tuple[Threshold, float]:
    """A rule of one component, and a plausible number beyond its most severe level."""
    direction = draw(st.sampled_from(Direction))
    component, low, high = draw(st.sampled_from([(GLUCOSE, 1, 33), (SYSTOLIC, 51, 279)]))
    levels = sorted(draw(st.sets(st.integers(low + 1, high - 1), min_size=2, max_size=2)))
    yellow, red = levels if direction is HIGH else reversed(levels)
    which = draw(st.sampled_from(["both", "yellow", "red"]))
    bound = Bound(
        component,
        None if which == "red" else float(yellow),
        None if which == "yellow" else float(red),
        1.0,
    )
    words = Text("Gräns: {findings}", "Limit: {findings}")
    return Threshold("x", direction, (bound,), words, "test"), float(
        high if direction is HIGH else low
    )


DOUBTS = st.sets(
    st.sampled_from(["demonstration", "retracted", "implausible", "poor_signal"]), max_size=1
)


def brief(decisions: tuple[Decision, ...]) -> list[tuple[str, str, str]]:
    return [(d.decided.value, d.reason.value, d.severity.value) for d in decisions]


@given(rule_and_number(), DOUBTS, st.lists(st.floats(-1, 1), max_size=4))
def test_it_fires_exactly_as_a_number_beyond_the_most_severe_limit(
    drawn: tuple[Threshold, float], doubts: set[str], shares: list[float]
) -> None:
    rule, far = drawn
    (bound,) = rule.bounds
    flags = tuple(doubts)
    # Repeats before it, on both sides of the limit, none of them further out than the number.
    level = bound.yellow if bound.yellow is not None else bound.red
    assert level is not None
    before = [
        reading(bound.component, level + share * abs(far - level), m, seq=m + 1)
        for m, share in enumerate(shares)
    ]
    state, _ = evaluate((), before, ANNA, at(5))
    number = reading(bound.component, far, 5, seq=50, flags=flags)
    same = beyond(bound.component, rule.direction, 5, seq=50, flags=flags)
    _, by_number = evaluate((rule,), [number], state, at(5))
    _, by_side = evaluate((rule,), [same], state, at(5))
    fires = [d for d in by_number if d.decided is Decided.FIRE]
    # Only the middle of an even count can differ, and then the side is the severer answer.
    if fires or len(shares) % 2 == 0:
        assert brief(by_side) == brief(by_number)
    other = HIGH if rule.direction is LOW else LOW
    opposite = beyond(bound.component, other, 5, seq=50, flags=flags)
    assert evaluate((rule,), [opposite], state, at(5))[1] == ()


@given(rule_and_number())
def test_the_evidence_and_the_text_have_no_number_but_the_limit(
    drawn: tuple[Threshold, float],
) -> None:
    rule, _ = drawn
    (bound,) = rule.bounds
    _, (decision,) = decide([beyond(bound.component, rule.direction)], rules=(rule,))
    assert [(r.value, r.beyond) for r in decision.evidence] == [(None, rule.direction)]
    for text in (decision.text.sv, decision.text.en):
        assert len(re.findall(r"\d+(?:[.,]\d+)?", text)) == 1
        assert ("HI" if rule.direction is HIGH else "LO") in text
