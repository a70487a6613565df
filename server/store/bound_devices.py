"""The devices that are a person's now: what each said of itself, and when it last measured."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from devices.kinds import KINDS
from server.store.database import Transaction
from server.store.patients import VISIBLE_PATIENTS, Reach
from server.store.series import EQUIPMENT_KINDS


@dataclass(frozen=True, slots=True)
class BoundDevice:
    """One device. ``battery_percent`` and ``battery_at`` are None where it never told its battery,
    ``kind_id`` and ``measured_at`` where no value of the person's has come from it.
    """

    name: str
    model: str
    battery_percent: float | None
    battery_at: datetime | None
    kind_id: int | None
    measured_at: datetime | None


async def bound_to(
    tx: Transaction, reach: Reach, patient_id: int, *, at: datetime
) -> list[BoundDevice]:
    """Return the devices bound to a patient at ``at``, by model."""
    async with tx.cursor(row_factory=class_row(BoundDevice)) as cursor:
        await cursor.execute(
            _BOUND,
            {
                "patient_id": patient_id,
                "at": at,
                "battery": KINDS["battery"].named("battery").number,
                "equipment": list(EQUIPMENT_KINDS),
            }
            | reach.bind(),
        )
        return await cursor.fetchall()


# A battery is told in an item of its own and in the gateway's hourly status: the newer one counts.
# What is dated after now is a wrong clock's and would stand there for ever.
_BOUND = f"""
SELECT d.name, d.model, battery.percent AS battery_percent, battery.at AS battery_at,
       newest.kind_id, newest.measured_at
FROM (SELECT DISTINCT b.device_id FROM binding b
      WHERE b.patient_id = %(patient_id)s AND b.valid @> %(at)s::timestamptz
        AND b.patient_id IN {VISIBLE_PATIENTS}) own
JOIN device d ON d.id = own.device_id
LEFT JOIN LATERAL (
    SELECT told.percent, told.at
    FROM ((SELECT o.value AS percent, o.measured_at AS at FROM observation o
           WHERE o.patient_id = %(patient_id)s AND o.component_id = %(battery)s
             AND o.device_id = d.id AND o.value IS NOT NULL
             AND o.measured_at <= %(at)s::timestamptz + INTERVAL '10 minutes'
           ORDER BY o.measured_at DESC LIMIT 1)
          UNION ALL
          SELECT d.battery::float8, d.battery_at WHERE d.battery IS NOT NULL) told
    ORDER BY told.at DESC NULLS LAST LIMIT 1
) battery ON true
LEFT JOIN LATERAL (
    SELECT m.kind_id, m.measured_at FROM measurement m
    WHERE m.patient_id = %(patient_id)s AND m.device_id = d.id AND m.type = 'value'
      AND m.kind_id <> ALL(%(equipment)s::smallint[])
    ORDER BY m.measured_at DESC LIMIT 1
) newest ON true
ORDER BY d.model, d.name
"""
