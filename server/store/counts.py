"""How much the store holds, for operators."""

from __future__ import annotations

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
