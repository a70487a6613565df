"""Boots: the numbers given in them (``seq`` runs from 1, never used again), their right time."""

from __future__ import annotations

import sqlite3
import uuid

from gateway.clock import ClockReading, moment_of, text_of


def register_boot(connection: sqlite3.Connection, kernel_boot: str) -> str:
    """Return the wire's boot id for the kernel's, remembering it; call it in a transaction."""
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('outbox_id', ?) ON CONFLICT DO NOTHING",
        (str(uuid.uuid4()),),
    )
    (outbox_id,) = connection.execute("SELECT value FROM meta WHERE key='outbox_id'").fetchone()
    boot = str(uuid.uuid5(uuid.UUID(outbox_id), kernel_boot))
    cursor = connection.execute(
        "INSERT INTO boot (boot) VALUES (?) ON CONFLICT DO NOTHING", (boot,)
    )
    if cursor.rowcount:
        # The boot-time clock began again at 0: dates on it mean nothing now.
        connection.execute("UPDATE outbox SET next_try_ms=0, sent_ms=0")
    return boot


def next_seq(connection: sqlite3.Connection, boot: str) -> int:
    """Take the next number of ``boot``; it is given back only where the transaction is undone."""
    (seq,) = connection.execute(
        "UPDATE boot SET last_seq=last_seq+1 WHERE boot=? RETURNING last_seq", (boot,)
    ).fetchone()
    return int(seq)


def note_right(connection: sqlite3.Connection, boot: str, right: ClockReading) -> None:
    """Remember the boot's first right moment, and forget what rested on the wrong clock.

    Call it in a transaction.
    """
    connection.execute(
        "UPDATE boot SET right_t=?, right_mono_ms=? WHERE boot=? AND right_t IS NULL",
        (text_of(right.utc), right.mono_ms, boot),
    )
    # Distances of device clocks from ours were taken from a clock that has jumped since.
    connection.execute(
        "UPDATE device SET clock_ahead_ms=NULL, clock_boot=NULL WHERE clock_boot=?", (boot,)
    )
    # Acks that came while the time was not known: their 7 days begin now.
    connection.execute(
        "UPDATE outbox SET acked_t=? WHERE acked_t IS NULL AND state IN ('stored', 'rejected')",
        (text_of(right.utc),),
    )


def right_moment(connection: sqlite3.Connection, boot: str) -> ClockReading | None:
    """Return the first moment at which the clock of ``boot`` was right, None where not known."""
    row = connection.execute(
        "SELECT right_t, right_mono_ms FROM boot WHERE boot=? AND right_t IS NOT NULL", (boot,)
    ).fetchone()
    return None if row is None else ClockReading(moment_of(row[0]), "ntp", row[1])
