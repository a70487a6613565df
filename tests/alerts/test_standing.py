"""What is no reading changes nothing; what its device doubts may alarm and never reassures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.decision import Decided, Decision, Reason
from alerts.engine import KNOWN_MAX, evaluate
from alerts.plan import plan_for, unassigned_rules
from alerts.series import Reading
from alerts.standing import DOUBTED, NO_READING
from alerts.unjudged import not_judged
from tests.alerts.fix_readings import ANNA, at, decide, reading, said

RULES = plan_for().rules
FLAGS = sorted(NO_READING)


def test_no_flag_is_both() -> None:
    assert not NO_READING & DOUBTED


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize(("component", "value"), [(201, 70), (201, 93), (101, 230), (301, 39.5)])
def test_no_reading_never_fires_and_says_why(component: int, value: float, flag: str) -> None:
    _, (decision,) = decide([reading(component, value, flags=(flag,))])
    assert (decision.decided, decision.reason) == (Decided.SUPPRESS, Reason.NO_READING)
    assert decision.text.sv.startswith("Räknas inte som ett mätvärde, larmar inte. ")
    assert decision.text.en.startswith("Does not count as a reading, raises no alarm. ")


@pytest.mark.parametrize("flag", FLAGS)
def test_no_reading_inside_the_limits_neither_clears_nor_is_decided_about(flag: str) -> None:
    state, _ = decide([reading(201, 85)])
    after, decisions = decide([reading(201, 97, 30, seq=2, flags=(flag,))], 30, state=state)
    assert decisions == ()
    assert after.episodes == state.episodes


@pytest.mark.parametrize("flag", FLAGS)
def test_a_red_reading_beside_what_is_none_fires(flag: str) -> None:
    demonstration = reading(201, 98, flags=(flag,))
    _, decisions = decide([demonstration, reading(201, 85, 1, seq=2)], 1)
    assert said(decisions) == [("spo2.target", "fire", "limit_reached", "red")]


@pytest.mark.parametrize("flag", FLAGS)
def test_repeats_that_are_no_readings_talk_no_yellow_away(flag: str) -> None:
    control = [reading(101, 120, m, seq=m + 1, flags=(flag,)) for m in range(3)]
    _, decisions = decide([*control, reading(101, 165, 5, seq=9)], 5)
    assert said(decisions) == [("bp.high", "fire", "limit_reached", "yellow")]


@pytest.mark.parametrize("flag", FLAGS)
def test_no_reading_of_an_unassigned_device_is_nobodys_red(flag: str) -> None:
    _, decisions = decide([reading(201, 70, flags=(flag,))], rules=unassigned_rules())
    assert [d.decided for d in decisions] == [Decided.SUPPRESS]


@pytest.mark.parametrize("flag", FLAGS)
def test_no_reading_that_waits_unjudged_asks_nobody_to_look(flag: str) -> None:
    waiting = [reading(201, 70, flags=(flag,))]
    assert not_judged("patient:1", waiting, unassigned_rules(), None, at(0)) is None
    # Beside a reading it is left out, and the reading is looked at.
    both = [*waiting, reading(201, 96, seq=2)]
    decision = not_judged("patient:1", both, unassigned_rules(), None, at(0))
    assert decision is not None
    assert [r.value for r in decision.evidence] == [96]


@pytest.mark.parametrize("flag", sorted(DOUBTED))
def test_what_the_device_doubts_fires_and_says_so(flag: str) -> None:
    for value, severity in ((85, "red"), (93, "yellow")):
        _, decisions = decide([reading(201, value, flags=(flag,))])
        assert said(decisions) == [("spo2.target", "fire", "limit_reached", severity)]
        assert decisions[0].text.sv.startswith("Apparaten är själv osäker på värdet, kontrollera. ")


@pytest.mark.parametrize("flag", sorted(DOUBTED))
def test_what_the_device_doubts_never_shows_that_values_returned(flag: str) -> None:
    state, _ = decide([reading(201, 85)])
    _, decisions = decide([reading(201, 97, 30, seq=2, flags=(flag,))], 30, state=state)
    assert decisions == ()
    _, decisions = decide([reading(201, 97, 30, seq=2)], 30, state=state)
    assert [d.decided for d in decisions] == [Decided.CLEAR]


def test_what_the_device_doubts_talks_no_yellow_away() -> None:
    doubted = [reading(101, 120, m, seq=m + 1, flags=("poor_signal",)) for m in range(3)]
    _, decisions = decide([*doubted, reading(101, 165, 5, seq=9)], 5)
    assert [d.decided for d in decisions] == [Decided.FIRE]


@pytest.mark.parametrize(
    "flag",
    ["measurement_ongoing", "low_perfusion", "irregular_pulse", "cuff_loose", "from_storage"],
)
def test_a_fact_beside_a_value_changes_nothing(flag: str) -> None:
    samples = [reading(201, 85), reading(201, 97, 30, seq=2)]
    flagged = [replace(r, flags=frozenset({flag})) for r in samples]
    plain, same = decide(samples, 30)[1], decide(flagged, 30)[1]
    assert said(plain) == said(same)
    assert [d.text for d in plain] == [d.text for d in same]


def test_a_flood_of_what_is_no_reading_pushes_out_no_repeat() -> None:
    repeats = [reading(101, 120, m / 10, seq=m + 1) for m in range(3)]
    flood = [
        reading(201, 97, 1 + m / 1000, seq=10 + m, flags=("demonstration",))
        for m in range(2 * KNOWN_MAX)
    ]
    _, decisions = decide([*repeats, *flood, reading(101, 165, 5, seq=9999)], 5)
    assert said(decisions) == [("bp.high", "suppress", "repeats_disagree", "yellow")]


# For every series ---------------------------------------------------------------------------------


@st.composite
def series(draw: st.DrawFn) -> list[Reading]:
    """Readings in the order they were measured, now and then one that is none."""
    values = {101: (70, 260), 201: (50, 100), 202: (30, 180)}
    minutes = sorted(draw(st.lists(st.integers(0, 400), min_size=1, max_size=25, unique=True)))
    found = []
    for order, minute in enumerate(minutes, start=1):
        component = draw(st.sampled_from(sorted(values)))
        flags = draw(st.sets(st.sampled_from([*FLAGS, "retracted", "poor_signal"]), max_size=2))
        value = draw(st.integers(*values[component]))
        found.append(reading(component, value, minute, seq=order, flags=tuple(flags)))
    return found


def loud(samples: list[Reading]) -> list[Decision]:
    """Decisions that change an alert, or say why one was not made for a reading."""
    decisions = evaluate(RULES, samples, ANNA, at(401))[1]
    return [d for d in decisions if d.reason is not Reason.NO_READING]


@given(series())
def test_taking_them_all_away_changes_no_decision(samples: list[Reading]) -> None:
    readings = [r for r in samples if r.is_of_the_person()]
    assert loud(samples) == loud(readings)


@given(series())
def test_no_decision_about_a_reading_cites_one(samples: list[Reading]) -> None:
    assert all(r.is_of_the_person() for d in loud(samples) for r in d.evidence)


@given(series(), st.data())
def test_they_too_are_judged_once(samples: list[Reading], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(samples)))
    state, first = evaluate(RULES, samples[:cut], ANNA, at(401))
    _, second = evaluate(RULES, samples, state, at(401))
    assert first + second == evaluate(RULES, samples, ANNA, at(401))[1]
