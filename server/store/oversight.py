"""What an administrator looks after.

The gateways of the care provider, and values without a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from server.store.database import Transaction
from server.store.patients import UNITS_OF_PROVIDER, Reach


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """One gateway; the times are the server's clock."""

    name: str
    unit_name: str
    state: str
    state_reason: str | None
    state_since: datetime | None
    last_heard_at: datetime | None


@dataclass(frozen=True, slots=True)
class UnassignedRow:
    """One value or ``event`` that belongs to nobody, and why. A value itself is not shown here."""

    measured_at: datetime
    stored_at: datetime
    kind_id: int | None
    event: str | None
    device: str
    gateway: str
    reason: str


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """One message or item that could not be read, and why. Its content is not shown here."""

    at: datetime
    last_at: datetime
    times: int
    gateway: str
    reason: str
    detail: str


async def gateways(tx: Transaction, reach: Reach) -> list[GatewayRow]:
    """Return the provider's gateways: those that are not online first."""
    async with tx.cursor(row_factory=class_row(GatewayRow)) as cursor:
        await cursor.execute(
            "SELECT g.name, u.name AS unit_name, g.state, g.state_reason, g.state_since,"
            " g.last_heard_at FROM gateway g JOIN unit u ON u.id = g.unit_id"
            f" WHERE g.unit_id IN {UNITS_OF_PROVIDER}"
            " ORDER BY (g.state = 'online'), g.name LIMIT 500",
            reach.bind(),
        )
        return await cursor.fetchall()


async def unassigned(tx: Transaction, reach: Reach, *, limit: int) -> list[UnassignedRow]:
    """Return the newest values without a person that came through the provider's gateways."""
    async with tx.cursor(row_factory=class_row(UnassignedRow)) as cursor:
        await cursor.execute(
            "SELECT m.measured_at, m.stored_at, m.kind_id, m.event, coalesce(d.name, '') AS device,"
            " g.name AS gateway, m.unassigned AS reason FROM measurement m"
            " JOIN gateway g ON g.id = m.gateway_id LEFT JOIN device d ON d.id = m.device_id"
            f" WHERE m.patient_id IS NULL AND g.unit_id IN {UNITS_OF_PROVIDER}"
            " ORDER BY m.measured_at DESC LIMIT %(limit)s",
            {"limit": limit} | reach.bind(),
        )
        return await cursor.fetchall()


async def quarantined(tx: Transaction, reach: Reach, *, limit: int) -> list[QuarantineRow]:
    """Return the newest of what could not be read, from the provider's gateways or unknown ones.

    An unknown gateway is nobody's yet, so that whoever is to enrol it must be able to see it.
    """
    async with tx.cursor(row_factory=class_row(QuarantineRow)) as cursor:
        await cursor.execute(
            "SELECT q.at, q.last_at, q.times, q.gateway, q.reason, q.detail FROM quarantine q"
            " LEFT JOIN gateway g ON g.name = q.gateway"
            f" WHERE g.id IS NULL OR g.unit_id IN {UNITS_OF_PROVIDER}"
            " ORDER BY q.id DESC LIMIT %(limit)s",
            {"limit": limit} | reach.bind(),
        )
        return await cursor.fetchall()
