"""The daily certificate: what was stored of each gateway on a day, sealed by a chain of digests.

A day is a UTC day by ``stored_at``; it holds the values and events of gateways (clock, retract and
tombstone items are in the ledger only; what a person entered is in the access log). A day is
certified once, when it has been over for :data:`GRACE`, in the order of days, and never again.

The bytes hashed are those of ``devices.wire.certificates``: they vouch for the presence of each row
by its ``uid``, so a corrected time, a flag, another patient or an erased content leave them valid.
What is deleted by law leaves its row hash in ``erased_row``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from devices import wire
from devices.wire import CertifiedRange
from server.store import ledger
from server.store.database import Transaction

# Between the ``stored_at`` of a batch and its commit lie seconds; workers' clocks differ by less.
GRACE = timedelta(hours=1)
# A day of a large site is read in one go; a statement of ingest would long have been given up.
STATEMENT_TIMEOUT_S = 1800
ROWS_AT_ONCE = 5000
_LOCK = 0x68_65_6D_6D_61_02

# (seq, row hash) of each boot, ascending.
Rows = dict[UUID, list[tuple[int, bytes]]]


@dataclass(frozen=True, slots=True)
class Certified:
    """A day that was certified just now: of how many gateways it holds how many rows."""

    day: date
    gateways: int
    rows: int


async def certify_next(
    tx: Transaction, *, now: datetime, until: date | None = None
) -> Certified | None:
    """Certify the first day that is over and is not yet (up to ``until``); None: there is none.

    Call it in a transaction of its own, again until it returns None; harmless to repeat, also by
    two processes at once. It also keeps the ledger from growing old.
    """
    await tx.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    await allow_time(tx)
    last = last_day_over(now) if until is None else min(until, last_day_over(now))
    day = await _next_day(tx)
    if day is None or day > last:
        # Which day is the first of all, the ledger says.
        if day is None or await ledger.is_old(tx, at=now):
            await ledger.fold(tx, at=now)
        day = await _next_day(tx)
        if day is None or day > last:
            return None
    await tx.execute("INSERT INTO certified_day (day, made_at) VALUES (%s, %s)", (day, now))
    names = dict(await (await tx.execute("SELECT id, name FROM gateway")).fetchall())
    gateways = count = 0
    async for gateway_id, rows in rows_of(tx, day, None):
        await _insert(tx, gateway_id, names[gateway_id], day, rows)
        gateways += 1
        count += sum(map(len, rows.values()))
    return Certified(day, gateways, count)


def last_day_over(now: datetime) -> date:
    """Return the newest UTC day that may be certified at ``now``."""
    return (now.astimezone(UTC) - GRACE).date() - timedelta(days=1)


async def certificate(tx: Transaction, gateway: str, day: date) -> wire.Certificate | None:
    """Return what was certified of ``gateway`` on ``day``; None: nothing was."""
    cursor = await tx.execute(_CERTIFICATE, (gateway, day))
    row = await cursor.fetchone()
    if row is None:
        return None
    gateway_id, made_at, count, sealed, previous = row
    return wire.Certificate(
        v=wire.CERTIFICATE_VERSION,
        gateway=gateway,
        day=day,
        made_at=made_at,
        rows=count,
        previous=None if previous is None else previous.hex(),
        chain=sealed.hex(),
        ranges=tuple(await ranges_of(tx, gateway_id, day)),
    )


async def _insert(tx: Transaction, gateway_id: int, name: str, day: date, rows: Rows) -> None:
    ranges = [
        one for boot in sorted(rows, key=lambda b: b.bytes)
        for one in wire.certified_ranges(boot, rows[boot])
    ]  # fmt: skip
    sealed = wire.chain_hash(await chain_before(tx, gateway_id, day), name, day, ranges)
    await tx.execute(
        "INSERT INTO certificate (gateway_id, day, row_count, chain) VALUES (%s, %s, %s, %s)",
        (gateway_id, day, sum(map(len, rows.values())), sealed),
    )
    await tx.execute(
        _RANGES_IN,
        {
            "gateway": gateway_id,
            "day": day,
            "boot": [one.boot for one in ranges],
            "first": [one.first for one in ranges],
            "last": [one.last for one in ranges],
            "digest": [bytes.fromhex(one.digest) for one in ranges],
        },
    )


async def rows_of(
    tx: Transaction, day: date, gateway_id: int | None
) -> AsyncIterator[tuple[int, Rows]]:
    """Yield each gateway, or one, with the rows stored on ``day``, by boot and number."""
    start, end = bounds(day)
    current: int | None = None
    rows: Rows = {}
    async with tx.cursor(name="certified_rows") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(_ROWS, {"start": start, "end": end, "gateway": gateway_id})
        async for number, boot, seq, uid, kept_hash in cursor:
            if number != current:
                if current is not None:
                    yield current, _sorted(rows)
                current, rows = number, {}
            one = kept_hash if uid is None else wire.row_hash(boot, seq, uid)
            rows.setdefault(boot, []).append((seq, one))
    if current is not None:
        yield current, _sorted(rows)


def _sorted(rows: Rows) -> Rows:
    return {boot: sorted(each) for boot, each in rows.items()}


def bounds(day: date) -> tuple[datetime, datetime]:
    """Return where a UTC day begins and ends."""
    start = datetime.combine(day, time(), UTC)
    return start, start + timedelta(days=1)


async def allow_time(tx: Transaction) -> None:
    """Let statements of this transaction read a whole day."""
    await tx.execute(
        "SELECT set_config('statement_timeout', %s, true)", (f"{STATEMENT_TIMEOUT_S}s",)
    )


async def _next_day(tx: Transaction) -> date | None:
    day: date | None = await _one(tx, _NEXT_DAY, ())
    return day


async def chain_before(tx: Transaction, gateway_id: int, day: date) -> bytes | None:
    """Return the chain of a gateway's certificate before ``day``; None: there is none."""
    found: bytes | None = await _one(tx, _CHAIN_BEFORE, (gateway_id, day))
    return found


