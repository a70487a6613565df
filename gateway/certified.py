"""What the server certified of a day, beside this gateway's own outbox.

Each side may have lost something of which the other does not know. So both ways are looked at:

- Each range of the certificate is made anew from the rows here. Rows that left the outbox after
  their 7 days are still known by their uid for 400 days where a record has one (``records.py``),
  else by boot and number. Where even that is not enough, the range is *unproven*, not wrong.
- Each value or event here that the server answered as stored must be in a certificate: in that of
  one of the days from its writing to its last answer, since an answer may be lost. It is missed
  only where certificates of all these days are here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from devices import wire
from devices.wire import Certificate, CertifiedRange
from gateway.clock import moment_of

# The server's clock decides on the day, ours on when we think that it was.
CLOCKS_DIFFER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers ``first`` to ``last`` of ``boot``."""

    boot: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What certificates and outbox say of one another.

    ``proven`` counts numbers of which both sides have the same uid. ``differing`` are ranges of
    which every row is here, one with another uid. ``never_sent`` the server claims, and this outbox
    never sent it. ``not_certified`` the server answered as stored and did not certify. ``damaged``
    are days whose certificate does not agree with itself or with that of the day before.
    """

    proven: int
    differing: tuple[Numbers, ...]
    unproven: tuple[Numbers, ...]
    never_sent: tuple[Numbers, ...]
    not_certified: tuple[Numbers, ...]
    damaged: tuple[date, ...]

    @property
    def agrees(self) -> bool:
        """Tell whether nothing speaks against the certificates."""
        return not (self.differing or self.never_sent or self.not_certified or self.damaged)


def check(connection: sqlite3.Connection, certificates: Sequence[Certificate]) -> Checked:
    """Compare certificates of this gateway with the outbox; works beside a running gateway."""
    proven = 0
    differing, unproven, never_sent = [], [], []
    for one in (one for certificate in certificates for one in certificate.ranges):
        if beyond := _never_sent(connection, one):
            never_sent += beyond
            continue
        rows = _rows(connection, one)
        if _digest(connection, one, rows) == one.digest:
            proven += one.last - one.first + 1
        elif len(rows) == one.last - one.first + 1:
            differing.append(Numbers(one.boot, one.first, one.last))
        else:
            unproven.append(Numbers(one.boot, one.first, one.last))
    return Checked(
        proven,
        tuple(differing),
        tuple(unproven),
        tuple(never_sent),
        _not_certified(connection, certificates),
        _damaged(certificates),
    )


def _never_sent(connection: sqlite3.Connection, one: CertifiedRange) -> list[Numbers]:
    known = connection.execute("SELECT last_seq FROM boot WHERE boot=?", (one.boot,)).fetchone()
    if known is None:
        return [Numbers(one.boot, one.first, one.last)]
    (last,) = known
    unsent = connection.execute(
        "SELECT seq FROM outbox WHERE boot=? AND seq BETWEEN ? AND ? AND attempts=0",
        (one.boot, one.first, one.last),
    ).fetchall()
    above = range(max(one.first, last + 1), one.last + 1)
    spans = [(above[0], above[-1])] if above else []
    spans += wire.seq_ranges(seq for (seq,) in unsent)
    return [Numbers(one.boot, low, high) for low, high in spans]


def _rows(connection: sqlite3.Connection, one: CertifiedRange) -> dict[int, str]:
    """Return the uids of the range's rows that are here, by number."""
    return dict(
        connection.execute(
            "SELECT seq, uid FROM outbox WHERE boot=? AND seq BETWEEN ? AND ?",
            (one.boot, one.first, one.last),
        ).fetchall()
    )


def _digest(connection: sqlite3.Connection, one: CertifiedRange, rows: dict[int, str]) -> str:
    gone: dict[int, str] = dict(
        connection.execute(
            "SELECT seq, uid FROM record WHERE boot=? AND seq BETWEEN ? AND ?"
            # Of several records that travelled in one row its own was noted last.
            " ORDER BY acked_t",
            (one.boot, one.first, one.last),
        ).fetchall()
    )
    boot = UUID(one.boot)
    return wire.range_digest(
        wire.row_hash(
            boot, seq, UUID(rows.get(seq) or gone.get(seq) or wire.row_uid(one.boot, seq))
        )
        for seq in range(one.first, one.last + 1)
    ).hex()


def _not_certified(
    connection: sqlite3.Connection, certificates: Sequence[Certificate]
) -> tuple[Numbers, ...]:
    days = {one.day for one in certificates}
    spans: dict[str, list[CertifiedRange]] = {}
    for one in (one for certificate in certificates for one in certificate.ranges):
        spans.setdefault(one.boot, []).append(one)
    missed: dict[str, list[int]] = {}
    for row in connection.execute(_STORED):
        ours = spans.get(row["boot"], ())
        if any(one.first <= row["seq"] <= one.last for one in ours):
            continue
        if days.issuperset(_days(row["written_t"], row["acked_t"])):
            missed.setdefault(row["boot"], []).append(row["seq"])
    return tuple(
        Numbers(boot, low, high)
        for boot, seqs in missed.items()
        for low, high in wire.seq_ranges(seqs)
    )


def _days(written_t: str, acked_t: str) -> Iterable[date]:
    """Return the UTC days on which the server may have stored a row written and answered then."""
    first = (moment_of(written_t) - CLOCKS_DIFFER).date()
    last = (moment_of(acked_t) + CLOCKS_DIFFER).date()
    # Where the clock went back in between nobody knows when it was: no set of days holds this.
    if last < first:
        return (date.min,)
    return (first + timedelta(days=n) for n in range((last - first).days + 1))


def _damaged(certificates: Sequence[Certificate]) -> tuple[date, ...]:
    chains = {one.day: one.chain for one in certificates}
    return tuple(
        one.day
        for one in sorted(certificates, key=lambda one: one.day)
        if wire.chain_of(one) != one.chain
        or chains.get(one.day - timedelta(days=1), one.previous) != one.previous
    )


# A record that came again under another number after its row had gone is stored under its first.
_STORED = """
SELECT boot, seq, written_t, acked_t FROM outbox o
WHERE state='stored' AND type IN ('value', 'event') AND acked_t IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM record r WHERE r.uid=o.uid)
ORDER BY boot, seq
"""
