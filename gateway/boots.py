"""Boots and the numbers given in them: ``seq`` runs from 1 in each and is never used again."""

from __future__ import annotations

import sqlite3
import uuid


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
