"""An alert's life: append-only events, folded into its state; commands answered with an event or a
refusal.

Two axes (clinical.md 4b): *handling* is what people do, *condition* is what the values do. Rules of
this file:

1. State is the fold of the events, and nothing else. Its version is how many they are.
2. No clinical alert is closed without a person and an outcome. Values that return only set
   ``recovered``. A technical alert that nobody has taken may close by itself, with an event.
3. Severity rises by itself and never falls by itself.
4. What raises an alert (worse, or fresh where it was late) lays it before people again: handling is
   open, the owner stays (clinical.md 4b 6 and 11: open red is never without its owner).
   Whoever has seen it may take it: its owner may have gone home.
5. A command carries the version its sender saw. Taking is allowed on an older one as long as the
   alert is open and nobody has it: more evidence is no reason to send a nurse back, and the page
   she comes to shows it. Closing is not, nor is taking over from another: she must have seen it.
6. A value that turns out to be another person's takes no alert away: the alert stays as it is, and
   says so (clinical.md 4c, evidence changed), also where it was closed before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from alerts.errors import HistoryError
from alerts.rules import Severity, Text


class Handling(StrEnum):
    """What people have done about it."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    IN_PROGRESS = "in_progress"
    CLOSED = "closed"


class Condition(StrEnum):
    """What the values do."""

    FIRING = "firing"
    RECOVERED = "recovered"


class Outcome(StrEnum):
    """What came of it: the label that tells whether an alert was worth the nurse's time
    (clinical.md 4b).
    """

    CONTACTED_NO_ACTION = "contacted-no-action"
    MEDICATION_CHANGED = "med-change-by-physician"
    VISIT = "visit"
    SENT_TO_HOSPITAL = "sent-to-hospital"
    MEASUREMENT_ERROR = "measurement-error"
    WRONG_PERSON = "wrong-person"
    EXPECTED = "expected"
    DUPLICATE = "duplicate"
    PATIENT_UNREACHABLE = "patient-unreachable"
    TECHNICAL_FIXED = "technical-fixed"


OUTCOME_TEXTS = {
    Outcome.CONTACTED_NO_ACTION: Text("Kontakt tagen, ingen åtgärd", "Contacted, no action"),
    Outcome.MEDICATION_CHANGED: Text(
        "Läkare har ändrat läkemedel", "Medicine changed by physician"
    ),
    Outcome.VISIT: Text("Hembesök", "Home visit"),
    Outcome.SENT_TO_HOSPITAL: Text("Till sjukhus eller 112", "Sent to hospital or 112"),
    Outcome.MEASUREMENT_ERROR: Text("Mätfel", "Measurement error"),
    Outcome.WRONG_PERSON: Text("Fel person mätte", "Wrong person measured"),
    Outcome.EXPECTED: Text("Väntat, planen ändras", "Expected, plan to be changed"),
    Outcome.DUPLICATE: Text("Dubblett", "Duplicate"),
    Outcome.PATIENT_UNREACHABLE: Text("Patienten nås inte", "Patient cannot be reached"),
    Outcome.TECHNICAL_FIXED: Text("Teknik åtgärdad", "Equipment fixed"),
}

NOTE_MAX = 2000


class Happened(StrEnum):
    """The events an alert can have."""

    FIRED = "fired"
    EXTENDED = "extended"
    RAISED = "raised"
    RECOVERED = "recovered"
    EVIDENCE_CHANGED = "evidence_changed"  # a value it cites is not the person's any more
    TAKEN = "taken"
    RELEASED = "released"
    NOTED = "noted"
    CLOSED = "closed"
    CLOSED_ITSELF = "closed_itself"