async def _one(tx: Transaction, query: str, parameters: tuple[object, ...]) -> Any:
    row = await (await tx.execute(query.encode(), parameters)).fetchone()
    return None if row is None else row[0]


async def ranges_of(tx: Transaction, gateway_id: int, day: date) -> list[CertifiedRange]:
    """Return what was certified of a gateway on ``day``, by boot and number."""
    cursor = await tx.execute(_RANGES, (gateway_id, day))
    return [
        CertifiedRange(str(boot), first, last, digest.hex())
        for boot, first, last, digest in await cursor.fetchall()
    ]


# The day after the last one, else the first of which the ledger knows.
_NEXT_DAY = """
SELECT coalesce((SELECT max(day) + 1 FROM certified_day),
                (SELECT (min(first_at) AT TIME ZONE 'UTC')::date FROM ledger))
"""

_ROWS = """
SELECT gateway_id, boot, seq, uid, NULL::bytea FROM measurement
WHERE stored_at >= %(start)s AND stored_at < %(end)s AND boot IS NOT NULL
  AND gateway_id IS NOT NULL AND (%(gateway)s::int IS NULL OR gateway_id = %(gateway)s)
UNION ALL
SELECT gateway_id, boot, seq, NULL, row_hash FROM erased_row
WHERE stored_at >= %(start)s AND stored_at < %(end)s
  AND (%(gateway)s::int IS NULL OR gateway_id = %(gateway)s)
ORDER BY 1
"""

_CERTIFICATE = """
SELECT c.gateway_id, d.made_at, c.row_count, c.chain,
       (SELECT p.chain FROM certificate p WHERE p.gateway_id = c.gateway_id AND p.day < c.day
        ORDER BY p.day DESC LIMIT 1)
FROM certificate c JOIN gateway g ON g.id = c.gateway_id JOIN certified_day d USING (day)
WHERE g.name = %s AND c.day = %s
"""

_CHAIN_BEFORE = """
SELECT chain FROM certificate WHERE gateway_id = %s AND day < %s ORDER BY day DESC LIMIT 1
"""

_RANGES = """
SELECT boot, first_seq, last_seq, digest FROM certificate_range
WHERE gateway_id = %s AND day = %s ORDER BY boot, first_seq
"""

_RANGES_IN = """
INSERT INTO certificate_range (gateway_id, day, boot, first_seq, last_seq, digest)
SELECT %(gateway)s, %(day)s, n.* FROM unnest(
    %(boot)s::uuid[], %(first)s::bigint[], %(last)s::bigint[], %(digest)s::bytea[]) AS n
"""
