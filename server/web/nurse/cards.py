"""Alerts as a nurse reads them: one card a person, one entry an alert."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import structlog

from server.auth.sessions import Identity
from server.store import cited
from server.store.cited import EvidenceRow
from server.store.worklist import AlertRow, EventRow, OwnLimitRow
from server.web.nurse import flags, limit_words, sayings
from server.web.nurse.bounds import Bounds
from server.web.words import Language, Words

LOG = structlog.get_logger()


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

    ``what`` is the newest value and the limit it passed, ``worst`` those of earlier ones that were
    worse, ``fired`` the rule's text as it fired or was raised, which is never written again,
    ``needs_attention`` that it was raised after somebody took it, ``risen_at`` when that was,
    ``evidence_changed`` that a value it cites is not the person's any more,
    ``limits`` whose limit each is, ``why`` where the rule's figures come from
    (nothing when only the person's own limits were passed).
    """

    id: UUID
    severity: str
    version: int
    what: str
    worst: Sequence[CitedSample]
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
    needs_attention: bool
    evidence_changed: bool
    risen_at: datetime
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
    bounds = Bounds.of(row)
    if not bounds.is_readable:
        LOG.error("alert_inputs_unreadable", alert=str(row.id))
    passed = bounds.passed(told.evidence, row.severity)
    limits = limit_words.limits(row, bounds, passed, told.own, words)
    return Entry(
        id=row.id,
        severity=row.severity,
        version=row.version,
        what=_what(row, bounds, told.evidence, words),
        worst=_worst(row, bounds, told.evidence, words),
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
        is_late=row.is_late,
        needs_attention=row.needs_attention,
        risen_at=row.risen_at,
        has_recovered=row.condition == "recovered",
        evidence_changed=row.evidence_changed,
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
        key = str(row.public_id or _equipment(row) or row.id)
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
    if row.device is not None:
        return words.text(
            "Okopplad apparat %(device)s vid %(name)s",
            device=row.device,
            name=row.gateway_name or "",
        )
    return words.text("Okopplad apparat vid %(name)s", name=row.gateway_name or "")


def _equipment(row: AlertRow) -> str:
    """Name the gateway, or the unassigned device behind it: two devices may be two people."""
    return "-".join(name for name in (row.gateway_name, row.device) if name)


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


def _what(row: AlertRow, bounds: Bounds, evidence: Sequence[EvidenceRow], words: Words) -> str:
    """Say the newest value and the limit it passed, such as "Övertryck 224 mmHg, över rött 220".

    What is no threshold, or cites nothing, is said as it fired.
    """
    newest = cited.newest(evidence)
    if not bounds.levels or not newest:
        return row.text_sv if words.language is Language.SV else row.text_en
    first, *others = (_said(one, bounds, words) for one in newest)
    return "; ".join((first, *(_inside_a_sentence(one) for one in others)))


def _inside_a_sentence(text: str) -> str:
    """Begin with a small letter, but leave an abbreviation alone."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _worst(
    row: AlertRow, bounds: Bounds, evidence: Sequence[EvidenceRow], words: Words
) -> list[CitedSample]:
    """Say each component's worst value, where the newest is another."""
    if not bounds.levels:
        return []
    newest = {(one.component_id, one.height) for one in cited.newest(evidence)}
    return [
        CitedSample(one.measured_at, _said(one, bounds, words))
        for one in cited.worst(evidence, is_high=bounds.is_high)
        if (one.component_id, one.height) not in newest
    ]


def _said(sample: EvidenceRow, bounds: Bounds, words: Words) -> str:
    """Say one sample, the limit it passed, and what is doubted about it."""
    reached = bounds.reached(sample)
    text = _plain(sample, words) if reached is None else limit_words.passing(*reached, words)
    doubts = [flags.saying(one, words) for one in sample.flags if one in flags.ALARMING]
    return f"{text} – {', '.join(doubts)}" if doubts else text


def _plain(sample: EvidenceRow, words: Words) -> str:
    component = sayings.component(sample.component_id)
    name = sayings.component_name(component, words)
    return f"{name} {sayings.result(component, sample.value, sample.side, words)}"


def _cited(row: EvidenceRow, words: Words) -> CitedSample:
    doubts = [flags.saying(one, words) for one in row.flags if one in flags.ALARMING]
    return CitedSample(row.measured_at, ", ".join((_plain(row, words), *doubts)))


def _happened(row: EventRow, words: Words) -> Happening:
    text = sayings.event(row.event, row.by, words)
    detail = row.detail if isinstance(row.detail, dict) else {}
    if row.event == "raised" and detail.get("reason") == "fresh":
        text = words.text("Nytt aktuellt värde: larmet gäller från nu")
    note = detail.get("note")
    return Happening(row.at, f"{text}: {note}" if note else text)
