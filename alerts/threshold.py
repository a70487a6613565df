"""Which of a measurement's components reach a threshold rule's bounds.

Rules of this file: what is no reading of the person reaches nothing (alerts/standing.py); red reads
the raw value, before any guard, and whatever else is true of it; yellow needs a plausible value and
that the repeats agree (need.md: 58 % of first systolic values ≥ 160 were below when repeated). What
lies beyond its device's range is beyond every level of that side, and inside none of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from alerts.rules import Bound, Direction, Threshold
from alerts.series import Reading, median_of_repeats
from alerts.wording import rounded
from devices.kinds import COMPONENTS


class Verdict(StrEnum):
    """What one reading is to one bound."""

    RED = "red"
    YELLOW = "yellow"
    IMPLAUSIBLE_YELLOW = "implausible_yellow"  # would be yellow, if it could be believed
    REPEATS_DISAGREE = "repeats_disagree"  # would be yellow alone, but its repeats say otherwise
    BETWEEN = "between"  # inside the limit, not far enough to have returned
    RETURNED = "returned"
    UNPROVEN_INSIDE = "unproven_inside"  # inside the limit, but proves nothing
    NO_READING = "no_reading"  # would reach a level, if it were a reading of the person


@dataclass(frozen=True, slots=True)
class Judged:
    """A reading, the bound that read it, and the verdict."""

    reading: Reading
    bound: Bound
    verdict: Verdict

    @property
    def level(self) -> float:
        """The level that was reached: red's for red, else yellow's (red's where there is no
        yellow).
        """
        if self.verdict is Verdict.RED or self.bound.yellow is None:
            assert self.bound.red is not None, "a verdict of red, or a bound with red alone"
            return self.bound.red
        return self.bound.yellow


def judge(
    rule: Threshold, group: Sequence[Reading], known: Sequence[Reading]
) -> tuple[Judged, ...]:
    """Judge what ``rule`` reads of one measurement; ``known`` are earlier readings."""
    by_component = {r.component: r for r in group}
    pairs = [(by_component[b.component], b) for b in rule.bounds if b.component in by_component]
    return tuple(Judged(r, b, _verdict(rule, r, b, known)) for r, b in pairs)


def _verdict(rule: Threshold, reading: Reading, bound: Bound, known: Sequence[Reading]) -> Verdict:
    is_red = _has_reached(rule, reading, bound.red)
    outside = _has_reached(rule, reading, bound.yellow)
    if not reading.is_of_the_person():
        return Verdict.NO_READING if is_red or outside else Verdict.UNPROVEN_INSIDE
    if is_red:
        return Verdict.RED
    if not reading.is_plausible():
        return Verdict.IMPLAUSIBLE_YELLOW if outside else Verdict.UNPROVEN_INSIDE
    if not outside and not reading.proves():
        return Verdict.UNPROVEN_INSIDE
    median = median_of_repeats(known, reading, rule.repeats_s, rule.direction)
    if outside:
        assert bound.yellow is not None, "outside a yellow bound"
        agrees = _reaches(rule, median, bound.yellow, bound.component)
        return Verdict.YELLOW if agrees else Verdict.REPEATS_DISAGREE
    inside = all(_has_returned(rule, value, bound) for value in (reading.value, median))
    return Verdict.RETURNED if inside else Verdict.BETWEEN


def _has_reached(rule: Threshold, reading: Reading, level: float | None) -> bool:
    if level is None or reading.beyond not in (None, rule.direction):
        return False
    return _reaches(rule, reading.value, level, reading.component)


def _reaches(rule: Threshold, value: float | None, level: float, component: int) -> bool:
    """Compare as shown; None lies beyond the device's range on the rule's side."""
    if value is None:
        return True
    decimals = COMPONENTS[component].decimals
    shown, limit = rounded(value, decimals), rounded(level, decimals)
    return shown >= limit if rule.direction is Direction.HIGH else shown <= limit


def _has_returned(rule: Threshold, value: float | None, bound: Bound) -> bool:
    if value is None:
        return False
    level = bound.yellow if bound.yellow is not None else bound.red
    assert level is not None, "a bound has a level"
    decimals = COMPONENTS[bound.component].decimals
    shown = rounded(value, decimals)
    if rule.direction is Direction.HIGH:
        return shown <= rounded(level - bound.hysteresis, decimals)
    return shown >= rounded(level + bound.hysteresis, decimals)
