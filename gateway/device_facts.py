"""What is known of the devices beside their measurements: last heard, battery, clock."""

from __future__ import annotations

import sqlite3

from gateway.clock import text_of
from gateway.rows import JournalRow, Told


def note_device(connection: sqlite3.Connection, row: JournalRow, told: Told) -> None:
    """Remember that ``row``'s device was heard, and what it ``told``; call it in a transaction."""
    connection.execute(
        "INSERT INTO device (dev, battery, last_seen) VALUES (?, ?, ?) ON CONFLICT (dev)"
        " DO UPDATE SET battery=coalesce(excluded.battery, battery), last_seen=excluded.last_seen",
        (row.dev, told.battery_percent, text_of(row.reading.utc)),
    )
    if told.clock_ahead_ms is not None:
        connection.execute(
            "UPDATE device SET clock_ahead_ms=?, clock_boot=?, clock_mono_ms=? WHERE dev=?",
            (told.clock_ahead_ms, row.boot, row.reading.mono_ms, row.dev),
        )


def clock_ahead_ms(
    connection: sqlite3.Connection, row: JournalRow, *, within_ms: int
) -> int | None:
    """Return how far ahead the device's clock was at most ``within_ms`` before ``row``."""
    found = connection.execute(
        "SELECT clock_ahead_ms FROM device WHERE dev=? AND clock_boot=?"
        " AND clock_mono_ms BETWEEN ? AND ?",
        (row.dev, row.boot, row.reading.mono_ms - within_ms, row.reading.mono_ms),
    ).fetchone()
    return None if found is None else int(found["clock_ahead_ms"])
