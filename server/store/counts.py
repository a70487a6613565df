"""How much the store holds, for operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from devices.kinds import KINDS
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


@dataclass(frozen=True, slots=True)
class Copies:
    """How many measurements carry a uid (0: not there), and whether they are a person's value.

    What a device says of itself, its battery, is no value of a person.
    """

    number: int
    is_of_person: bool


async def copies_of(tx: Transaction, uids: Sequence[str]) -> dict[str, Copies]:
    """Return the copies of each of these uids (32 hex digits)."""
    cursor = await tx.execute(
        "SELECT replace(wanted.uid::text, '-', ''), count(m.uid),"
        " coalesce(bool_and(m.kind_id <> %s), false)"
        " FROM unnest(%s::uuid[]) AS wanted (uid) LEFT JOIN measurement m ON m.uid = wanted.uid"
        " GROUP BY wanted.uid",
        (KINDS["battery"].number, list(dict.fromkeys(uids))),
    )
    return {uid: Copies(number, of_person) for uid, number, of_person in await cursor.fetchall()}
