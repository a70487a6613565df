"""What holds for every series: time shifts, duplicates, other orders, and piecewise evaluation."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from alerts.decision import Decided, Decision
from alerts.engine import State, evaluate
from alerts.plan import plan_for
from alerts.rules import Severity
from alerts.series import Reading
from tests.alerts.fix_readings import ANNA, at, reading

RULES = plan_for().rules
LATER = at(40 * 24 * 60)


@st.composite
def series(draw: st.DrawFn, apart: int = 1) -> list[Reading]:
    """Readings at least ``apart`` minutes from each other, in the order they were measured."""
    minutes = draw(st.lists(st.integers(0, 400), min_size=1, max_size=25, unique=True))
    values = {101: (70, 260), 201: (50, 100), 202: (30, 180)}
    found = []
    for order, minute in enumerate(sorted(minutes), start=1):
        component = draw(st.sampled_from(sorted(values)))
        value = draw(st.integers(*values[component]))
        flags = draw(st.sampled_from([(), (), (), ("implausible",), ("retracted",)]))
        found.append(reading(component, value, minute * apart, seq=order, flags=flags))
    return found


def judged(samples: list[Reading]) -> tuple[Decision, ...]:
    return evaluate(RULES, samples, ANNA, LATER)[1]


@given(series(), st.integers(-10_000_000, 10_000_000))
def test_a_shift_in_time_shifts_the_decisions_and_nothing_else(
    samples: list[Reading], seconds: int
) -> None:
    shift = timedelta(seconds=seconds)
    moved = [replace(r, measured_at=r.measured_at + shift) for r in samples]
    shifted = evaluate(RULES, moved, ANNA, LATER + shift)[1]
    brief = [(d.rule.rule, d.decided, d.reason, d.severity, d.text, d.alert_id) for d in shifted]
    assert brief == [
        (d.rule.rule, d.decided, d.reason, d.severity, d.text, d.alert_id) for d in judged(samples)
    ]


@given(series(), st.data())
def test_duplicates_and_the_order_of_the_list_change_nothing(
    samples: list[Reading], data: st.DataObject
) -> None:
    doubled = samples + data.draw(st.lists(st.sampled_from(samples), max_size=10))
    assert judged(data.draw(st.permutations(doubled))) == judged(samples)


@given(series(), st.data())
def test_judging_piece_by_piece_is_judging_at_once(
    samples: list[Reading], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(samples)))
    state, first = evaluate(RULES, samples[:cut], ANNA, LATER)
    # What was already judged comes again, as after a crash: it changes nothing.
    _, second = evaluate(RULES, samples, state, LATER)
    assert first + second == judged(samples)


@given(series(apart=11), st.data())
def test_another_order_of_arrival_gives_alerts_for_the_same_rules(
    samples: list[Reading], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(1, len(samples) + 1)))
    arrived = [replace(r, received_seq=seq) for r, seq in zip(samples, order, strict=True)]
    alerted = (Decided.FIRE, Decided.EXTEND)
    assert {d.rule.rule for d in judged(arrived) if d.decided in alerted} == {
        d.rule.rule for d in judged(samples) if d.decided in alerted
    }


@given(series())
def test_every_red_reading_is_evidence_whatever_stands_around_it(samples: list[Reading]) -> None:
    cited = {r.key for d in judged(samples) if d.severity is Severity.RED for r in d.evidence}
    red = {r.key for r in samples if _is_red(r)}
    assert red <= cited


@given(series())
def test_one_alert_a_lineage_until_somebody_closes_it(samples: list[Reading]) -> None:
    fired = [d.rule.rule for d in judged(samples) if d.decided is Decided.FIRE]
    assert len(fired) == len(set(fired))


@given(series())
def test_severity_never_falls(samples: list[Reading]) -> None:
    ranks: dict[str, int] = {}
    for decision in judged(samples):
        if decision.decided in (Decided.FIRE, Decided.EXTEND, Decided.CLEAR):
            lineage = decision.rule.rule
            assert decision.severity.rank >= ranks.get(lineage, 0)
            ranks[lineage] = decision.severity.rank


@given(series())
def test_nothing_given_is_changed(samples: list[Reading]) -> None:
    state = State("patient:1")
    before = list(samples)
    evaluate(RULES, samples, state, LATER)
    assert samples == before
    assert state == State("patient:1")


def _is_red(sample: Reading) -> bool:
    assert sample.value is not None
    low = {101: 90, 201: 91, 202: 40}[sample.component]
    high = {101: 220, 202: 131}.get(sample.component, 1000)
    return not low < sample.value < high
