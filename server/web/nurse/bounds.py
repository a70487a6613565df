"""The bounds of the rule that an alert keeps as it fired, and which cited samples passed them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from server.store.worklist import AlertRow, EvidenceRow


@dataclass(frozen=True, slots=True)
class Passed:
    """A cited sample and the level it reached, in the component's unit."""

    sample: EvidenceRow
    level: float
    is_high: bool


@dataclass(frozen=True, slots=True)
class Bounds:
    """The levels of each component by severity; empty for a rule that is no threshold."""

    levels: Mapping[int, Mapping[str, float | None]]
    is_high: bool

    @classmethod
    def of(cls, row: AlertRow) -> Bounds:
        """Read what the alert keeps of its rule."""
        rule = row.inputs.get("rule", {})
        levels = {
            int(bound["component"]): {"red": bound.get("red"), "yellow": bound.get("yellow")}
            for bound in rule.get("bounds", ())
        }
        return cls(levels, rule.get("direction") == "high")

    def passed(self, evidence: Iterable[EvidenceRow], severity: str) -> list[Passed]:
        """Return the cited samples that reach the level of that severity."""
        found = []
        for sample in evidence:
            level = self.levels.get(sample.component_id, {}).get(severity)
            if level is not None and self._reaches(sample.value, level):
                found.append(Passed(sample, level, self.is_high))
        return found

    def severity_of(self, sample: EvidenceRow, default: str) -> str:
        """Return the level that one cited sample reached: a red alert may cite yellow values."""
        if sample.component_id not in self.levels:
            return default
        return "red" if self.passed([sample], "red") else "yellow"

    def _reaches(self, value: float, level: float) -> bool:
        return value >= level if self.is_high else value <= level
