"""Alerts, their evidence and their events.

Rules of this file: an alert's row is the fold of its events (``alerts.lifecycle``), written again
after each; the text and the inputs as fired stand in the events for ever; the same decision written
twice changes nothing, since the alert's id comes from its inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from uuid import UUID

import msgspec
from psycopg.rows import class_row

from alerts import rules
from alerts.decision import Decided, Decision, inputs_of
from alerts.engine import Episode
from alerts.errors import HistoryError
from alerts.lifecycle import AlertState, Detail, Event, Happened, fold
from alerts.rules import Rule, Severity
from alerts.series import Reading
from server.store.database import Transaction

CHANNEL = "hemma_alert"


@dataclass(frozen=True, slots=True)
class Concern:
    """Whom or what an alert is about, and which unit answers."""

    patient_id: int | None
    gateway_id: int | None
    unit_id: int


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as commands see it: whom it concerns and what its events add up to."""

    id: UUID
    concern: Concern
    rule: str
    state: AlertState


@dataclass(frozen=True, slots=True)
class NewAlert:
    """What is written when a rule fires. ``rule`` is the lineage the alert is stored under."""

    concern: Concern
    rule: str
    decision: Decision
    origins: Mapping[int, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class _EpisodeRow:
    id: UUID
    patient_id: int | None
    gateway_id: int | None
    rule: str
    severity: str
    handling: str
    condition: str
    measured_at: datetime
    is_late: bool
    pinned: str | None
    uids: list[UUID]
    component_ids: list[int]

    def episode(self) -> Episode:
        keys = zip(self.uids, self.component_ids, strict=True)
        return Episode(
            alert_id=self.id,
            severity=Severity(self.severity),
            is_open=self.handling != "closed",
            is_firing=self.condition == "firing",
            cited=frozenset((uid.hex, component) for uid, component in keys),
            last_evidence_at=self.measured_at,
            pinned=_pinned(self.pinned),
            is_late=self.is_late,
        )


Subject = tuple[int | None, int | None]  # patient, or (for what belongs to nobody) the gateway


async def episodes_of(
    tx: Transaction,
    patient_ids: Sequence[int],
    gateway_ids: Sequence[int],
    *,
    rule: str | None = None,
) -> dict[Subject, dict[str, Episode]]:
    """Return the newest alert of each lineage, or of one, for these patients and unassigned values.

    Raises HistoryError for a kept rule that this version cannot read.

    The open ones stay locked until the transaction ends, so that no person's command slips in
    between what is read here and what is decided.
    """
    values = {"patients": list(patient_ids), "gateways": list(gateway_ids), "rule": rule}
    await tx.execute(_LOCK_OPEN, values)
    async with tx.cursor(row_factory=class_row(_EpisodeRow)) as cursor:
        await cursor.execute(_EPISODES, values)
        rows = await cursor.fetchall()
    found: dict[Subject, dict[str, Episode]] = {}
    for row in rows:
        gateway = row.gateway_id if row.patient_id is None else None
        found.setdefault((row.patient_id, gateway), {})[row.rule] = row.episode()
    return found


async def units_of(
    tx: Transaction, patient_ids: Sequence[int], gateway_ids: Sequence[int]
) -> tuple[dict[int, int], dict[int, int]]:
    """Return which unit answers for each patient, and for each gateway."""
    patients = await tx.execute(
        "SELECT id, unit_id FROM patient WHERE id = ANY(%s::int[])", (list(patient_ids),)
    )
    answering = dict(await patients.fetchall())
    gateways = await tx.execute(
        "SELECT id, unit_id FROM gateway WHERE id = ANY(%s::int[])", (list(gateway_ids),)
    )
    return answering, dict(await gateways.fetchall())


async def fire(tx: Transaction, new: NewAlert) -> bool:
    """Open an alert with its first event and its evidence; False if it was there already."""
    decision = new.decision
    newest = max((r.measured_at for r in decision.evidence), default=decision.decided_at)
    detail = _detail(decision, newest)
    cursor = await tx.execute(
        _INSERT_ALERT,
        {
            "id": decision.alert_id,
            "patient": new.concern.patient_id,
            "gateway": new.concern.gateway_id,
            "unit": new.concern.unit_id,
            "rule": new.rule,
            "rule_version": decision.version,
            "severity": decision.severity.value,
            "at": decision.decided_at,
            "measured_at": newest,
            "sv": decision.text.sv,
            "en": decision.text.en,
            "why": decision.rule.why,
            "inputs": inputs_of(decision, new.origins).decode(),
        },
    )
    if not cursor.rowcount:
        return False
    assert decision.alert_id is not None, "what fires has an id"
    fired = Event(decision.decided_at, Happened.FIRED, None, detail)
    await _insert_events(tx, decision.alert_id, [fired])
    await _cite(tx, decision.alert_id, decision.evidence, decision.decided_at)
    return True


async def change(
    tx: Transaction,
    alert_id: UUID,
    decisions: Sequence[Decision],
    origins: Mapping[int, Mapping[str, str]] = MappingProxyType({}),
) -> AlertState:
    """Extend, raise or recover an alert by decisions in their order; return its state.

    Recovery closes nothing. What raises keeps its rule and inputs as they then were, like what
    opens. A week's backlog is one call: its evidence is written together.
    """
    state = await _state(tx, alert_id)
    severity, newest = state.severity, state.measured_at
    events: list[Event] = []
    for decision in decisions:
        if decision.decided is Decided.CLEAR:
            events.append(Event(decision.decided_at, Happened.RECOVERED))
            continue
        newest = max((newest, *(r.measured_at for r in decision.evidence)))
        happened, detail = Happened.EXTENDED, _detail(decision, newest)
        if decision.raises or decision.severity.rank > severity.rank:
            happened, severity = Happened.RAISED, decision.severity
            detail = _raising(detail, decision, origins)
        events.append(Event(decision.decided_at, happened, None, detail))
        await _cite(tx, alert_id, decision.evidence, decision.decided_at)
    return await append(tx, alert_id, events)


async def append(tx: Transaction, alert_id: UUID, events: Iterable[Event]) -> AlertState:
    """Write events, and the row as their fold; return the state."""
    await _insert_events(tx, alert_id, events)
    state = await _state(tx, alert_id)
    await tx.execute(
        _UPDATE_ALERT,
        {
            "id": alert_id,
            "severity": state.severity.value,
            "handling": state.handling.value,
            "condition": state.condition.value,
            "measured_at": state.measured_at,
            "owner": state.owner_id,
            "closed_at": state.closed_at,
            "outcome": None if state.outcome is None else state.outcome.value,
            "sv": state.text.sv,
            "en": state.text.en,
            "version": state.version,
        },
    )
    return state


async def locked(tx: Transaction, alert_id: UUID) -> Alert | None:
    """Return an alert that nobody else can change until the transaction ends; None if unknown."""
    cursor = await tx.execute(
        "SELECT patient_id, gateway_id, unit_id, rule FROM alert WHERE id = %s FOR UPDATE",
        (alert_id,),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    patient_id, gateway_id, unit_id, rule = row
    concern = Concern(patient_id, gateway_id, unit_id)
    return Alert(alert_id, concern, rule, await _state(tx, alert_id))


async def events_of(tx: Transaction, alert_id: UUID) -> list[Event]:
    """Return an alert's events in the order they were written.

    Raises HistoryError for an event that this version does not know.
    """
    cursor = await tx.execute(
        "SELECT at, event, staff_id, detail FROM alert_event WHERE alert_id = %s ORDER BY id",
        (alert_id,),
    )
    return [_event(*row) for row in await cursor.fetchall()]


async def cited_uids(tx: Transaction, alert_id: UUID) -> list[UUID]:
    """Return the measurements an alert cites."""
    cursor = await tx.execute(
        "SELECT DISTINCT uid FROM alert_evidence WHERE alert_id = %s", (alert_id,)
    )
    return [uid for (uid,) in await cursor.fetchall()]


async def name_of(tx: Transaction, staff_id: int | None) -> str | None:
    """Return the name to show for a member of staff, or None for nobody."""
    cursor = await tx.execute("SELECT display_name FROM staff WHERE id = %s", (staff_id,))
    row = await cursor.fetchone()
    return None if row is None else str(row[0])


async def tell(tx: Transaction, unit_ids: Iterable[int]) -> None:
    """Wake whoever shows these units' lists, when the transaction commits."""
    for unit_id in sorted(set(unit_ids)):
        await tx.execute("SELECT pg_notify(%s, %s)", (CHANNEL, str(unit_id)))


async def _state(tx: Transaction, alert_id: UUID) -> AlertState:
    return fold(await events_of(tx, alert_id))


def _event(at: datetime, event: str, staff_id: int | None, detail: dict[str, Any]) -> Event:
    try:
        return Event(at, Happened(event), staff_id, msgspec.convert(detail, Detail))
    except ValueError as error:
        raise HistoryError(f"an event cannot be read: {error}") from error


@lru_cache(maxsize=1024)
def _pinned(rule: str | None) -> Rule | None:
    """Read the rule as it fired, from JSON. None for an alert that kept none."""
    try:
        return None if rule is None else rules.decode(rule.encode())
    except ValueError as error:
        raise HistoryError(f"the rule as fired cannot be read: {error}") from error


def _detail(decision: Decision, measured_at: datetime) -> Detail:
    return Detail(
        severity=decision.severity,
        reason=decision.reason.value,
        text=decision.text,
        measured_at=measured_at,
        is_late=decision.is_late,
    )


def _raising(
    detail: Detail, decision: Decision, origins: Mapping[int, Mapping[str, str]]
) -> Detail:
    return msgspec.structs.replace(
        detail,
        why=decision.rule.why,
        rule_version=decision.version,
        inputs=msgspec.json.decode(inputs_of(decision, origins)),
    )


async def _insert_events(tx: Transaction, alert_id: UUID, events: Iterable[Event]) -> None:
    rows = [
        (e.at, e.happened.value, e.staff_id, msgspec.json.encode(e.detail).decode(), alert_id)
        for e in events
    ]
    async with tx.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO alert_event (at, event, staff_id, detail, alert_id)"
            " VALUES (%s, %s, %s, %s::jsonb, %s)",
            rows,
        )


async def _cite(tx: Transaction, alert_id: UUID, evidence: Sequence[Reading], at: datetime) -> None:
    rows = [(alert_id, r.uid, r.component, r.measured_at, r.value, r.beyond, at) for r in evidence]
    if rows:
        async with tx.cursor() as cursor:
            await cursor.executemany(
                "INSERT INTO alert_evidence"
                " (alert_id, uid, component_id, measured_at, value, beyond, added_at)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                rows,
            )


_LOCK_OPEN = """
SELECT 1 FROM alert
WHERE handling <> 'closed' AND (patient_id = ANY(%(patients)s::int[])
    OR (patient_id IS NULL AND gateway_id = ANY(%(gateways)s::int[])))
ORDER BY id FOR UPDATE
"""

# The open one of each lineage, else the one closed last.
_EPISODES = """
WITH newest AS (
    SELECT DISTINCT ON (patient_id, CASE WHEN patient_id IS NULL THEN gateway_id END, rule)
           id, patient_id, gateway_id, rule, severity, handling, condition, measured_at,
           inputs ->> 'rule' AS pinned, inputs ->> 'is_late' AS fired_late
    FROM alert
    WHERE (patient_id = ANY(%(patients)s::int[])
       OR (patient_id IS NULL AND gateway_id = ANY(%(gateways)s::int[])))
      AND rule = coalesce(%(rule)s, rule)
    ORDER BY patient_id, CASE WHEN patient_id IS NULL THEN gateway_id END, rule,
             handling = 'closed', opened_at DESC, id
)
SELECT n.id, n.patient_id, n.gateway_id, n.rule, n.severity, n.handling, n.condition,
       n.measured_at, n.pinned, e.uids, e.component_ids,
       coalesce(CASE WHEN risen.detail IS NULL THEN n.fired_late
                     ELSE risen.detail ->> 'is_late' END, 'false')::boolean AS is_late
FROM newest n
LEFT JOIN LATERAL (
    SELECT detail FROM alert_event WHERE alert_id = n.id AND event = 'raised'
    ORDER BY id DESC LIMIT 1
) risen ON true
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(uid ORDER BY uid, component_id), '{}') AS uids,
           coalesce(array_agg(component_id ORDER BY uid, component_id), '{}') AS component_ids
    FROM alert_evidence WHERE alert_id = n.id
) e
"""

_INSERT_ALERT = """
INSERT INTO alert (id, patient_id, gateway_id, unit_id, rule, rule_version, severity, opened_at,
                   measured_at, text_sv, text_en, why, inputs)
VALUES (%(id)s, %(patient)s, %(gateway)s, %(unit)s, %(rule)s, %(rule_version)s, %(severity)s,
        %(at)s, %(measured_at)s, %(sv)s, %(en)s, %(why)s, %(inputs)s::jsonb)
ON CONFLICT (id) DO NOTHING
"""

_UPDATE_ALERT = """
UPDATE alert
SET severity = %(severity)s, handling = %(handling)s, condition = %(condition)s,
    measured_at = %(measured_at)s, owner_id = %(owner)s, closed_at = %(closed_at)s,
    outcome = %(outcome)s, text_sv = %(sv)s, text_en = %(en)s, version = %(version)s
WHERE id = %(id)s
"""
