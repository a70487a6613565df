"""Sett (contract.md 1): that a person in care saw a value, on its way back to its home."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from server.store.database import Transaction

CHANNEL = "hemma_receipt"


@dataclass(frozen=True, slots=True)
class PendingReceipt:
    """A receipt to be told to a home: which value, when it was seen and by which unit."""

    uid: UUID
    gateway: str
    seen_at: datetime
    unit: str


async def mark_seen(
    tx: Transaction,
    uids: Sequence[str] | Sequence[UUID],
    *,
    staff_id: int,
    unit_id: int,
    at: datetime,
) -> int:
    """Note that a person saw these values; return how many had not been seen before.

    The first to see a value counts. Values that did not come from a gateway have no home to tell.
    """
    cursor = await tx.execute(
        _MARK_SEEN, {"uids": [str(u) for u in uids], "staff": staff_id, "unit": unit_id, "at": at}
    )
    names = [name for (name,) in await cursor.fetchall()]
    for name in sorted(set(names)):
        await tx.execute("SELECT pg_notify(%s, %s)", (CHANNEL, name))
    return len(names)


async def unsent(
    tx: Transaction, *, gateway: str | None = None, limit: int = 500
) -> list[PendingReceipt]:
    """Return receipts not told yet, oldest first; of one gateway, or of all that are online."""
    wanted = (
        "r.sent_at IS NULL AND CASE WHEN %(gateway)s::text IS NULL THEN g.state = 'online' "
        "ELSE g.name = %(gateway)s END"
    )
    return await _select(tx, wanted, {"gateway": gateway, "limit": limit})


async def since(
    tx: Transaction, gateway: str, moment: datetime, *, limit: int = 5000
) -> list[PendingReceipt]:
    """Return one gateway's receipts since ``moment``, and whatever was never told to it."""
    wanted = "g.name = %(gateway)s AND (r.seen_at >= %(moment)s OR r.sent_at IS NULL)"
    return await _select(tx, wanted, {"gateway": gateway, "moment": moment, "limit": limit})


async def mark_sent(tx: Transaction, uids: Sequence[UUID], *, at: datetime) -> None:
    """Note that the broker took these receipts."""
    await tx.execute(
        "UPDATE receipt SET sent_at = %s WHERE uid = ANY(%s) AND sent_at IS NULL", (at, list(uids))
    )


async def _select(
    tx: Transaction, wanted: str, parameters: dict[str, object]
) -> list[PendingReceipt]:
    async with tx.cursor(row_factory=class_row(PendingReceipt)) as cursor:
        await cursor.execute(
            "SELECT r.uid, g.name AS gateway, r.seen_at, u.name AS unit FROM receipt r "
            "JOIN gateway g ON g.id = r.gateway_id JOIN unit u ON u.id = r.unit_id "
            f"WHERE {wanted} ORDER BY r.seen_at, r.uid LIMIT %(limit)s",
            parameters,
        )
        return await cursor.fetchall()


_MARK_SEEN = """
WITH new AS (
    INSERT INTO receipt (uid, gateway_id, seen_at, unit_id, staff_id)
    SELECT m.uid, m.gateway_id, %(at)s, %(unit)s, %(staff)s
    FROM located(%(uids)s::uuid[]) l
    JOIN measurement m ON m.uid = l.uid AND m.measured_at = l.measured_at
    WHERE m.gateway_id IS NOT NULL
    ORDER BY m.uid
    ON CONFLICT (uid) DO NOTHING
    RETURNING gateway_id
)
SELECT g.name FROM new JOIN gateway g ON g.id = new.gateway_id
"""
