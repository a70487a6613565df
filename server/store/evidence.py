"""What alerts cite, when it turns out to be another person's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from alerts.lifecycle import Event, Happened
from server.store import alerts
from server.store.database import Transaction


async def left(tx: Transaction, moved: Sequence[tuple[UUID, int | None]], *, at: datetime) -> None:
    """Say in each alert of a person that a value it cites is not that person's any more.

    ``moved``: the values' uids, and whose they were. Nothing else changes: the alert stays with its
    severity and its owner, until a person closes it. Call it when the values have moved.
    """
    whose = {"uids": [uid for uid, _ in moved], "patients": [patient for _, patient in moved]}
    cursor = await tx.execute(_CITING, whose)
    found = await cursor.fetchall()
    for alert_id, _ in found:
        await alerts.append(tx, alert_id, [Event(at, Happened.EVIDENCE_CHANGED)])
    await alerts.tell(tx, [unit_id for _, unit_id in found])


_CITING = """
SELECT a.id, a.unit_id FROM alert a
WHERE a.id IN (
    SELECT e.alert_id
    FROM unnest(%(uids)s::uuid[], %(patients)s::int[]) AS m (uid, patient)
    JOIN alert_evidence e ON e.uid = m.uid JOIN alert own ON own.id = e.alert_id
    WHERE own.patient_id = m.patient)
ORDER BY a.id FOR UPDATE
"""
