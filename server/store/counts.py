"""How much the store holds, for operators."""

from __future__ import annotations

from collections.abc import Sequence

from server.store.database import Transaction

COUNTED = (
    "measurement", "observation", "quarantine", "engine_inbox", "alert", "receipt", "patient",
    "gateway", "device", "binding",
)  # fmt: skip


async def row_counts(tx: Transaction) -> dict[str, int]:
    """Return exact row counts of the main tables, and of the unassigned measurements."""
    parts = [f"(SELECT count(*) FROM {table})" for table in COUNTED]
    parts.append("(SELECT count(*) FROM measurement WHERE patient_id IS NULL)")
    row = await (await tx.execute(f"SELECT {', '.join(parts)}")).fetchone()
    assert row is not None, "one row of counts"
    return dict(zip((*COUNTED, "unassigned"), row, strict=True))


async def copies_of(tx: Transaction, uids: Sequence[str]) -> dict[str, int]:
    """Return how many measurements carry each of these uids (32 hex digits); 0: not there."""
    cursor = await tx.execute(
        "SELECT replace(wanted.uid::text, '-', ''), count(m.uid)"
        " FROM unnest(%s::uuid[]) AS wanted (uid) LEFT JOIN measurement m ON m.uid = wanted.uid"
        " GROUP BY wanted.uid",
        (list(dict.fromkeys(uids)),),
    )
    return dict(await cursor.fetchall())
