"""Writing the access log.

What is logged (PDL, HSLF-FS 2016:40 ch. 4): action, time, person, assignment with unit and role,
patient, and for a refused try its reason. Never a name typed by someone who has no account: people
type passwords into that field.
"""

from __future__ import annotations

from server.store import access_log
from server.store.access_log import Entry
from server.store.database import Transaction


async def record(tx: Transaction, entry: Entry) -> None:
    """Write one line in the caller's transaction: kept or lost together with what it tells of."""
    assert (entry.outcome == "refused") == bool(entry.reason), (
        "a refusal has a reason, a grant none"
    )
    await access_log.append(tx, entry)
