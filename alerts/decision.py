"""What the engine decides, with its reason. A decision is a fact to record, whether or not anybody
is alerted.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from alerts.rules import Rule, Severity, Text
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
    RETURNED = "returned"
    IMPLAUSIBLE = "implausible"
    REPEATS_DISAGREE = "repeats_disagree"
    FUTURE_TIME = "future_time"
    CLOSED_EPISODE_GOES_ON = "closed_episode_goes_on"
    TECHNICAL = "technical"


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


def alert_id(subject: str, lineage: str, version: str, first_cause: str) -> uuid.UUID:
    """Return the alert's id: the same person, rule, version and first causing sample give the same
    id.
    """
    return uuid.uuid5(_ALERTS, "\x1f".join((subject, lineage, version, first_cause)))
