"""What is known of the devices beside their measurements: last heard, battery, clock, session."""

from __future__ import annotations

import sqlite3

from devices.gatt import cgm
from gateway.clock import text_of
from gateway.live import note_live
from gateway.measured import ClockPair
from gateway.rows import JournalRow, Told

# A clock is read within so long of a value that came before it; then the link goes on without.
EARLY_MAX_MS = 10_000


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
    if told.session_start is not None:
        connection.execute(
            "INSERT OR REPLACE INTO sensor_session (dev, raw, boot, mono_ms) VALUES (?, ?, ?, ?)",
            (row.dev, told.session_start, row.boot, row.reading.mono_ms),
        )
    if told.live is not None:
        note_live(connection, row.dev, row.characteristic, row.boot, told.live)


def clock_pair(
    connection: sqlite3.Connection, row: JournalRow, *, within_ms: int, early_ms: int
) -> ClockPair | None:
    """Return how far ahead the device's clock was when it was read in the link of ``row``.

    That is, at most ``within_ms`` before ``row``, or ``early_ms`` after it.
    """
    found = connection.execute(
        "SELECT clock_ahead_ms, clock_boot, clock_mono_ms FROM device WHERE dev=?", (row.dev,)
    ).fetchone()
    if found is None or found["clock_ahead_ms"] is None or found["clock_boot"] != row.boot:
        return None
    age_ms = row.reading.mono_ms - found["clock_mono_ms"]
    if not -early_ms <= age_ms <= within_ms:
        return None
    # A sensor's minutes count from a start that stands: nobody sets that right.
    may_be_set = row.characteristic != cgm.CHARACTERISTIC
    return ClockPair(int(found["clock_ahead_ms"]), age_ms, may_be_set)


def session_start(
    connection: sqlite3.Connection, row: JournalRow, *, within_ms: int, early_ms: int
) -> tuple[bytes, bool] | None:
    """Return the start that the sensor of ``row`` told last, and whether that was in this link.

    It counts as this link's where it was read at most ``within_ms`` before ``row``, or ``early_ms``
    after it.
    """
    found = connection.execute(
        "SELECT raw, boot, mono_ms FROM sensor_session WHERE dev=?", (row.dev,)
    ).fetchone()
    if found is None:
        return None
    is_of_link = -early_ms <= row.reading.mono_ms - found["mono_ms"] <= within_ms
    return found["raw"], is_of_link and found["boot"] == row.boot
