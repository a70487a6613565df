"""What waits for someone at a unit, and what has waited for a patient.

Order is the nurse's: worst first, then the one who has waited longest.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from server.store.cited import EvidenceRow
from server.store.database import Transaction
from server.store.patients import VISIBLE_ALERT, VISIBLE_PATIENTS, Reach


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One alert as people see it. ``public_id`` and the names are None for a technical alert.

    Names and year of birth are None, too, for a person with protected identity: alerts are listed.

    ``received_at`` is when its newest evidence was stored; None where no value is cited.
    ``taken_at`` is set while somebody has it. ``concerns`` names the people whose values come
    through the gateway of a technical alert, ``concerns_protected`` those of them with protected
    identity. ``inputs`` is everything that was decided from when the alert was last raised, or
    fired: JSON as it stands in the database, which may be damaged; ``text_sv``, ``why`` and
    ``is_late`` are of that moment, too. ``risen_at`` is when. ``evidence_changed``: a value that it
    cites is not the person's any more.
    """

    id: UUID
    public_id: UUID | None
    patient_id: int | None
    given_name: str | None
    family_name: str | None
    birth_year: int | None
    protected: bool | None
    matters_text: str | None
    gateway_name: str | None
    concerns: str | None
    concerns_protected: list[UUID] | None
    severity: str
    handling: str
    condition: str
    opened_at: datetime
    measured_at: datetime
    received_at: datetime | None
    owner_id: int | None
    owner_name: str | None
    taken_at: datetime | None
    closed_at: datetime | None
    outcome: str | None
    text_sv: str
    text_en: str
    why: str
    rule: str
    inputs: Any
    is_late: bool
    risen_at: datetime
    evidence_changed: bool
    version: int

    @property
    def is_high(self) -> bool | None:
        """Whether the rule looks at what is too high; None where what it keeps is damaged."""
        rule = self.inputs.get("rule") if isinstance(self.inputs, dict) else None
        return rule.get("direction") == "high" if isinstance(rule, dict) else None

    @property
    def device(self) -> str | None:
        """The device of an alert about an unassigned value; it is part of the lineage."""
        lineage, _, name = self.rule.partition("/")
        return name if name and lineage.startswith("unassigned.") else None

    @property
    def needs_attention(self) -> bool:
        """Whether it was raised after somebody took it, and nobody has taken it since."""
        return self.handling == "open" and self.owner_id is not None


@dataclass(frozen=True, slots=True)
class OwnLimitRow:
    """A person's own bounds for one component, in force when an alert fired; who set them and why.

    A bound that is None is not the person's own.
    """

    alert_id: UUID
    component_id: int
    red_low: float | None
    yellow_low: float | None
    yellow_high: float | None
    red_high: float | None
    set_by: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class EventRow:
    """One thing that happened to an alert, and by whom (None: the engine).

    ``detail`` is JSON as it stands in the database, which may be damaged.
    """

    alert_id: UUID
    at: datetime
    event: str
    by: str | None
    detail: Any


# A raised alert stands by what raised it.
_RISEN = """
    LEFT JOIN LATERAL (
        SELECT e.at, e.detail FROM alert_event e WHERE e.alert_id = a.id AND e.event = 'raised'
        ORDER BY e.id DESC LIMIT 1
    ) risen ON true
"""

_ALERT = f"""
    SELECT a.id, p.public_id, a.patient_id, p.protected,
           CASE WHEN NOT p.protected THEN p.given_name END AS given_name,
           CASE WHEN NOT p.protected THEN p.family_name END AS family_name,
           CASE WHEN NOT p.protected THEN p.birth_year END AS birth_year,
           p.matters_text, g.name AS gateway_name, near.names AS concerns,
           near.handles AS concerns_protected,
           a.severity, a.handling, a.condition, a.opened_at, a.measured_at,
           arrived.at AS received_at, a.owner_id, t.display_name AS owner_name,
           taken.at AS taken_at, a.closed_at, a.outcome, a.text_sv, a.text_en, a.rule,
           a.version, coalesce(risen.at, a.opened_at) AS risen_at,
           coalesce(risen.detail ->> 'why', a.why) AS why,
           coalesce(nullif(risen.detail -> 'inputs', 'null'), a.inputs) AS inputs,
           EXISTS (SELECT FROM alert_event e WHERE e.alert_id = a.id
                   AND e.event = 'evidence_changed') AS evidence_changed,
           coalesce(CASE WHEN risen.at IS NULL THEN a.inputs ->> 'is_late'
                         ELSE risen.detail ->> 'is_late' END = 'true', false) AS is_late
    FROM alert a
    LEFT JOIN patient p ON p.id = a.patient_id
    LEFT JOIN gateway g ON g.id = a.gateway_id
    LEFT JOIN staff t ON t.id = a.owner_id
    LEFT JOIN LATERAL (
        SELECT string_agg(DISTINCT q.given_name || ' ' || q.family_name, ', ')
                   FILTER (WHERE NOT q.protected) AS names,
               array_agg(DISTINCT q.public_id) FILTER (WHERE q.protected) AS handles
        FROM binding b JOIN patient q ON q.id = b.patient_id
        WHERE a.patient_id IS NULL AND b.gateway_id = a.gateway_id AND b.valid @> a.opened_at
          AND b.patient_id IN {VISIBLE_PATIENTS}
    ) near ON true
    LEFT JOIN LATERAL (
        SELECT m.stored_at AS at FROM alert_evidence e
        JOIN measurement m ON m.uid = e.uid AND m.measured_at = e.measured_at
        WHERE e.alert_id = a.id ORDER BY e.measured_at DESC LIMIT 1
    ) arrived ON true
    LEFT JOIN LATERAL (
        SELECT e.at FROM alert_event e
        WHERE e.alert_id = a.id AND e.event = 'taken' AND a.owner_id IS NOT NULL
        ORDER BY e.id DESC LIMIT 1
    ) taken ON true
    {_RISEN}
"""

