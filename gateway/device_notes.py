"""What a conversation wants remembered of a device, kept in the outbox's file.

How far its stored records are kept, which user it knows the person as, and facts about measuring,
which travel as ``event`` items. A fact that is noted again within the hour is counted, not queued:
a device that links up each minute must not fill the outbox. The next one to travel says how often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC

import structlog

from devices import wire
from devices.conversation import Consent
from gateway.boots import right_moment
from gateway.clock import ClockReading
from gateway.consents import read_consent
from gateway.errors import StorageFull
from gateway.measured import best_time, true_reading
from gateway.outbox import Outbox
from gateway.paired import paired
from gateway.rows import Draft
from gateway.storage import explained, transaction

log = structlog.get_logger("gateway.device_notes")

SAID_AGAIN_MS = 3_600_000
# A string in an item's context has at most 200 characters.
DETAIL_MAX_CHARACTERS = 200
UNNUMBERED = "0" * 32


class DeviceNotes:
    """The notes of all devices of this home; rings ``uplink_bell`` when there is one to send.

    Every method raises StorageUnusable; a full outbox is logged, since a note that is not taken
    only costs that records are asked for again.
    """

    def __init__(
        self, *, outbox: Outbox, clock: Callable[[], ClockReading], uplink_bell: asyncio.Event
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._uplink_bell = uplink_bell

    def last_sequence(self, dev: str, characteristic: str) -> int | None:
        """Return the number up to which the device's records are kept, None where not known."""
        kept = self._kept(dev, characteristic)
        return None if kept is None else kept[0]

    def proof(self, dev: str, characteristic: str) -> bytes | None:
        """Return what came as ``proof`` with the number of :meth:`last_sequence`."""
        kept = self._kept(dev, characteristic)
        return None if kept is None else kept[1]

    def sequence(
        self, dev: str, characteristic: str, number: int | None, proof: bytes | None = None
    ) -> None:
        """Note that the records up to ``number`` are kept; None forgets, for numbering anew."""
        if number is None:
            self._change("DELETE FROM records_kept WHERE dev=? AND char=?", (dev, characteristic))
        else:
            self._change(
                "INSERT OR REPLACE INTO records_kept (dev, char, number, proof)"
                " VALUES (?, ?, ?, ?)",
                (dev, characteristic, number, proof),
            )

    def event(self, dev: str, what: str, detail: str) -> None:
        """Queue the fact ``what`` about measuring with ``dev``, unless it was told just now."""
        reading = self._clock()
        unsaid = self._unsaid(dev, what, detail, reading)
        if unsaid is None:
            return
        try:
            self._outbox.append(self._draft(dev, what, detail, unsaid, reading), reading)
        except StorageFull as error:
            log.warning("event_not_kept", dev=dev, what=what, reason=error.reason)
            return
        self._change(
            "INSERT OR REPLACE INTO noted (dev, what, detail, boot, mono_ms)"
            " VALUES (?, ?, ?, ?, ?)",
            (dev, what, detail, self._outbox.boot, reading.mono_ms),
        )
        log.info("noted", dev=dev, what=what)
        self._uplink_bell.set()

    def consent(self, dev: str) -> Consent | None:
        """Return which user of ``dev`` the person is, with the code, None where nobody said."""
        with explained(self._outbox.path):
            return read_consent(self._outbox.connection, dev)

    def _kept(self, dev: str, characteristic: str) -> tuple[int, bytes | None] | None:
        with explained(self._outbox.path):
            row = self._outbox.connection.execute(
                "SELECT number, proof FROM records_kept WHERE dev=? AND char=?",
                (dev, characteristic),
            ).fetchone()
        return None if row is None else (row["number"], row["proof"])

    def _change(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            with explained(self._outbox.path), transaction(self._outbox.connection):
                self._outbox.connection.execute(statement, values)
        except StorageFull as error:
            log.warning("note_not_kept", reason=error.reason)

    def _unsaid(self, dev: str, what: str, detail: str, reading: ClockReading) -> int | None:
        """Return how often this was left unsaid since it last travelled; None leaves it unsaid."""
        with explained(self._outbox.path):
            row = self._outbox.connection.execute(
                "SELECT detail, boot, mono_ms, unsaid FROM noted WHERE dev=? AND what=?",
                (dev, what),
            ).fetchone()
        if row is None or row["detail"] != detail:
            return 0
        if row["boot"] != self._outbox.boot or reading.mono_ms - row["mono_ms"] >= SAID_AGAIN_MS:
            return int(row["unsaid"])
        self._change(
            "UPDATE noted SET unsaid=unsaid+1 WHERE dev=? AND what=?",
            (dev, what),
        )
        return None

    def _draft(self, dev: str, what: str, detail: str, unsaid: int, reading: ClockReading) -> Draft:
        with explained(self._outbox.path):
            right = right_moment(self._outbox.connection, self._outbox.boot)
            models = {one.dev: one.model for one in paired(self._outbox.connection)}
        reading = true_reading(reading, right)
        moment, quality = best_time(None, reading, UTC)
        context: dict[str, str | int | float] = {"detail": detail[:DETAIL_MAX_CHARACTERS]}
        if unsaid:
            context["also_times"] = unsaid
        return Draft(
            wire.Item(
                seq=0,
                uid=UNNUMBERED,
                type="event",
                event=what,
                dev=dev,
                model=models.get(dev),
                t=moment,
                tq=quality,
                gw_t=reading.utc,
                gw_q=reading.quality,
                mono_ms=reading.mono_ms,
                ctx=context,
            )
        )