class Detail(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an event carries besides when and who; stored as JSON, empty fields left out.

    ``measured_at`` is of the newest evidence the event brings, ``while_firing`` marks a close
    before the values had returned. ``why``, ``rule_version`` and ``inputs`` are of the rule that
    raised the alert (of the one that opened it they stand in the alert itself).
    """

    severity: Severity | None = None
    reason: str | None = None
    text: Text | None = None
    measured_at: datetime | None = None
    is_late: bool = False
    outcome: Outcome | None = None
    note: str | None = None
    while_firing: bool = False
    why: str | None = None
    rule_version: str | None = None
    inputs: dict[str, Any] | None = None


_NO_DETAIL = Detail()


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to an alert. ``staff_id`` is None when the engine did it."""

    at: datetime
    happened: Happened
    staff_id: int | None = None
    detail: Detail = _NO_DETAIL


@dataclass(frozen=True, slots=True)
class AlertState:
    """What the events add up to. ``measured_at`` is of the newest evidence; ``text`` of the latest
    rise.
    """

    severity: Severity
    text: Text
    measured_at: datetime
    handling: Handling = Handling.OPEN
    condition: Condition = Condition.FIRING
    owner_id: int | None = None
    closed_at: datetime | None = None
    outcome: Outcome | None = None
    version: int = 1

    @property
    def needs_attention(self) -> bool:
        """Whether it was raised after somebody took it, and nobody has taken it since."""
        return self.handling is Handling.OPEN and self.owner_id is not None


def fold(events: Iterable[Event]) -> AlertState:
    """Return the state the events add up to; HistoryError for events no alert can have had."""
    state: AlertState | None = None
    for event in events:
        state = _first(event) if state is None else _next(state, event)
    if state is None:
        raise HistoryError("an alert begins with an event")
    return state


def _first(event: Event) -> AlertState:
    detail = event.detail
    if event.happened is not Happened.FIRED:
        raise HistoryError(f"an alert cannot begin with {event.happened}")
    if detail.severity is None or detail.text is None or detail.measured_at is None:
        raise HistoryError("the first event lacks severity, text or time")
    return AlertState(detail.severity, detail.text, detail.measured_at)


def _next(state: AlertState, event: Event) -> AlertState:
    if state.handling is Handling.CLOSED and event.happened not in _AFTER_CLOSE:
        raise HistoryError(f"{event.happened} after the alert was closed")
    state = replace(state, version=state.version + 1)
    match event.happened:
        case Happened.FIRED:
            raise HistoryError("an alert fires once")
        case Happened.EXTENDED:
            return _with_evidence(state, event.detail)
        case Happened.RAISED:
            return _raised(state, event.detail)
        case Happened.RECOVERED:
            return replace(state, condition=Condition.RECOVERED)
        case Happened.EVIDENCE_CHANGED:
            return state
        case Happened.TAKEN:
            return replace(state, handling=Handling.ACKNOWLEDGED, owner_id=event.staff_id)
        case Happened.RELEASED:
            return replace(state, handling=Handling.OPEN, owner_id=None)
        case Happened.NOTED:
            started = state.handling is Handling.ACKNOWLEDGED and event.staff_id == state.owner_id
            return replace(state, handling=Handling.IN_PROGRESS) if started else state
        case _:
            assert event.happened in (Happened.CLOSED, Happened.CLOSED_ITSELF), "all are named"
            return _closed(state, event)


# A closed alert may still learn that its values have returned, or are another's, and be annotated;
# nothing else.
_AFTER_CLOSE = frozenset({Happened.RECOVERED, Happened.EVIDENCE_CHANGED, Happened.NOTED})


def _with_evidence(state: AlertState, detail: Detail) -> AlertState:
    newest = max(state.measured_at, detail.measured_at or state.measured_at)
    state = replace(state, condition=Condition.FIRING, measured_at=newest)
    if detail.severity is not None and detail.severity.rank > state.severity.rank:
        return replace(state, severity=detail.severity, text=detail.text or state.text)
    return state


def _raised(state: AlertState, detail: Detail) -> AlertState:
    state = _with_evidence(state, detail)
    return replace(state, handling=Handling.OPEN, text=detail.text or state.text)


def _closed(state: AlertState, event: Event) -> AlertState:
    if event.detail.outcome is None or (
        event.happened is Happened.CLOSED and event.staff_id is None
    ):
        raise HistoryError("an alert is closed by a person, with an outcome")
    return replace(
        state,
        handling=Handling.CLOSED,
        closed_at=event.at,
        outcome=event.detail.outcome,
        owner_id=event.staff_id if event.staff_id is not None else state.owner_id,
    )


class Refused(StrEnum):
    """Why a command was not carried out."""

    HELD = "held"  # another person holds it
    CLOSED = "closed"  # somebody has closed it
    CHANGED = "changed"  # something has happened since the page was shown
    NOT_YOURS = "not_yours"  # only its holder may do that
    ALREADY_YOURS = "already_yours"
    EMPTY_NOTE = "empty_note"
    LONG_NOTE = "long_note"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that changed nothing, why, and who holds or closed the alert, if anybody."""

    reason: Refused
    holder_id: int | None = None


@dataclass(frozen=True, slots=True)
class By:
    """Who asks, when (aware, the server's time), and which version of the alert they had before
    them.
    """

    staff_id: int
    at: datetime
    expected_version: int


def take(state: AlertState, by: By) -> Event | Refusal:
    """Make the person responsible for the alert, if nobody is or it has been raised since."""
    taken = Event(by.at, Happened.TAKEN, by.staff_id)
    if state.needs_attention:
        is_own = state.owner_id == by.staff_id
        return taken if is_own else _unless_changed(state, by, taken)
    refusal = _closed_or_held(state, by)
    if refusal is not None:
        return refusal
    if state.owner_id == by.staff_id:
        return Refusal(Refused.ALREADY_YOURS, by.staff_id)
    return taken


def release(state: AlertState, by: By) -> Event | Refusal:
    """Give the alert back to the list, where it is open again for all."""
    refusal = _closed_or_held(state, by)
    if refusal is not None:
        return refusal
    if state.owner_id is None:
        return Refusal(Refused.NOT_YOURS)
    return _unless_changed(state, by, Event(by.at, Happened.RELEASED, by.staff_id))


def note(state: AlertState, by: By, text: str) -> Event | Refusal:
    """Add a note. Anybody may, at any time: it overwrites nothing, so no version is asked for."""
    text = text.strip()
    if not text:
        return Refusal(Refused.EMPTY_NOTE, state.owner_id)
    if len(text) > NOTE_MAX:
        return Refusal(Refused.LONG_NOTE, state.owner_id)
    return Event(by.at, Happened.NOTED, by.staff_id, Detail(note=text))


def close(state: AlertState, by: By, outcome: Outcome, text: str = "") -> Event | Refusal:
    """Close the alert with an outcome. Allowed while it still fires, and then marked as such."""
    text = text.strip()
    refusal = _closed_or_held(state, by)
    if refusal is not None:
        return refusal
    if len(text) > NOTE_MAX:
        return Refusal(Refused.LONG_NOTE, state.owner_id)
    firing = state.condition is Condition.FIRING
    detail = Detail(outcome=outcome, note=text or None, while_firing=firing)
    return _unless_changed(state, by, Event(by.at, Happened.CLOSED, by.staff_id, detail))


def _closed_or_held(state: AlertState, by: By) -> Refusal | None:
    if state.handling is Handling.CLOSED:
        return Refusal(Refused.CLOSED, state.owner_id)
    if state.owner_id not in (None, by.staff_id):
        return Refusal(Refused.HELD, state.owner_id)
    return None


def _unless_changed(state: AlertState, by: By, event: Event) -> Event | Refusal:
    if by.expected_version != state.version:
        return Refusal(Refused.CHANGED, state.owner_id)
    return event


def heard_again(state: AlertState, at: datetime) -> tuple[Event, ...]:
    """Return what happens to a technical alert whose equipment is well again: it recovers, and
    closes if unheld.
    """
    if state.handling is Handling.CLOSED:
        return ()
    events: tuple[Event, ...] = ()
    if state.condition is Condition.FIRING:
        events = (Event(at, Happened.RECOVERED),)
    if state.owner_id is None:
        detail = Detail(outcome=Outcome.TECHNICAL_FIXED)
        events = (*events, Event(at, Happened.CLOSED_ITSELF, None, detail))
    return events
