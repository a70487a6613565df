"""What happened around measuring in a person's home: what is no value, and still somebody's to see.

An event is given to a person by the same bindings as a value (``items.py``). A device that says the
same each hour must not push out what was said once, so equal events of one device are one row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg.rows import class_row

from server.store.database import Transaction
from server.store.patients import VISIBLE_PATIENTS, Reach

SHOWN = timedelta(days=14)
# A home may be out of contact for long: what it tells afterwards is new to whoever reads it.
LATE_MAX = timedelta(days=90)
# More than one gateway's count of repetitions can honestly be.
TIMES_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class HomeEvent:
    """Equal events of one device about one kind of value.

    ``at``, ``measured_how``, ``flags`` and ``context`` are the newest one's, ``first_at`` is the
    oldest one's time. ``times`` counts also those that the gateway only counted.
    """

    event: str
    kind_id: int | None
    device: str
    model: str
    at: datetime
    first_at: datetime
    measured_how: str
    flags: list[str]
    context: dict[str, object]
    times: int


async def of_patient(
    tx: Transaction, reach: Reach, patient_id: int, *, at: datetime, limit: int
) -> list[HomeEvent]:
    """Return what happened, or was first told here, in the last :data:`SHOWN`, newest first.

    Nothing for another unit's patient.
    """
    async with tx.cursor(row_factory=class_row(HomeEvent)) as cursor:
        await cursor.execute(
            _OF_PATIENT,
            {
                "patient_id": patient_id,
                "since": at - SHOWN,
                "oldest": at - LATE_MAX,
                "times_max": TIMES_MAX,
                "limit": limit,
            }
            | reach.bind(),
        )
        return await cursor.fetchall()


_OF_PATIENT = f"""
WITH told AS (
    SELECT m.*, 1 + CASE WHEN jsonb_typeof(m.context -> 'also_times') = 'number'
                         THEN least(greatest((m.context ->> 'also_times')::numeric, 0),
                                    %(times_max)s)::bigint
                         ELSE 0 END AS times
    FROM measurement m
    WHERE m.patient_id = %(patient_id)s AND m.patient_id IN {VISIBLE_PATIENTS}
      AND m.type = 'event' AND m.measured_at >= %(oldest)s
      AND (m.measured_at >= %(since)s OR m.stored_at >= %(since)s)
), equal AS (
    SELECT DISTINCT ON (t.event, t.kind_id, t.device_id)
           t.*, min(t.measured_at) OVER same AS first_at, (sum(t.times) OVER same)::bigint AS total
    FROM told t
    WINDOW same AS (PARTITION BY t.event, t.kind_id, t.device_id)
    ORDER BY t.event, t.kind_id, t.device_id, t.measured_at DESC, t.received_seq DESC
)
SELECT coalesce(e.event, '') AS event, e.kind_id, coalesce(d.name, '') AS device,
       coalesce(d.model, '') AS model, e.measured_at AS at, e.first_at, e.measured_how, e.flags,
       e.context, e.total AS times
FROM equal e LEFT JOIN device d ON d.id = e.device_id
ORDER BY e.measured_at DESC, e.received_seq DESC LIMIT %(limit)s
"""
