"""Alerts as a nurse reads them: one card a person, one entry an alert."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from server.auth.sessions import Identity
from server.store.worklist import AlertRow, EventRow, EvidenceRow
from server.web.nurse import sayings
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
    never written again, ``limit`` whose limit it is.
    """

    id: UUID
    severity: str
    version: int
    what: str
    fired: str
    why: str
    limit: str
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
    is_protected: bool
    severity: str
    alerts: list[Entry] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Told:
    """What is told beside the alert itself: its samples and its history."""

    evidence: Sequence[EvidenceRow] = ()
    events: Sequence[EventRow] = ()


def is_technical(row: AlertRow) -> bool:
    """Return whether an alert concerns equipment and nobody's value."""
    return row.rule.startswith("tech.")


def entry(row: AlertRow, who: Identity, words: Words, told: Told | None = None) -> Entry:
    """Return one alert in words."""
    told = told or Told()
    return Entry(
        id=row.id,
        severity=row.severity,
        version=row.version,
        what=_what(row, told.evidence, words),
        fired=row.text_sv if words.language is Language.SV else row.text_en,
        why=row.why,
        limit=_limit(row, words),
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
    evidence: Mapping[UUID, Sequence[EvidenceRow]],
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
        group[key].alerts.append(entry(row, who, words, Told(evidence[row.id])))
    return list(people.values()), list(technical.values())


def title(row: AlertRow, words: Words) -> str:
    """Return whom an alert concerns."""
    if row.public_id is not None:
        return f"{row.given_name} {row.family_name}"
    if is_technical(row):
        return words.text("Mottagare %(name)s", name=row.gateway_name or "")
    return words.text("Okopplad apparat vid %(name)s", name=row.gateway_name or "")


def _card(key: str, row: AlertRow, words: Words) -> Card:
    name = title(row, words)
    if row.concerns:
        name = f"{name} – {row.concerns}"
    return Card(
        key=key,
        name=name,
        link=f"/patient/{row.public_id}" if row.public_id else None,
        birth_year=row.birth_year,
        is_protected=bool(row.protected),
        severity=row.severity,
    )


def _what(row: AlertRow, evidence: Sequence[EvidenceRow], words: Words) -> str:
    """Say the newest value at the alert's level, such as "Övertryck 224 mmHg, över rött 220".

    What is no threshold, or cites nothing, is said as it fired.
    """
    rule = row.inputs.get("rule", {})
    is_high = rule.get("direction") == "high"
    bounds = {bound["component"]: bound.get(row.severity) for bound in rule.get("bounds", ())}
    passed = [
        (sample, bounds[sample.component_id])
        for sample in evidence
        if _reaches(sample.value, bounds.get(sample.component_id), is_high=is_high)
    ]
    if not passed:
        return row.text_sv if words.language is Language.SV else row.text_en
    newest = max(sample.measured_at for sample, _ in passed)
    return "; ".join(
        _passing(sample, level, row.severity, is_high=is_high, words=words)
        for sample, level in passed
        if sample.measured_at == newest
    )


def level_of(row: AlertRow, sample: EvidenceRow) -> str:
    """Return the level that one cited sample reached: a red alert may cite yellow values too."""
    rule = row.inputs.get("rule", {})
    for bound in rule.get("bounds", ()):
        is_high = rule.get("direction") == "high"
        if bound["component"] == sample.component_id:
            return "red" if _reaches(sample.value, bound.get("red"), is_high=is_high) else "yellow"
    return row.severity


def _reaches(value: float, level: float | None, *, is_high: bool) -> bool:
    return level is not None and (value >= level if is_high else value <= level)


def _passing(
    sample: EvidenceRow, level: float, severity: str, *, is_high: bool, words: Words
) -> str:
    component = sayings.component(sample.component_id)
    name = sayings.component_name(component, words)
    said = f"{name} {sayings.quantity(component, sample.value, words)}"
    limit = words.number(level, component.decimals)
    values = {"said": said, "limit": limit}
    if sample.value == level:
        # A limit is reached at its own value: neither over nor under would be true.
        if severity == "red":
            return words.text("%(said)s, på röd gräns", said=said)
        return words.text("%(said)s, på gul gräns", said=said)
    said_of = {
        ("red", True): words.text("%(said)s, över rött %(limit)s", **values),
        ("red", False): words.text("%(said)s, under rött %(limit)s", **values),
        ("yellow", True): words.text("%(said)s, över gult %(limit)s", **values),
        ("yellow", False): words.text("%(said)s, under gult %(limit)s", **values),
    }
    return said_of[severity, is_high]


def _limit(row: AlertRow, words: Words) -> str:
    if is_technical(row):
        return ""
    origins = [
        origin
        for bounds in row.inputs.get("origins", {}).values()
        for bound, origin in bounds.items()
        if bound.startswith(row.severity)
    ]
    if "patient" in origins:
        return words.text("Personens egen gräns")
    return words.text("Nationellt förslag, gäller tills personen får en egen gräns")


def _cited(row: EvidenceRow, words: Words) -> CitedSample:
    component = sayings.component(row.component_id)
    name = sayings.component_name(component, words)
    return CitedSample(row.measured_at, f"{name} {sayings.quantity(component, row.value, words)}")


def _happened(row: EventRow, words: Words) -> Happening:
    text = sayings.event(row.event, row.by, words)
    note = row.detail.get("note")
    return Happening(row.at, f"{text}: {note}" if note else text)
