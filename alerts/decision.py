"""What the engine decides, with its reason. A decision is a fact to record, whether or not anybody
is alerted.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

from alerts.rules import Direction, Rule, Severity, Text
from alerts.series import Reading

# Namespace of alert ids; fixed for ever, since the same inputs must give the same id (clinical.md
# 4b 12).
_ALERTS = uuid.UUID("6b1f3f0e-3f1b-5d0a-9a55-1d5f6f2f7c11")


class Decided(StrEnum):
    """The five decisions of contract.md 3."""

    FIRE = "fire"
    EXTEND = "extend"
    CLEAR = "clear"
    ASK_REPEAT = "ask_repeat"
    SUPPRESS = "suppress"


class Reason(StrEnum):
    """Why it was decided so; stored and shown."""

    LIMIT_REACHED = "limit_reached"
    MORE_EVIDENCE = "more_evidence"
    RAISED = (
        "raised"  # worse than what was open: severity rises by itself, and falls only by a person
    )
    FIRED_AGAIN = (
        "fired_again"  # had returned inside its limits, and left them again before it was closed
    )
    # The alert showed a late value, or had returned from red; now it stands by a fresh one.
    FRESH = "fresh"
    RETURNED = "returned"
    IMPLAUSIBLE = "implausible"
    NO_READING = "no_reading"  # a demonstration, a control solution, an estimate: alarms never
    REPEATS_DISAGREE = "repeats_disagree"
    FUTURE_TIME = "future_time"
    CLOSED_EPISODE_GOES_ON = "closed_episode_goes_on"
    TECHNICAL = "technical"
    NOT_JUDGED = "not_judged"  # the rules could not be asked: a person must look


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision about one rule.

    ``subject`` is whom it concerns, ``alert_id`` the alert that is opened or changed (None when
    there is none), ``rule`` the rule as it read, limits included, so that the decision can be made
    again years later. ``evidence`` are the readings cited. ``is_late`` marks a value older than a
    day: a card, no night call (contract.md 1).
    """

    subject: str
    rule: Rule
    version: str
    decided: Decided
    reason: Reason
    severity: Severity
    decided_at: datetime
    alert_id: uuid.UUID | None
    evidence: tuple[Reading, ...]
    text: Text
    is_late: bool = False

    @property
    def raises(self) -> bool:
        """Whether the open alert must come before somebody again, with this decision's text."""
        return self.reason in (Reason.RAISED, Reason.FRESH)


def alert_id(subject: str, lineage: str, version: str, first_cause: str) -> uuid.UUID:
    """Return the alert's id: the same person, rule, version and first causing sample give the same
    id.
    """
    return uuid.uuid5(_ALERTS, "\x1f".join((subject, lineage, version, first_cause)))


class Cited(msgspec.Struct, frozen=True):
    """A reading as an alert keeps it: its number, or the side of the range that it lay beyond."""

    uid: str
    component: int
    value: float | None
    measured_at: datetime
    flags: tuple[str, ...] = ()
    beyond: Direction | None = None


class Inputs(msgspec.Struct, frozen=True):
    """Everything a decision was made from, so that it can be made again years later.

    ``origins`` tells for each component cited where each of its bounds came from.
    """

    rule: Rule
    version: str
    as_of: datetime
    is_late: bool
    evidence: tuple[Cited, ...]
    origins: dict[str, dict[str, str]] = {}


def inputs_of(decision: Decision, origins: Mapping[int, Mapping[str, str]]) -> bytes:
    """Write what an alert keeps of its decision, as JSON; ``origins`` by component number."""
    cited = {reading.component for reading in decision.evidence}
    kept = Inputs(
        rule=decision.rule,
        version=decision.version,
        as_of=decision.decided_at,
        is_late=decision.is_late,
        evidence=tuple(
            Cited(r.uid, r.component, r.value, r.measured_at, tuple(sorted(r.flags)), r.beyond)
            for r in decision.evidence
        ),
        origins={str(c): dict(origins[c]) for c in sorted(cited & set(origins))},
    )
    return msgspec.json.encode(kept, order="sorted")
