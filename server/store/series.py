"""A patient's values over time: for the charts and for the table beside them.

What a device says of itself is no value of the person's: a battery at 55 % must never be read as an
oxygen saturation. It is left out unless it is asked for, and stands with the device instead
(``bound_devices``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from alerts.standing import NO_READING
from devices.kinds import KINDS
from server.store.database import Transaction
from server.store.patients import VISIBLE_PATIENTS, Reach

EQUIPMENT_KINDS = (KINDS["battery"].number,)


@dataclass(frozen=True, slots=True)
class Point:
    """One result of one component: a number, or that it lies beyond its device's range.

    ``absent`` is which infinity it was instead of a number.
    """

    component_id: int
    measured_at: datetime
    value: float | None
    absent: str | None = None


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

    @property
    def is_seen_by_being_listed(self) -> bool:
        """Return whether its home waits to be told "sett": a person's value that it sent."""
        return self.gateway_id is not None and self.kind_id not in EQUIPMENT_KINDS


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which measurements: one patient's, measured since a time, with or without what devices say
    of themselves.
    """

    patient_id: int
    since: datetime
    with_equipment: bool = False

    def bind(self) -> dict[str, object]:
        """Return the parameters that the statements name."""
        return {
            "patient_id": self.patient_id,
            "since": self.since,
            "with_equipment": self.with_equipment,
            "equipment": list(EQUIPMENT_KINDS),
        }


async def points(
    tx: Transaction,
    reach: Reach,
    patient_id: int,
    *,
    component_ids: Sequence[int],
    since: datetime,
    until: datetime,
) -> list[Point]:
    """Return the results of those components measured in [since, until], oldest first.

    Without what is no reading (alerts/standing.py): a curve of readings must not pass through a
    demonstration. The table beside it has them all.
    """
    async with tx.cursor(row_factory=class_row(Point)) as cursor:
        await cursor.execute(
            "SELECT component_id, measured_at, value, absent FROM observation o"
            " WHERE patient_id = %(patient_id)s AND component_id = ANY(%(components)s)"
            " AND measured_at BETWEEN %(since)s AND %(until)s"
            " AND (value IS NOT NULL OR absent IN ('pos_inf', 'neg_inf'))"
            f" AND patient_id IN {VISIBLE_PATIENTS}"
            # Looked for among the few that do not count (measurement_uncounted_patient).
            " AND NOT EXISTS (SELECT FROM measurement m WHERE m.uid = o.uid"
            "  AND m.patient_id = %(patient_id)s AND m.measured_at = o.measured_at"
            "  AND m.measured_at BETWEEN %(since)s AND %(until)s"
            "  AND NOT is_counted(m.flags) AND m.flags && %(no_reading)s::text[])"
            " ORDER BY measured_at, component_id",
            {
                "no_reading": sorted(NO_READING),
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
      AND (%(with_equipment)s OR m.kind_id IS NULL OR m.kind_id <> ALL(%(equipment)s::smallint[]))
"""


async def values_page(
    tx: Transaction, reach: Reach, wanted: Wanted, *, limit: int, offset: int
) -> list[ValueRow]:
    """Return measurements, newest first, at most ``limit`` from ``offset``."""
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
            {"limit": limit, "offset": offset} | wanted.bind() | reach.bind(),
        )
        return await cursor.fetchall()


async def count_values(tx: Transaction, reach: Reach, wanted: Wanted) -> int:
    """Return how many measurements :func:`values_page` pages through."""
    async with tx.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(f"SELECT count(*) {_VALUES}", wanted.bind() | reach.bind())
        return int(await cursor.fetchone() or 0)
