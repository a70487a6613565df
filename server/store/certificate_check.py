"""Are the certificates still true: what was certified of each day, compared with what is there now.

A row that was deleted, added or given another ``uid`` is found, and so is a certificate that was
changed itself: each one's chain rests on the one before.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from itertools import chain
from uuid import UUID

from devices import wire
from devices.wire import CertifiedRange
from server.store import certificates
from server.store.certificates import Rows
from server.store.database import Transaction

# More would say no more.
DIFFERENCES_MAX = 1000
_BEYOND = 2**63


class Fault(StrEnum):
    """What is not as it was certified."""

    GONE = "gone"
    ADDED = "added"
    CHANGED = "changed"
    CHAIN = "chain"


@dataclass(frozen=True, slots=True)
class Difference:
    """Numbers ``first`` to ``last`` of ``boot`` that differ; None for CHAIN: the certificate."""

    gateway: str
    day: date
    fault: Fault
    boot: UUID | None = None
    first: int | None = None
    last: int | None = None


async def differences(
    tx: Transaction,
    *,
    gateway: str | None = None,
    since: date | None = None,
    until: date | None = None,
) -> list[Difference]:
    """Make the certificates anew and return where they differ from those made then.

    All gateways, or one; all certified days, or those from ``since`` to ``until``. At most
    :data:`DIFFERENCES_MAX`; the first are the oldest.
    """
    await certificates.allow_time(tx)
    names = dict(await (await tx.execute(_NAMES, {"gateway": gateway})).fetchall())
    if not names:
        return []
    days = await (await tx.execute(_DAYS, {"since": since, "until": until})).fetchall()
    found: list[Difference] = []
    for (day,) in days:
        found += await _of_day(tx, day, names)
        if len(found) >= DIFFERENCES_MAX:
            break
    return found[:DIFFERENCES_MAX]


async def _of_day(tx: Transaction, day: date, names: Mapping[int, str]) -> list[Difference]:
    found: list[Difference] = []
    only = next(iter(names)) if len(names) == 1 else None
    seen: set[int] = set()
    async for gateway_id, rows in certificates.rows_of(tx, day, only):
        seen.add(gateway_id)
        found += await _differences_of(tx, gateway_id, names[gateway_id], day, rows)
    cursor = await tx.execute("SELECT gateway_id FROM certificate WHERE day = %s", (day,))
    for (gateway_id,) in await cursor.fetchall():
        if gateway_id in names and gateway_id not in seen:
            found += await _differences_of(tx, gateway_id, names[gateway_id], day, {})
    return found


async def _differences_of(
    tx: Transaction, gateway_id: int, name: str, day: date, rows: Rows
) -> list[Difference]:
    stored = await certificates.ranges_of(tx, gateway_id, day)
    found = [replace(one, gateway=name, day=day) for one in compare(stored, rows)]
    exact: list[Difference] = []
    for one in found:
        exact += await _narrowed(tx, gateway_id, one) if one.fault is Fault.CHANGED else [one]
    cursor = await tx.execute(_CHAIN_AT, (gateway_id, day))
    row = await cursor.fetchone()
    sealed = None if row is None else row[0]
    before = await certificates.chain_before(tx, gateway_id, day)
    expected = wire.chain_hash(before, name, day, stored) if stored else None
    if sealed != expected:
        exact.append(Difference(name, day, Fault.CHAIN))
    return exact


def compare(stored: Sequence[CertifiedRange], rows: Rows) -> list[Difference]:
    """Return how ``rows`` differ from the ranges certified; gateway and day are left empty."""
    found: list[Difference] = []
    certified: dict[UUID, list[tuple[int, int]]] = {}
    for one in stored:
        boot = UUID(one.boot)
        certified.setdefault(boot, []).append((one.first, one.last))
        there = _between(rows.get(boot, ()), one.first, one.last)
        gone = _holes([seq for seq, _ in there], one.first, one.last)
        found += [_difference(Fault.GONE, boot, *hole) for hole in gone]
        # Where a row is gone nothing can be said of the others: their digest is one.
        if not gone and wire.range_digest(each for _, each in there).hex() != one.digest:
            found.append(_difference(Fault.CHANGED, boot, one.first, one.last))
    for boot, each in rows.items():
        spans = certified.get(boot, [])
        extra = [seq for seq, _ in each if not _is_within(seq, spans)]
        found += [_difference(Fault.ADDED, boot, *span) for span in wire.seq_ranges(extra)]
    return found


def _difference(fault: Fault, boot: UUID, first: int, last: int) -> Difference:
    return Difference("", date.min, fault, boot, first, last)


def _is_within(seq: int, spans: Sequence[tuple[int, int]]) -> bool:
    """Tell whether one of the spans, which ascend and do not overlap, holds ``seq``."""
    place = bisect_right(spans, (seq, _BEYOND)) - 1
    return place >= 0 and seq <= spans[place][1]


def _between(
    rows: Sequence[tuple[int, bytes]], first: int, last: int
) -> Sequence[tuple[int, bytes]]:
    return rows[bisect_left(rows, (first, b"")) : bisect_left(rows, (last + 1, b""))]


def _holes(seqs: Sequence[int], first: int, last: int) -> list[tuple[int, int]]:
    ends = chain(seqs, (last + 1,))
    holes, start = [], first
    for seq in ends:
        if seq > start:
            holes.append((start, seq - 1))
        start = seq + 1
    return holes


async def _narrowed(tx: Transaction, gateway_id: int, one: Difference) -> list[Difference]:
    """Name the rows of a changed range whose uid nobody ever claimed; else leave it whole."""
    start, end = certificates.bounds(one.day)
    parameters = {
        "gateway": gateway_id, "boot": one.boot, "first": one.first, "last": one.last,
        "start": start, "end": end,
    }  # fmt: skip
    cursor = await tx.execute(_UNCLAIMED, parameters)
    seqs = [seq for (seq,) in await cursor.fetchall()]
    assert one.first is not None and one.last is not None, "a range"  # noqa: PT018 - one fact
    if not seqs or len(seqs) > one.last - one.first:
        return [one]
    return [replace(one, first=low, last=high) for low, high in wire.seq_ranges(seqs)]


_CHAIN_AT = "SELECT chain FROM certificate WHERE gateway_id = %s AND day = %s"

_NAMES = """
SELECT id, name FROM gateway WHERE %(gateway)s::text IS NULL OR name = %(gateway)s ORDER BY id
"""

_DAYS = """
SELECT day FROM certified_day
WHERE (%(since)s::date IS NULL OR day >= %(since)s)
  AND (%(until)s::date IS NULL OR day <= %(until)s)
ORDER BY day
"""

_UNCLAIMED = """
WITH there AS MATERIALIZED (
    SELECT m.seq, m.uid FROM measurement m
    WHERE m.stored_at >= %(start)s AND m.stored_at < %(end)s
      AND m.gateway_id = %(gateway)s AND m.boot = %(boot)s AND m.seq BETWEEN %(first)s AND %(last)s
)
SELECT seq FROM there
WHERE uid NOT IN (SELECT c.uid FROM claimed((SELECT array_agg(uid) FROM there)) c)
ORDER BY seq
"""
