"""The rule language: what a rule may say, and that its version is its content."""

from __future__ import annotations

import msgspec
import pytest

from alerts.absence import TECHNICAL_RULES
from alerts.errors import RuleError
from alerts.plan import plan_for, unassigned_rules
from alerts.rules import (
    Bound,
    Cause,
    Direction,
    Level,
    Rule,
    Severity,
    Technical,
    Text,
    Threshold,
    decode,
    encode,
    version,
)

TEXT = Text("Över gräns: {findings}", "Above limit: {findings}")
BOUND = Bound(101, 160, 220, 5)


def threshold(
    *,
    rule: str = "bp.test",
    bounds: tuple[Bound, ...] = (BOUND,),
    text: Text = TEXT,
    why: str = "a source",
    direction: Direction = Direction.HIGH,
) -> Threshold:
    return Threshold(rule, direction, bounds, text, why)


@pytest.mark.parametrize("rule", [*plan_for().rules, *unassigned_rules(), *TECHNICAL_RULES])
def test_a_rule_survives_being_written_and_keeps_its_version(rule: Rule) -> None:
    again = decode(encode(rule))
    assert again == rule
    assert version(again) == version(rule)
    assert rule.why


def test_the_version_follows_every_field() -> None:
    rules = [
        threshold(),
        threshold(why="another source"),
        threshold(bounds=(Bound(101, 161, 220, 5),)),
        threshold(text=Text("Nytt: {findings}", "New: {findings}")),
    ]
    assert len({version(rule) for rule in rules}) == len(rules)


def test_a_version_is_fixed_for_ever() -> None:
    # Written down once: an alert from last year must still find its rule.
    assert version(threshold()) == "8cfc93ca7a93aa11"


@pytest.mark.parametrize(
    "wrong",
    [
        {"rule": ""},
        {"why": ""},
        {"bounds": ()},
        {"text": Text("", "Above")},
        {"text": Text("Över", "")},
        {"text": Text("{patient}", "{findings}")},
        {"bounds": (Bound(101, 220, 160, 5),)},
        {"bounds": (Bound(101, 90, 100, 5),), "direction": Direction.LOW},
    ],
)
def test_a_rule_that_cannot_mean_what_it_says_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(RuleError):
        threshold(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("component", "yellow", "red", "hysteresis"),
    [(1, 160, 220, 5), (101, None, None, 5), (101, 160, 220, 0), (101, 160, 220, float("nan"))],
)
def test_a_bound_nothing_can_reach_is_refused(
    component: int, yellow: float | None, red: float | None, hysteresis: float
) -> None:
    with pytest.raises(RuleError):
        Bound(component, yellow, red, hysteresis)


def test_a_technical_rule_has_levels_and_known_placeholders() -> None:
    text = Text("{subject}", "{subject}")
    with pytest.raises(RuleError):
        Technical("tech.test", Cause.BATTERY_LOW, (), text, "why")
    with pytest.raises(RuleError):
        Technical(
            "tech.test",
            Cause.BATTERY_LOW,
            (Level(Severity.BLUE, 20),),
            Text("{findings}", "{subject}"),
            "why",
        )


def test_a_broken_rule_from_a_file_says_why() -> None:
    data = encode(threshold()).replace(b'"component":101', b'"component":9')
    with pytest.raises(msgspec.ValidationError, match="catalogue"):
        decode(data)


def test_severities_are_ordered() -> None:
    assert Severity.RED.rank > Severity.YELLOW.rank > Severity.BLUE.rank
