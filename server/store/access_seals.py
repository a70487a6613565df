"""The access log made verifiable: seals over its lines, each resting on the one before.

A seal is made from time to time, not with each line: a chain through the lines would let every page
wait for the page before. What was written and changed between two seals is not found, nor is a log
whose newest seals were taken away with their lines: keep the newest seal's chain elsewhere (a
backup's manifest counts and digests them, and ``hemma audit verify`` prints it).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from server.store.database import Transaction

# Lines in one seal: what one transaction reads in about a second.
LINES_MAX = 100_000
# A seal waits so long for those who are writing; the next hour will do as well.
LOCK_WAIT_MAX_MS = 2_000
_DOMAIN = b"hemma-access-seal-v1\0"


class Fault(StrEnum):
    """What is not as it was sealed."""

    LINES = "lines"
    CHAIN = "chain"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class SealFault:
    """The lines ``first_id`` to ``last_id`` of seal ``seal`` are not as they were sealed (LINES),
    the seal itself is not (CHAIN), or it is not there (MISSING).
    """

    seal: int
    fault: Fault
    first_id: int | None = None
    last_id: int | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """What a look at all seals found.

    ``pruned`` seals hold lines that a rule of retention has removed: of those only the chain is
    checked. ``unsealed`` lines came after the newest seal, whose chain is ``head`` (hex, or None).
    """

    seals: int
    lines: int
    pruned: int
    unsealed: int
    head: str | None
    faults: tuple[SealFault, ...]


async def seal(tx: Transaction, *, at: datetime) -> int:
    """Seal the next lines, at most :data:`LINES_MAX`; return how many, 0 when none are new.

    Waits for who is writing a line just now, so that none slips in behind the seal; raises
    DatabaseUnavailable when that takes longer than :data:`LOCK_WAIT_MAX_MS`.
    """
    await tx.execute("SELECT set_config('lock_timeout', %s, true)", (str(LOCK_WAIT_MAX_MS),))
    await tx.execute("LOCK TABLE access_log IN SHARE MODE")
    cursor = await tx.execute("SELECT id, last_id, chain FROM access_seal ORDER BY id DESC LIMIT 1")
    number, last_id, chain = await cursor.fetchone() or (0, 0, b"")
    cursor = await tx.execute(_NEXT, {"after": last_id, "limit": LINES_MAX})
    row = await cursor.fetchone()
    assert row is not None, "an aggregate always answers"
    rows, first, last, first_at, digest = row
    if not rows:
        return 0
    await tx.execute(
        "INSERT INTO access_seal (id, first_id, last_id, first_at, rows, digest, chain, made_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (
            number + 1, first, last, first_at, rows, digest,
            _chain(chain, number + 1, first, last, rows, digest), at,
        ),
    )  # fmt: skip
    return int(rows)


async def verify(tx: Transaction) -> Verified:
    """Make every seal anew and compare it with the one that was made then."""
    cursor = await tx.execute(
        "SELECT max(older_than) FROM pruned WHERE kind_id IS NULL AND rows > 0"
    )
    row = await cursor.fetchone()
    pruned_before: datetime | None = None if row is None else row[0]
    cursor = await tx.execute(
        "SELECT id, first_id, last_id, first_at, rows, digest, chain FROM access_seal ORDER BY id"
    )
    faults: list[SealFault] = []
    chain, lines, pruned, number, end = b"", 0, 0, 0, 0
    for seal_id, first, last, first_at, rows, digest, stored in await cursor.fetchall():
        faults += [SealFault(gone, Fault.MISSING) for gone in range(number + 1, seal_id)]
        if _chain(chain, seal_id, first, last, rows, digest) != stored:
            faults.append(SealFault(seal_id, Fault.CHAIN))
        if pruned_before is not None and first_at < pruned_before:
            pruned += 1
        elif await _lines(tx, end, last) != (rows, digest):
            faults.append(SealFault(seal_id, Fault.LINES, first, last))
        chain, lines, number, end = stored, lines + rows, seal_id, last
    cursor = await tx.execute("SELECT count(*) FROM access_log WHERE id > %s", (end,))
    (unsealed,) = await cursor.fetchone() or (0,)
    return Verified(number, lines, pruned, unsealed, chain.hex() or None, tuple(faults))


async def _lines(tx: Transaction, after: int, last: int) -> tuple[int, bytes]:
    """Return count and digest of the lines after one number up to another; nothing lies between."""
    cursor = await tx.execute(_BETWEEN, {"after": after, "last": last})
    row = await cursor.fetchone()
    assert row is not None, "an aggregate always answers"
    return row[0], row[4]


def _chain(before: bytes, number: int, first: int, last: int, rows: int, digest: bytes) -> bytes:
    said = f"{number} {first} {last} {rows} ".encode()
    return sha256(_DOMAIN + before + said + digest).digest()


# The columns by name, so that a new one does not change what was sealed.
_SUMMED = """
SELECT count(*)::int, min(l.id), max(l.id), min(l.at),
       sha256(coalesce(string_agg(sha256(convert_to(jsonb_build_array(
           l.id, extract(epoch FROM l.at), l.staff_id, l.login, l.assignment_id, l.unit_id, l.role,
           l.address, l.action, l.target, l.patient_id, l.outcome, l.reason)::text, 'UTF8')), ''
           ORDER BY l.id), ''))
"""
_NEXT = f"""
{_SUMMED} FROM (SELECT * FROM access_log WHERE id > %(after)s ORDER BY id LIMIT %(limit)s) l
"""
_BETWEEN = f"{_SUMMED} FROM access_log l WHERE l.id > %(after)s AND l.id <= %(last)s"
