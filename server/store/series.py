"""A patient's values over time: for the charts and for the table beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from server.store.database import Transaction
from server.store.patients import VISIBLE_PATIENTS, Reach


@dataclass(frozen=True, slots=True)
class Point:
    """One number of one component."""

    component_id: int
    measured_at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class ValueRow:
    """One measurement as the table shows it, with its components side by side.

    ``stored_at`` is when it arrived here. ``entered_by`` names the person who wrote it by hand.
    ``gateway_id`` is None for what a person wrote.
    """

    uid: UUID
    kind_id: int | None
    measured_at: datetime
    measured_how: str
    stored_at: datetime
    device_model: str
    gateway_id: int | None
    entered_by: str | None
    flags: list[str]
    context: dict[str, object]
    component_ids: list[int]
    values: list[float | None]
    absents: list[str | None]


async def points(
    tx: Transaction,
    reach: Reach,
    patient_id: int,
    *,
    component_ids: Sequence[int],
    since: datetime,
    until: datetime,
) -> list[Point]:
    """Return the numbers of those components measured in [since, until], oldest first."""
    async with tx.cursor(row_factory=class_row(Point)) as cursor:
        await cursor.execute(
            "SELECT component_id, measured_at, value FROM observation"
            " WHERE patient_id = %(patient_id)s AND component_id = ANY(%(components)s)"
            " AND measured_at BETWEEN %(since)s AND %(until)s AND value IS NOT NULL"
            f" AND patient_id IN {VISIBLE_PATIENTS} ORDER BY measured_at",
            {
                "patient_id": patient_id,
                "components": list(component_ids),
                "since": since,
                "until": until,
            }
            | reach.bind(),
        )
        return await cursor.fetchall()


_VALUES = f"""
    FROM measurement m
    WHERE m.patient_id = %(patient_id)s AND m.patient_id IN {VISIBLE_PATIENTS}
      AND m.type = 'value' AND m.measured_at >= %(since)s
"""


async def values_page(
    tx: Transaction, reach: Reach, patient_id: int, *, since: datetime, limit: int, offset: int
) -> list[ValueRow]:
    """Return measurements since a time, newest first, at most ``limit`` from ``offset``."""
    async with tx.cursor(row_factory=class_row(ValueRow)) as cursor:
        await cursor.execute(
            f"""
            WITH shown AS (
                SELECT m.* {_VALUES}
                ORDER BY m.measured_at DESC, m.received_seq DESC LIMIT %(limit)s OFFSET %(offset)s
            )
            SELECT s.uid, s.kind_id, s.measured_at, s.measured_how, s.stored_at,
                   coalesce(d.model, '') AS device_model, s.gateway_id,
                   t.display_name AS entered_by, s.flags, s.context,
                   o.component_ids, o.values, o.absents
            FROM shown s
            LEFT JOIN device d ON d.id = s.device_id
            LEFT JOIN staff t ON t.id = s.entered_by
            CROSS JOIN LATERAL (
                SELECT coalesce(array_agg(v.component_id ORDER BY v.component_id), '{{}}')
                           AS component_ids,
                       coalesce(array_agg(v.value ORDER BY v.component_id), '{{}}') AS values,
                       coalesce(array_agg(v.absent ORDER BY v.component_id), '{{}}') AS absents
                FROM observation v
                WHERE v.patient_id = s.patient_id AND v.measured_at = s.measured_at
                  AND v.uid = s.uid
            ) o
            ORDER BY s.measured_at DESC, s.received_seq DESC
            """,
            {"patient_id": patient_id, "since": since, "limit": limit, "offset": offset}
            | reach.bind(),
        )
        return await cursor.fetchall()


async def count_values(tx: Transaction, reach: Reach, patient_id: int, *, since: datetime) -> int:
    """Return how many measurements :func:`values_page` pages through."""
    async with tx.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            f"SELECT count(*) {_VALUES}",
            {"patient_id": patient_id, "since": since} | reach.bind(),
        )
        return int(await cursor.fetchone() or 0)
