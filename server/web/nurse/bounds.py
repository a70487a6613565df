"""The bounds of the rule that an alert keeps as it fired, and which cited samples passed them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from alerts.rules import Direction
from alerts.wording import rounded
from devices.kinds import COMPONENTS
from server.store.cited import EvidenceRow
from server.store.worklist import AlertRow


@dataclass(frozen=True, slots=True)
class Passed:
    """A cited sample and the level it reached, in the component's unit."""

    sample: EvidenceRow
    level: float
    is_high: bool


class _Bound(msgspec.Struct):
    component: int
    red: float | None = None
    yellow: float | None = None


class _Rule(msgspec.Struct):
    bounds: tuple[_Bound, ...] = ()


class _Inputs(msgspec.Struct):
    """What the pages read of ``alerts.decision.Inputs``; the rest may be of any version."""

    rule: _Rule
    origins: dict[str, dict[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an alert keeps of its rule.

    ``levels`` are those of each component by severity, empty for a rule that is no threshold;
    ``origins`` where each bound came from, by component. ``is_readable`` is False where what was
    kept is damaged: nothing is said of limits then, and the alert stands with its stored text.
    """

    levels: Mapping[int, Mapping[str, float | None]]
    is_high: bool
    origins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    is_readable: bool = True

    @classmethod
    def of(cls, row: AlertRow) -> Bounds:
        """Read what the alert keeps of its rule."""
        try:
            kept = msgspec.convert(row.inputs, _Inputs)
        except msgspec.ValidationError:
            return cls({}, is_high=False, is_readable=False)
        levels = {one.component: {"red": one.red, "yellow": one.yellow} for one in kept.rule.bounds}
        return cls(levels, bool(row.is_high), kept.origins)

    def passed(self, evidence: Iterable[EvidenceRow], severity: str) -> list[Passed]:
        """Return the cited samples that reach the level of that severity."""
        found = []
        for sample in evidence:
            level = self.levels.get(sample.component_id, {}).get(severity)
            if level is not None and self._reaches(sample, level):
                found.append(Passed(sample, level, self.is_high))
        return found

    def severity_of(self, sample: EvidenceRow, default: str) -> str:
        """Return the level that one cited sample reached: a red alert may cite yellow values."""
        if sample.component_id not in self.levels:
            return default
        return "red" if self.passed([sample], "red") else "yellow"

    def reached(self, sample: EvidenceRow) -> tuple[Passed, str] | None:
        """Return the most severe level that one sample reaches, and its severity."""
        for severity in ("red", "yellow"):
            for one in self.passed([sample], severity):
                return one, severity
        return None

    def _reaches(self, sample: EvidenceRow, level: float) -> bool:
        # As shown, so as the rules compare: 159.5 is shown as 160, and has reached 160.
        if sample.value is None:
            return (sample.side is Direction.HIGH) == self.is_high
        decimals = COMPONENTS[sample.component_id].decimals
        shown, limit = rounded(sample.value, decimals), rounded(level, decimals)
        return shown >= limit if self.is_high else shown <= limit
