"""A Pi without a clock of its own: what it stamped before NTP answered is put right (contract 5).

When the clock becomes right, rows of this boot that have not left are stamped anew; the wall clock
that they had stays in ``stamped_t``. Rows that have left keep their bytes: one ``clock`` item tells
the server what time it was at which point of the boot-time clock, and it corrects what it has and
what still comes. One counts for a boot, so no second is sent. Rows of an earlier boot that never
learnt the time cannot be corrected: how long the machine was off is not known.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import tzinfo

import structlog

from devices import wire
from gateway.boots import note_right
from gateway.clock import ClockReading, text_of
from gateway.errors import StorageFull
from gateway.measured import restamped
from gateway.outbox import Outbox
from gateway.rows import Draft
from gateway.storage import explained, transaction

log = structlog.get_logger("gateway.boot_clock")

LOOK_S = 5.0
BATCH_ROWS = 500


class BootClock:
    """Watches for the clock becoming right; rings ``bell`` (the uplink's) after a correction."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        clock: Callable[[], ClockReading],
        zone: tzinfo,
        bell: asyncio.Event,
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._zone = zone
        self._bell = bell
        self._is_done = False

    async def run(self) -> None:
        """Look every 5 seconds, until cancelled; raises StorageUnusable."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> int:
        """Correct what is to be corrected if the clock has become right; returns how many rows."""
        reading = self._clock()
        if reading.quality != "ntp":
            self._is_done = False
            return 0
        if self._is_done:
            return 0
        try:
            corrected = self._correct(reading)
        except StorageFull as error:
            # Tried again at the next look; rows that leave before are corrected by the server.
            log.warning("clock_correction_failed", reason=error.reason, remedy=error.remedy)
            return 0
        self._is_done = True
        return corrected

    def _correct(self, right: ClockReading) -> int:
        rows = 0
        while changed := self._correct_some(right):
            rows += changed
        if self._owes_clock_item():
            self._tell(right)
        if rows:
            log.info("clock_became_right", rows=rows)
            self._bell.set()
        return rows

    def _correct_some(self, right: ClockReading) -> int:
        connection = self._outbox.connection
        with explained(self._outbox.path), transaction(connection):
            note_right(connection, self._outbox.boot, right)
            rows = connection.execute(
                "SELECT rowid, item, written_t, attempts FROM outbox WHERE boot=?"
                " AND stamped_t IS NULL AND type NOT IN ('clock', 'tombstone')"
                # A BLOB would be read as SQLite's own binary JSON by versions from 3.45 on.
                " AND (json_extract(CAST(item AS TEXT), '$.tq')='estimated'"
                " OR json_extract(CAST(item AS TEXT), '$.gw_q')='none') LIMIT ?",
                (self._outbox.boot, BATCH_ROWS),
            ).fetchall()
            for row in rows:
                self._correct_row(connection, row, right)
        return len(rows)

    def _correct_row(
        self, connection: sqlite3.Connection, row: sqlite3.Row, right: ClockReading
    ) -> None:
        connection.execute(
            "UPDATE outbox SET item=?, written_t=?, stamped_t=written_t WHERE rowid=?",
            (*self._stamped(row, right), row["rowid"]),
        )

    def _stamped(self, row: sqlite3.Row, right: ClockReading) -> tuple[bytes, str]:
        """Return the row's item as it is to travel, and when it was truly written."""
        try:
            item = wire.decode_item(row["item"])
        except wire.WireError as error:
            # Ours, and yet unreadable: it stays, for the server's quarantine to show.
            log.warning("own_item_unreadable", reason=error.reason)
            return row["item"], row["written_t"]
        if item.gw_t is None or item.mono_ms is None:
            return row["item"], row["written_t"]
        fresh = restamped(item, right, self._zone)
        assert fresh.gw_t is not None, "restamped keeps the stamp"
        has_left = row["attempts"] > 0
        return (row["item"] if has_left else wire.encode(fresh)), text_of(fresh.gw_t)

    def _owes_clock_item(self) -> bool:
        with explained(self._outbox.path):
            row = self._outbox.connection.execute(
                "SELECT 1 FROM outbox JOIN boot USING (boot) WHERE boot=? AND NOT clock_told"
                " AND attempts>0 AND json_extract(CAST(item AS TEXT), '$.tq')='estimated' LIMIT 1",
                (self._outbox.boot,),
            ).fetchone()
        return row is not None

    def _tell(self, right: ClockReading) -> None:
        item = wire.Item(
            seq=0,
            uid="0" * 32,
            type="clock",
            boot=self._outbox.boot,
            mono_ms=right.mono_ms,
            utc=right.utc,
            q="ntp",
        )
        self._outbox.append(Draft(item), right)
        # Between these two a second clock item may come of a power cut: the server keeps the first.
        connection = self._outbox.connection
        with explained(self._outbox.path), transaction(connection):
            connection.execute("UPDATE boot SET clock_told=1 WHERE boot=?", (self._outbox.boot,))
        self._bell.set()
