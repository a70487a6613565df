"""What is known of gateways and batteries when their silence is judged, and their open alerts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from psycopg.rows import class_row

from server.store.database import Transaction
from server.store.engine_inbox import LOCK_EQUIPMENT

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """A gateway that may be silent, or has an alert about it."""

    id: int
    name: str
    unit_id: int
    offline_since: datetime | None
    last_heard_at: datetime | None
    alert_id: UUID | None
    severity: str | None


@dataclass(frozen=True, slots=True)
class BatteryRow:
    """A patient's device whose battery may be low, or has an alert about it."""

    device: str
    model: str
    percent: int
    read_at: datetime
    patient_id: int
    gateway_id: int | None
    unit_id: int
    alert_id: UUID | None
    severity: str | None


async def take_turn(tx: Transaction) -> bool:
    """Become the one who judges equipment until the transaction ends; False if another does."""
    cursor = await tx.execute("SELECT pg_try_advisory_xact_lock(%s, 0)", (LOCK_EQUIPMENT,))
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def gateways(tx: Transaction, *, now: datetime) -> list[GatewayRow]:
    """Return gateways that are off, have not been heard for an hour, or have an open alert.

    One whose alert a person closed less than three days ago, silent since, is left alone.
    """
    return await _rows(tx, GatewayRow, _GATEWAYS, now)


async def batteries(tx: Transaction, *, now: datetime) -> list[BatteryRow]:
    """Return bound devices at 20 % or less, or with an open alert; spare ones disturb nobody."""
    return await _rows(tx, BatteryRow, _BATTERIES, now)


async def _rows(tx: Transaction, row: type[_T], query: str, now: datetime) -> list[_T]:
    async with tx.cursor(row_factory=class_row(row)) as cursor:
        await cursor.execute(query, {"now": now})
        return await cursor.fetchall()


# Closed by a person while it still was so: the same episode, as for values (EPISODE_S).
_LEFT_ALONE = """
EXISTS (SELECT 1 FROM alert c WHERE {whose} AND c.handling = 'closed' AND c.condition = 'firing'
        AND c.closed_at > %(now)s::timestamptz - INTERVAL '72 hours')
"""

_GATEWAYS = f"""
SELECT g.id, g.name, g.unit_id, CASE WHEN g.state = 'offline' THEN g.state_since END
           AS offline_since, g.last_heard_at, a.id AS alert_id, a.severity
FROM gateway g
LEFT JOIN alert a ON a.gateway_id = g.id AND a.patient_id IS NULL AND a.rule = 'tech.gateway'
    AND a.handling <> 'closed'
WHERE a.id IS NOT NULL
   OR ((g.state = 'offline' OR g.last_heard_at < %(now)s::timestamptz - INTERVAL '1 hour')
       AND NOT {_LEFT_ALONE.format(whose="c.gateway_id = g.id AND c.rule = 'tech.gateway'")})
ORDER BY g.id
"""

_SAME_BATTERY = "c.patient_id = b.patient_id AND c.rule = 'tech.battery/' || d.name"
_BATTERIES = f"""
SELECT DISTINCT ON (d.id) d.name AS device, d.model, d.battery AS percent,
       coalesce(d.battery_at, %(now)s) AS read_at, b.patient_id, b.gateway_id, p.unit_id,
       a.id AS alert_id, a.severity
FROM device d
JOIN binding b ON b.device_id = d.id AND b.valid @> %(now)s::timestamptz
JOIN patient p ON p.id = b.patient_id
LEFT JOIN alert a ON a.patient_id = b.patient_id AND a.rule = 'tech.battery/' || d.name
    AND a.handling <> 'closed'
WHERE d.battery IS NOT NULL AND (a.id IS NOT NULL OR (d.battery <= 20 AND NOT
      {_LEFT_ALONE.format(whose=_SAME_BATTERY)}))
ORDER BY d.id, a.id NULLS LAST, b.id
"""
