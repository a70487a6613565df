"""What an alert cites, at a glance: the newest value and the worst, whatever it first fired on.

Pure. Here because the pages and the interface both say it, and the edges may not import each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from alerts.rules import Direction
from devices.kinds import COMPONENTS

IMPLAUSIBLE = "implausible"


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """One sample that an alert cites; ``marks`` are what was stored of doubts about it.

    It has a number, or lies ``beyond`` its device's range: on the high or the low side.
    """

    alert_id: UUID
    uid: UUID
    component_id: int
    measured_at: datetime
    value: float | None
    marks: Sequence[str] = ()
    beyond: str | None = None

    @property
    def side(self) -> Direction | None:
        """On which side of its device's range it lies, where it has no number."""
        return None if self.beyond is None else Direction(self.beyond)

    @property
    def height(self) -> float:
        """Its place among others, for comparing only: what lies beyond is beyond every number."""
        if self.value is not None:
            return self.value
        return math.inf if self.side is Direction.HIGH else -math.inf

    @property
    def flags(self) -> list[str]:
        """What is doubted, also by the catalogue's plausible range."""
        component = COMPONENTS[self.component_id]
        is_plausible = self.value is None or component.is_plausible(self.value)
        return list(dict.fromkeys((*self.marks, *([] if is_plausible else [IMPLAUSIBLE]))))


def newest(evidence: Sequence[EvidenceRow]) -> list[EvidenceRow]:
    """Return the samples of the measurement made last."""
    if not evidence:
        return []
    last = max(evidence, key=lambda one: (one.measured_at, one.uid))
    return [one for one in evidence if one.uid == last.uid]


def worst(evidence: Sequence[EvidenceRow], *, is_high: bool) -> list[EvidenceRow]:
    """Return each component's highest value, or lowest; the later of two that are equal."""
    found: dict[int, EvidenceRow] = {}
    for one in sorted(evidence, key=lambda one: one.measured_at):
        before = found.get(one.component_id)
        if before is None or (
            one.height >= before.height if is_high else one.height <= before.height
        ):
            found[one.component_id] = one
    return [found[number] for number in sorted(found)]
