"""Records whose row has left the outbox: kept long, so that a device's replay is recognised.

A row goes 7 days after its ack, but a device may send its whole memory again after months (paired
anew, its battery changed). Then this file decides whether the record is known. Decided here:

- A record whose row was stored and is gone is a duplicate, however long ago that was: the server
  answered that it had committed it.
- A server restored from a backup asks ``resend`` since a time. What was acked since then and is
  gone here is marked as lacking there: should the device send it again, it is queued under its old
  uid, which the server drops if it has the record after all.
- A row that the server refused for good leaves its uid too: its replay is queued, the server
  decides anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from devices import wire
from gateway.clock import moment_of, text_of

# A device's memory holds months; after a year and a month no replay is expected.
KEPT_RECORDS = timedelta(days=400)
# Ten records a day for that long, five times over; some 4 MB.
RECORDS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Known:
    """A record that had a row: its place, when the row was written, if a replay is a duplicate."""

    boot: str
    seq: int
    uid: str
    written: datetime
    is_stored: bool


def find_record(connection: sqlite3.Connection, uid: str) -> Known | None:
    """Return what is known of the record ``uid``, whether its row is still there or gone."""
    row = connection.execute(
        "SELECT boot, seq, uid, written_t, 1 AS is_stored FROM outbox WHERE uid=:uid"
        " UNION ALL SELECT boot, seq, uid, written_t, is_stored FROM record WHERE uid=:uid LIMIT 1",
        {"uid": uid},
    ).fetchone()
    if row is None:
        return None
    return Known(
        row["boot"], row["seq"], row["uid"], moment_of(row["written_t"]), bool(row["is_stored"])
    )


def retire(connection: sqlite3.Connection, where: str, values: Sequence[object]) -> int:
    """Delete the outbox rows that match, remembering their records; call it in a transaction."""
    gone = connection.execute(
        f"DELETE FROM outbox WHERE {where}"  # noqa: S608 - from our own code
        " RETURNING uid, boot, seq, written_t, acked_t, state",
        values,
    ).fetchall()
    connection.executemany(
        "INSERT OR REPLACE INTO record (uid, boot, seq, written_t, acked_t, is_stored)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                row["uid"],
                row["boot"],
                row["seq"],
                row["written_t"],
                row["acked_t"] or row["written_t"],
                row["state"] == "stored",
            )
            for row in gone
            # The uid of a row never comes again.
            if row["uid"] != wire.row_uid(row["boot"], row["seq"])
        ],
    )
    return len(gone)


def know(connection: sqlite3.Connection, uid: str, beside: Known) -> None:
    """Let the record ``uid`` be known as one that travels within the row of ``beside``.

    So a replay of it brings nothing new.
    """
    written = text_of(beside.written)
    connection.execute(
        "INSERT OR IGNORE INTO record (uid, boot, seq, written_t, acked_t, is_stored)"
        " VALUES (?, ?, ?, ?, ?, 1)",
        (uid, beside.boot, beside.seq, written, written),
    )


def forget_records(
    connection: sqlite3.Connection, *, now: datetime, most: int = RECORDS_MAX
) -> None:
    """Forget records older than 400 days, and the oldest beyond ``most``; in a transaction."""
    connection.execute("DELETE FROM record WHERE acked_t<?", (text_of(now - KEPT_RECORDS),))
    connection.execute(
        "DELETE FROM record WHERE uid IN"
        " (SELECT uid FROM record ORDER BY acked_t DESC LIMIT -1 OFFSET ?)",
        (most,),
    )


def forget_oldest(connection: sqlite3.Connection, *, count: int) -> int:
    """Forget the ``count`` oldest records to make room; returns how many; in a transaction."""
    return connection.execute(
        "DELETE FROM record WHERE uid IN (SELECT uid FROM record ORDER BY acked_t LIMIT ?)",
        (count,),
    ).rowcount


def want_again(connection: sqlite3.Connection, since: datetime) -> None:
    """Note that the server may lack what it acked at or after ``since``; in a transaction."""
    connection.execute("UPDATE record SET is_stored=0 WHERE acked_t>=?", (text_of(since),))
