"""Rules over a history, as it became known: the same engine, stepped through what came when.

Rules of this file (contract.md 3):

- As-of steps through each measurement's arrival and each episode's end, until a given time.
- Nobody closes alerts in a history: an episode ends its rule's length after its last evidence was
  measured or came, whichever is later, and the next evidence fires anew.
- One person's decisions never depend on another's, nor on the order in which the history is given:
  the same history gives the same decisions.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from types import MappingProxyType

import msgspec

from alerts.decision import Decided, Decision
from alerts.engine import State, evaluate
from alerts.rules import EPISODE_S, Rule, Threshold
from alerts.series import Reading
from devices.kinds import COMPONENTS


@dataclass(frozen=True, slots=True)
class Arrival:
    """One measurement and when it came to the server. The time is aware; so are the readings'."""

    received_at: datetime
    readings: tuple[Reading, ...]


def replay(
    rules: Sequence[Rule], history: Mapping[str, Iterable[Arrival]], *, until: datetime
) -> Iterator[Decision]:
    """Yield what would have been decided about each subject, in the order decided.

    Ties of time are ordered by subject. What came after ``until`` is not known yet. Whatever
    ``received_seq`` the readings have is replaced by the order of their arrival.
    """
    people = (_decisions(rules, subject, history[subject], until) for subject in sorted(history))
    return heapq.merge(*people, key=lambda decision: (decision.decided_at, decision.subject))


def _decisions(
    rules: Sequence[Rule], subject: str, arrivals: Iterable[Arrival], until: datetime
) -> Iterator[Decision]:
    state = State(subject)
    evidence_came: dict[str, datetime] = {}
    for as_of, together in groupby(_numbered(arrivals), key=lambda one: one.received_at):
        if as_of > until:
            return
        state = _without_ended(state, evidence_came, as_of)
        samples = [reading for arrival in together for reading in arrival.readings]
        state, decided = evaluate(rules, samples, state, as_of)
        for decision in decided:
            if decision.decided in (Decided.FIRE, Decided.EXTEND):
                evidence_came[decision.rule.rule] = as_of
        yield from decided


def _numbered(arrivals: Iterable[Arrival]) -> Iterator[Arrival]:
    """Give arrivals the order in which they came; of what came at once, the earliest first."""
    for number, arrival in enumerate(sorted(arrivals, key=_order)):
        readings = tuple(replace(one, received_seq=number) for one in arrival.readings)
        yield replace(arrival, readings=readings)


def _order(arrival: Arrival) -> tuple[datetime, datetime, str]:
    first = arrival.readings[0]
    return arrival.received_at, first.measured_at, first.uid


def _without_ended(state: State, evidence_came: Mapping[str, datetime], as_of: datetime) -> State:
    """Leave out the episodes whose end has come."""
    going_on = {}
    for lineage, episode in state.episodes.items():
        length_s = episode.pinned.episode_s if isinstance(episode.pinned, Threshold) else EPISODE_S
        last = max(episode.last_evidence_at, evidence_came[lineage])
        if as_of < last + timedelta(seconds=length_s):
            going_on[lineage] = episode
    return replace(state, episodes=MappingProxyType(going_on))


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """One value cited. ``value`` None: the device showed HI or LO, ``beyond`` says which side."""

    time: str
    code: str
    value: float | None
    beyond: str | None = None


class Line(msgspec.Struct, frozen=True):
    """A decision as contract.md 3 writes it: one JSON object a line."""

    patient: str
    rule: str
    version: str
    decision: str
    severity: str
    decided_at: str
    evidence: tuple[Evidence, ...]
    text: dict[str, str]


def line(decision: Decision) -> bytes:
    """Write a decision as one line of JSON, without its end; the same decision, the same bytes."""
    return msgspec.json.encode(
        Line(
            patient=decision.subject,
            rule=decision.rule.rule,
            version=decision.version,
            decision=decision.decided.value,
            severity=decision.severity.value,
            decided_at=_moment(decision.decided_at),
            evidence=tuple(_evidence(reading) for reading in decision.evidence),
            text={"sv": decision.text.sv, "en": decision.text.en},
        )
    )


def _evidence(reading: Reading) -> Evidence:
    component = COMPONENTS[reading.component]
    beyond = None if reading.beyond is None else reading.beyond.value
    return Evidence(_moment(reading.measured_at), component.code, reading.value, beyond)


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"
