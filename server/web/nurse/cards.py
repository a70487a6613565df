"""Alerts as a nurse reads them: one card a person, one entry an alert."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from server.auth.sessions import Identity
from server.store.worklist import AlertRow, EventRow, EvidenceRow, OwnLimitRow
from server.web.nurse import limit_words, sayings
from server.web.nurse.bounds import Bounds, Passed
from server.web.words import Language, Words


@dataclass(frozen=True, slots=True)
class CitedSample:
    """One sample that the alert rests on."""

    measured_at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of an alert's history."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One alert in words.

    ``what`` is the value and the limit it passed, ``fired`` the rule's text as it fired, which is
    never written again, ``limits`` whose limit each is, ``why`` where the rule's figures come from
    (nothing when only the person's own limits were passed).
    """

    id: UUID
    severity: str
    version: int
    what: str
    fired: str
    why: str
    limits: Sequence[str]
    todo: str
    measured_at: datetime
    received_at: datetime | None
    opened_at: datetime
    closed_at: datetime | None
    owner_name: str | None
    taken_at: datetime | None
    is_mine: bool
    is_late: bool
    has_recovered: bool
    outcome: str
    evidence: Sequence[CitedSample] = ()
    history: Sequence[Happening] = ()


@dataclass(slots=True)
class Card:
    """Everything that waits for one person, or for one piece of equipment."""

    key: str
    name: str
    link: str | None
    birth_year: int | None
    severity: str
    alerts: list[Entry] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Told:
    """What is told beside the alert itself: its samples, its history, the person's own limits."""

    evidence: Sequence[EvidenceRow] = ()
    events: Sequence[EventRow] = ()
    own: Mapping[int, OwnLimitRow] = field(default_factory=dict)


def is_technical(row: AlertRow) -> bool:
    """Return whether an alert concerns equipment and nobody's value."""
    return row.rule.startswith("tech.")


def entry(row: AlertRow, who: Identity, words: Words, told: Told | None = None) -> Entry:
    """Return one alert in words."""
    told = told or Told()
    passed = Bounds.of(row).passed(told.evidence, row.severity)
    limits = limit_words.limits(row, passed, told.own, words)
    return Entry(
        id=row.id,
        severity=row.severity,
        version=row.version,
        what=_what(row, passed, words),
        fired=row.text_sv if words.language is Language.SV else row.text_en,
        why=sayings.source(row.why, words) if limits.is_rule_quoted else "",
        limits=limits.said,
        todo=sayings.todo(row.severity, is_technical=is_technical(row), words=words),
        measured_at=row.measured_at,
        received_at=row.received_at,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        owner_name=row.owner_name,
        taken_at=row.taken_at,
        is_mine=row.owner_id == who.staff_id and row.handling != "closed",
        is_late=bool(row.inputs.get("is_late")),
        has_recovered=row.condition == "recovered",
        outcome=sayings.outcome_name(row.outcome, words) if row.outcome else "",
        evidence=[_cited(each, words) for each in told.evidence],
        history=[_happened(each, words) for each in told.events],
    )


def cards(
    rows: Iterable[AlertRow],
    told: Mapping[UUID, Told],
    who: Identity,
    words: Words,
) -> tuple[list[Card], list[Card]]:
    """Return the cards of people and those of equipment, each in the order of their worst alert."""
    people: dict[str, Card] = {}
    technical: dict[str, Card] = {}
    for row in rows:
        group = technical if is_technical(row) else people
        key = str(row.public_id or row.gateway_name or row.id)
        if key not in group:
            group[key] = _card(key, row, words)
        group[key].alerts.append(entry(row, who, words, told[row.id]))
    return list(people.values()), list(technical.values())


def title(row: AlertRow, words: Words) -> str:
    """Return whom an alert concerns."""
    if row.public_id is not None and row.protected:
        return sayings.protected_name(row.public_id, words)
    if row.public_id is not None:
        return f"{row.given_name} {row.family_name}"
    if is_technical(row):
        return words.text("Mottagare %(name)s", name=row.gateway_name or "")
    return words.text("Okopplad apparat vid %(name)s", name=row.gateway_name or "")


def _card(key: str, row: AlertRow, words: Words) -> Card:
    name = title(row, words)
    concerned = [row.concerns] if row.concerns else []
    concerned += [sayings.protected_name(one, words) for one in row.concerns_protected or ()]
    if concerned:
        name = f"{name} – {', '.join(concerned)}"
    return Card(
        key=key,
        name=name,
        link=f"/patient/{row.public_id}" if row.public_id else None,
        birth_year=row.birth_year,
        severity=row.severity,
    )


def _what(row: AlertRow, passed: Sequence[Passed], words: Words) -> str:
    """Say the newest value at the alert's level, such as "Övertryck 224 mmHg, över rött 220".

    What is no threshold, or cites nothing, is said as it fired.
    """
    if not passed:
        return row.text_sv if words.language is Language.SV else row.text_en
    newest = max(one.sample.measured_at for one in passed)
    return "; ".join(
        limit_words.passing(one, row.severity, words)
        for one in passed
        if one.sample.measured_at == newest
    )


def _cited(row: EvidenceRow, words: Words) -> CitedSample:
    component = sayings.component(row.component_id)
    name = sayings.component_name(component, words)
    return CitedSample(row.measured_at, f"{name} {sayings.quantity(component, row.value, words)}")


def _happened(row: EventRow, words: Words) -> Happening:
    text = sayings.event(row.event, row.by, words)
    note = row.detail.get("note")
    return Happening(row.at, f"{text}: {note}" if note else text)
