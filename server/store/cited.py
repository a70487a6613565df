"""What an alert cites, at a glance: the newest value and the worst, whatever it first fired on.

Pure. Here because the pages and the interface both say it, and the edges may not import each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from devices.kinds import COMPONENTS

IMPLAUSIBLE = "implausible"


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """One sample that an alert cites; ``marks`` are what was stored of doubts about it."""

    alert_id: UUID
    uid: UUID
    component_id: int
    measured_at: datetime
    value: float
    marks: Sequence[str] = ()

    @property
    def flags(self) -> list[str]:
        """What is doubted, also by the catalogue's plausible range."""
        doubts = [] if COMPONENTS[self.component_id].is_plausible(self.value) else [IMPLAUSIBLE]
        return list(dict.fromkeys((*self.marks, *doubts)))


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
        if before is None or (one.value >= before.value if is_high else one.value <= before.value):
            found[one.component_id] = one
    return [found[number] for number in sorted(found)]
