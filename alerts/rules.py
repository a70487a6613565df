"""The rule language: declarative, tagged on ``kind``, versioned by the hash of its content.

Rules of this file: a rule is data, so that the same rule runs live, at night and on history; both
languages are present; each placeholder is one that the engine fills; ``why`` names the source. A
change of any field, a person's own limit included, is another version, so an alert can be
re-derived from the rule it pinned.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from functools import lru_cache
from typing import TypeAlias

import msgspec

from alerts.errors import RuleError
from devices.kinds import COMPONENTS

# A person's repeats within this time are one reading, their median (clinical.md 2, preprocessing).
REPEATS_S = 600
# An episode ends this long after its last evidence (contract.md 3, clinical.md 1 bp.high).
EPISODE_S = 72 * 3600

_PLACEHOLDER = re.compile(r"\{([^}]*)\}")
_THRESHOLD_PLACEHOLDERS = frozenset({"findings"})
_TECHNICAL_PLACEHOLDERS = frozenset({"subject", "age", "level"})


class Severity(StrEnum):
    """How soon a person must act: red the same hour, yellow the same working day, blue missing or
    technical.
    """

    RED = "red"
    YELLOW = "yellow"
    BLUE = "blue"

    @property
    def rank(self) -> int:
        """Order of severities, higher is worse."""
        return {"blue": 0, "yellow": 1, "red": 2}[self.value]


class Direction(StrEnum):
    """On which side of a bound a value is reached."""

    LOW = "low"
    HIGH = "high"


class Text(msgspec.Struct, frozen=True):
    """One sentence in each language; ``{placeholders}`` are filled when the rule fires."""

    sv: str
    en: str


class Bound(msgspec.Struct, frozen=True):
    """The two levels of one component in one direction, and how far back inside a value must be to
    have returned.

    All three are in the component's unit. The engine requires at least one level.
    """

    component: int
    yellow: float | None
    red: float | None
    hysteresis: float

    def __post_init__(self) -> None:
        """Refuse a bound nothing can reach, of a component that does not exist, or without
        hysteresis.
        """
        if self.component not in COMPONENTS:
            raise RuleError(f"component {self.component} is not in the catalogue")
        if self.yellow is None and self.red is None:
            raise RuleError(f"component {self.component} has neither a yellow nor a red level")
        if not self.hysteresis > 0:
            raise RuleError(
                "hysteresis must be above zero, else a value on the limit rings on and off"
            )


class Threshold(msgspec.Struct, frozen=True, tag_field="kind", tag="threshold"):
    """A value at or beyond a bound. One lineage may read several components: one pressure is one
    alert.

    Red reads each raw value. Yellow reads the median of the repeats of ``repeats_s`` seconds.
    """

    rule: str
    direction: Direction
    bounds: tuple[Bound, ...]
    text: Text
    why: str
    repeats_s: int = REPEATS_S
    episode_s: int = EPISODE_S

    def __post_init__(self) -> None:
        """Refuse an empty rule, contradicting levels and unknown placeholders."""
        _check_rule(self.rule, self.text, self.why, _THRESHOLD_PLACEHOLDERS)
        if not self.bounds:
            raise RuleError(f"{self.rule} reads no component")
        sign = 1 if self.direction is Direction.HIGH else -1
        for bound in self.bounds:
            levels = (bound.yellow, bound.red)
            if None not in levels and sign * (bound.red or 0) < sign * (bound.yellow or 0):
                raise RuleError(f"{self.rule}: red lies inside yellow for {bound.component}")


class Cause(StrEnum):
    """What a technical rule watches."""

    GATEWAY_SILENT = "gateway_silent"
    BATTERY_LOW = "battery_low"
    NOT_JUDGED = "not_judged"


class Level(msgspec.Struct, frozen=True):
    """From which figure on a technical rule has which severity: seconds of silence, per cent of
    charge, or how many values at a red level wait unjudged.
    """

    severity: Severity
    at: float


class Technical(msgspec.Struct, frozen=True, tag_field="kind", tag="technical"):
    """Something about the equipment. Never about a person's value, and may close by itself
    (clinical.md 4b 2).
    """

    rule: str
    cause: Cause
    levels: tuple[Level, ...]
    text: Text
    why: str

    def __post_init__(self) -> None:
        """Refuse a rule without levels or with unknown placeholders."""
        _check_rule(self.rule, self.text, self.why, _TECHNICAL_PLACEHOLDERS)
        if not self.levels:
            raise RuleError(f"{self.rule} has no level")


Rule: TypeAlias = Threshold | Technical


def _check_rule(rule: str, text: Text, why: str, known: frozenset[str]) -> None:
    if not rule or not why:
        raise RuleError("a rule has a lineage name and a source")
    for language in (text.sv, text.en):
        if not language:
            raise RuleError(f"{rule} lacks a language")
        unknown = set(_PLACEHOLDER.findall(language)) - known
        if unknown:
            raise RuleError(f"{rule} has unknown placeholders: {', '.join(sorted(unknown))}")


def encode(rule: Rule) -> bytes:
    """Write a rule as canonical JSON: what its version is the hash of, and what an alert keeps.

    Keys are sorted, and 160 is written as 160.0: it is the same limit and must be the same version.
    """
    return msgspec.json.encode(decode(msgspec.json.encode(rule)), order="sorted")


def decode(data: bytes) -> Rule:
    """Read a rule from JSON. Raises msgspec.ValidationError with the reason when it is not one."""
    return msgspec.json.decode(data, type=Threshold | Technical)


@lru_cache(maxsize=4096)
def version(rule: Rule) -> str:
    """Return the rule's version: the first 16 hex digits of SHA-256 over its canonical JSON."""
    return hashlib.sha256(encode(rule)).hexdigest()[:16]
