"""What is decided about values the rules could not judge: no silence, and red stays red."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alerts.decision import Decided, Decision
from alerts.engine import Episode
from alerts.errors import ReadingError
from alerts.plan import unassigned_rules
from alerts.rules import Severity
from alerts.series import Reading
from alerts.unjudged import NOT_JUDGED, NOT_READ, not_judged, not_read
from tests.alerts.fix_readings import at, pressure, reading

LOOK = "Värden kan inte bedömas automatiskt – titta själv på värdena."


def decided(
    waiting: list[Reading], episode: Episode | None = None, minutes: float = 0
) -> Decision | None:
    return not_judged("patient:1", waiting, unassigned_rules(), episode, at(minutes))


def after(decision: Decision | None) -> Episode:
    """The episode as it is when the decision has been carried out."""
    assert decision is not None
    assert decision.alert_id is not None
    cited = frozenset(r.key for r in decision.evidence)
    return Episode(decision.alert_id, decision.severity, True, True, cited, at(0))


def test_what_nobody_has_judged_is_yellow_and_says_look_yourself() -> None:
    decision = decided(pressure(128, 82))
    assert decision is not None
    assert (decision.rule, decision.decided) == (NOT_JUDGED, Decided.FIRE)
    assert decision.severity is Severity.YELLOW
    assert decision.text.sv == LOOK
    assert [r.value for r in decision.evidence] == [128, 82]


@pytest.mark.parametrize(("value", "severity"), [(91, Severity.RED), (92, Severity.YELLOW)])
def test_one_raw_value_at_a_national_red_level_makes_it_red(
    value: float, severity: Severity
) -> None:
    decision = decided([*pressure(128, 82), reading(201, value, seq=2)])
    assert decision is not None
    assert decision.severity is severity
    red = "Rött värde: syremättnad 91 % (gräns 91 %). "
    assert decision.text.sv == (red if severity is Severity.RED else "") + LOOK


def test_trying_again_says_nothing_new_and_a_new_value_does() -> None:
    first = decided([reading(201, 96)])
    open_one = after(first)
    assert decided([reading(201, 96)], open_one, 30) is None
    raised = decided([reading(201, 96), reading(201, 85, 40, seq=2)], open_one, 40)
    assert raised is not None
    assert (raised.decided, raised.severity) == (Decided.EXTEND, Severity.RED)
    assert raised.alert_id == open_one.alert_id
    assert [r.value for r in raised.evidence] == [85]
    calmer = decided([reading(201, 97, 50, seq=3)], after(raised), 50)
    assert calmer is not None
    assert calmer.severity is Severity.RED


def test_after_a_person_has_closed_it_only_a_new_value_opens_another() -> None:
    first = decided([reading(201, 96)])
    closed = replace(after(first), is_open=False)
    assert decided([reading(201, 96)], closed, 30) is None
    again = decided([reading(201, 96), reading(201, 97, 40, seq=2)], closed, 40)
    assert again is not None
    assert again.decided is Decided.FIRE
    assert again.alert_id != closed.alert_id


def test_values_without_numbers_are_looked_at_too() -> None:
    decision = decided([])
    assert decision is not None
    assert decision.severity is Severity.YELLOW
    assert decided([], after(decision), 30) is None


def test_what_cannot_be_read_may_be_red() -> None:
    with pytest.raises(ReadingError):
        decided([reading(201, float("nan"))])
    decision = not_read("patient:1", "a", at(0))
    assert (decision.rule, decision.severity) == (NOT_READ, Severity.RED)
    assert decision.alert_id == not_read("patient:1", "a", at(9)).alert_id
    assert decision.alert_id != not_read("patient:1", "b", at(0)).alert_id