_ORDER = """
    ORDER BY CASE a.severity WHEN 'red' THEN 0 WHEN 'yellow' THEN 1 ELSE 2 END, a.opened_at, a.id
"""


async def open_alerts(
    tx: Transaction, reach: Reach, *, limit: int, offset: int = 0
) -> list[AlertRow]:
    """Return the unit's open alerts: red, yellow, blue; the oldest first within each."""
    async with tx.cursor(row_factory=class_row(AlertRow)) as cursor:
        await cursor.execute(
            f"{_ALERT} WHERE a.handling <> 'closed' AND {VISIBLE_ALERT} {_ORDER}"
            " LIMIT %(limit)s OFFSET %(offset)s",
            {"limit": limit, "offset": offset} | reach.bind(),
        )
        return await cursor.fetchall()


async def count_open(tx: Transaction, reach: Reach) -> int:
    """Return how many alerts of the unit are not closed."""
    async with tx.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            f"SELECT count(*) FROM alert a WHERE a.handling <> 'closed' AND {VISIBLE_ALERT}",
            reach.bind(),
        )
        return int(await cursor.fetchone() or 0)


async def find_alert(tx: Transaction, reach: Reach, alert_id: UUID) -> AlertRow | None:
    """Return one alert, or None when there is none within reach."""
    async with tx.cursor(row_factory=class_row(AlertRow)) as cursor:
        await cursor.execute(
            f"{_ALERT} WHERE a.id = %(alert_id)s AND {VISIBLE_ALERT}",
            {"alert_id": alert_id} | reach.bind(),
        )
        return await cursor.fetchone()


async def alerts_of(
    tx: Transaction, reach: Reach, patient_id: int, *, since: datetime, limit: int = 200
) -> list[AlertRow]:
    """Return a patient's alerts that are open or fired since a time, newest first."""
    async with tx.cursor(row_factory=class_row(AlertRow)) as cursor:
        await cursor.execute(
            f"{_ALERT} WHERE a.patient_id = %(patient_id)s AND {VISIBLE_ALERT}"
            " AND (a.handling <> 'closed' OR a.opened_at >= %(since)s)"
            " ORDER BY a.opened_at DESC, a.id LIMIT %(limit)s",
            {"patient_id": patient_id, "since": since, "limit": limit} | reach.bind(),
        )
        return await cursor.fetchall()


async def evidence_of(
    tx: Transaction, reach: Reach, alert_ids: list[UUID]
) -> dict[UUID, list[EvidenceRow]]:
    """Return the samples that those alerts cite, oldest first, by alert."""
    async with tx.cursor(row_factory=class_row(EvidenceRow)) as cursor:
        await cursor.execute(
            "SELECT e.alert_id, e.uid, e.component_id, e.measured_at, e.value, e.beyond,"
            " coalesce(m.flags, '{}') AS marks FROM alert_evidence e"
            " LEFT JOIN measurement m ON m.uid = e.uid AND m.measured_at = e.measured_at"
            f" JOIN alert a ON a.id = e.alert_id AND {VISIBLE_ALERT}"
            " WHERE e.alert_id = ANY(%(ids)s) ORDER BY e.measured_at, e.component_id",
            {"ids": alert_ids} | reach.bind(),
        )
        rows = await cursor.fetchall()
    found: dict[UUID, list[EvidenceRow]] = {alert_id: [] for alert_id in alert_ids}
    for row in rows:
        found[row.alert_id].append(row)
    return found


async def own_limits_of(
    tx: Transaction, reach: Reach, alert_ids: list[UUID]
) -> dict[UUID, dict[int, OwnLimitRow]]:
    """Return the person's own limits as each alert fired or was raised, by alert and component."""
    async with tx.cursor(row_factory=class_row(OwnLimitRow)) as cursor:
        await cursor.execute(
            "SELECT a.id AS alert_id, l.component_id, l.red_low, l.yellow_low, l.yellow_high,"
            " l.red_high, l.set_by, l.reason, lower(l.valid) AS since"
            f" FROM alert a {_RISEN}"
            " JOIN patient_limit l ON l.patient_id = a.patient_id"
            " AND l.valid @> coalesce(risen.at, a.opened_at)"
            f" WHERE a.id = ANY(%(ids)s) AND {VISIBLE_ALERT} ORDER BY l.id",
            {"ids": alert_ids} | reach.bind(),
        )
        rows = await cursor.fetchall()
    found: dict[UUID, dict[int, OwnLimitRow]] = {alert_id: {} for alert_id in alert_ids}
    for row in rows:
        found[row.alert_id][row.component_id] = row
    return found


async def events_of(
    tx: Transaction, reach: Reach, alert_ids: list[UUID]
) -> dict[UUID, list[EventRow]]:
    """Return what happened to those alerts, oldest first, by alert."""
    async with tx.cursor(row_factory=class_row(EventRow)) as cursor:
        await cursor.execute(
            "SELECT e.alert_id, e.at, e.event, t.display_name AS by, e.detail FROM alert_event e"
            f" JOIN alert a ON a.id = e.alert_id AND {VISIBLE_ALERT}"
            " LEFT JOIN staff t ON t.id = e.staff_id"
            " WHERE e.alert_id = ANY(%(ids)s) ORDER BY e.id",
            {"ids": alert_ids} | reach.bind(),
        )
        rows = await cursor.fetchall()
    found: dict[UUID, list[EventRow]] = {alert_id: [] for alert_id in alert_ids}
    for row in rows:
        found[row.alert_id].append(row)
    return found
