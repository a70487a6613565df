"""Readings as tests write them: minutes after one fixed morning, in the order given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from alerts.decision import Decision
from alerts.engine import State, evaluate
from alerts.plan import plan_for
from alerts.rules import Direction, Rule
from alerts.series import Reading

MORNING = datetime(2026, 11, 1, 7, 0, tzinfo=UTC)
ANNA = State("patient:1")


def at(minutes: float) -> datetime:
    """The morning, and so many minutes."""
    return MORNING + timedelta(minutes=minutes)


def reading(
    component: int,
    value: float,
    minutes: float = 0,
    *,
    seq: int = 1,
    uid: str | None = None,
    flags: tuple[str, ...] = (),
) -> Reading:
    """One reading; its identity follows its order unless another is given."""
    return Reading(uid or f"{seq:032x}", component, value, at(minutes), seq, frozenset(flags))


def beyond(
    component: int,
    side: Direction,
    minutes: float = 0,
    *,
    seq: int = 1,
    flags: tuple[str, ...] = (),
) -> Reading:
    """One result that its device has no number for."""
    return Reading(f"{seq:032x}", component, None, at(minutes), seq, frozenset(flags), side)


def pressure(
    systolic: float, diastolic: float, minutes: float = 0, *, seq: int = 1
) -> list[Reading]:
    """One blood pressure."""
    return [reading(101, systolic, minutes, seq=seq), reading(102, diastolic, minutes, seq=seq)]


def decide(
    samples: list[Reading],
    minutes: float = 0,
    *,
    state: State = ANNA,
    rules: tuple[Rule, ...] | None = None,
) -> tuple[State, tuple[Decision, ...]]:
    """Judge by the national proposal, unless other rules are given."""
    return evaluate(plan_for().rules if rules is None else rules, samples, state, at(minutes))


def said(decisions: tuple[Decision, ...]) -> list[tuple[str, str, str, str]]:
    """What was decided, in short."""
    return [(d.rule.rule, d.decided.value, d.reason.value, d.severity.value) for d in decisions]
