"""Intake: journal rows become items, and nothing a device sent is left out.

A value that cannot be decoded travels as ``undecodable`` with its bytes; a measurement that failed
in the device (no number at all) as an event; a clock or another field without a measurement makes
no item. Rows that a former run left in the journal are taken first, in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, tzinfo

import structlog

from devices import wire
from devices.errors import DecodeError
from devices.gatt import Fields, decode
from devices.measurement import Measurement
from gateway.boots import right_moment
from gateway.errors import StorageFull
from gateway.identity import Record
from gateway.measured import best_time, clock_ahead_ms, true_reading
from gateway.outbox import Outbox
from gateway.rows import Draft, JournalRow, Told
from gateway.storage import explained
from gateway.weighings import weighed_once

log = structlog.get_logger("gateway.intake")

BATCH_ROWS = 50
RETRY_FULL_S = 30.0
# A device's clock is read, set and its values fetched within one link; links last a minute at most.
PAIR_MAX_MS = 120_000
# A row that waits for its device's clock is looked at again so soon.
LOOK_AGAIN_S = 0.1
CLOCKS = frozenset({"2A08", "2A2B"})
BATTERY = "battery"
WHY_MAX_CHARACTERS = 500
UNNUMBERED = "0" * 32


def battery_of(draft: Draft) -> int | None:
    """Return the battery level in per cent where the draft is one."""
    item = draft.item
    if item.kind != BATTERY or not item.samples or item.samples[0].value is None:
        return None
    return round(item.samples[0].value)


def _clocks_first(rows: Sequence[JournalRow]) -> list[JournalRow]:
    """Return ``rows`` with clocks before values: one may come before its device's clock is read."""
    return sorted(rows, key=lambda row: row.characteristic not in CLOCKS)


class Intake:
    """Takes journal rows into the outbox whenever ``bell`` rings; rings ``uplink_bell`` after.

    A row of which ``not_yet`` says so is left for a moment: its device's clock is about to be read.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        zone: tzinfo,
        bell: asyncio.Event,
        uplink_bell: asyncio.Event,
        on_event: Callable[[str, Mapping[str, object]], None],
        not_yet: Callable[[JournalRow], bool] = lambda _row: False,
    ) -> None:
        self._outbox = outbox
        self._zone = zone
        self._bell = bell
        self._uplink_bell = uplink_bell
        self._on_event = on_event
        self._not_yet = not_yet
        self._waits = False

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set (ring the bell then) and the journal is empty."""
        while True:
            self._bell.clear()
            is_full = not self.take_all()
            if stop.is_set():
                return
            try:
                async with asyncio.timeout(self._pause_s(is_full=is_full)):
                    await self._bell.wait()
            except TimeoutError:
                continue

    def take_all(self) -> bool:
        """Empty the journal into the outbox; returns False where the outbox is full.

        Raises StorageUnusable.
        """
        self._waits = False
        while not self._waits and (rows := self._outbox.journaled(BATCH_ROWS)):
            for row in _clocks_first(rows):
                if self._not_yet(row):
                    self._waits = True
                    continue
                try:
                    self._take(row)
                except StorageFull:
                    # The bytes stay in the journal; they are taken when there is room.
                    return False
        return True

    def _pause_s(self, *, is_full: bool) -> float | None:
        if is_full:
            return RETRY_FULL_S
        return LOOK_AGAIN_S if self._waits else None

    def _take(self, row: JournalRow) -> None:
        drafts, told = self._read(self._rightly_timed(row))
        if told.battery_percent is not None and self._outbox.is_nearly_full():
            log.error("low_grade_refused", dev=row.dev, characteristic=row.characteristic)
            drafts = ()
        for written in self._outbox.settle(row, drafts, told):
            log.info("queued", boot=written.boot, seq=written.seq, repeat=written.is_duplicate)
            self._on_event(
                "queued",
                {
                    "uid": written.uid,
                    "seq": written.seq,
                    "boot": written.boot,
                    "dev": row.dev,
                    "type": written.type,
                    "duplicate": written.is_duplicate,
                },
            )
        self._uplink_bell.set()

    def _rightly_timed(self, row: JournalRow) -> JournalRow:
        """Return ``row`` with the time that its boot learnt later, where it was not known yet."""
        with explained(self._outbox.path):
            right = right_moment(self._outbox.connection, row.boot)
        return replace(row, reading=true_reading(row.reading, right))

    def _read(self, row: JournalRow) -> tuple[tuple[Draft, ...], Told]:
        """Return the items that the row holds, and what it tells about the device."""
        try:
            decoded = decode(row.characteristic, row.raw)
        except DecodeError as error:
            return (_undecodable(row, f"{error.reason}: {error.detail}"),), Told()
        if isinstance(decoded, Fields):
            return (), Told(clock_ahead_ms=clock_ahead_ms(decoded, row.reading, self._zone))
        ahead_ms = self._outbox.clock_ahead_ms(row, within_ms=PAIR_MAX_MS)
        drafts = tuple(
            _draft(
                row,
                measurement,
                index,
                best_time(measurement.device_time, row.reading, self._zone, ahead_ms),
            )
            for index, measurement in enumerate(decoded.measurements)
        )
        with explained(self._outbox.path):
            drafts = weighed_once(self._outbox.connection, row, drafts)
        levels = [level for draft in drafts if (level := battery_of(draft)) is not None]
        return drafts, Told(battery_percent=levels[-1] if levels else None)


def _draft(
    row: JournalRow,
    measurement: Measurement,
    index: int,
    best: tuple[datetime, wire.TimeQuality],
) -> Draft:
    moment, quality = best
    stamp = wire.Stamp(
        t=moment,
        tq=quality,
        gw_t=row.reading.utc,
        gw_q=row.reading.quality,
        mono_ms=row.reading.mono_ms,
    )
    item = wire.item_from(
        measurement, seq=0, uid=UNNUMBERED, device=row.dev, model=row.model, stamp=stamp
    )
    if measurement.kind == BATTERY:
        # A level is a state: saying 80 % again is no repeat of a record.
        return Draft(item)
    record = Record(
        dev=row.dev,
        characteristic=measurement.characteristic,
        raw=measurement.raw,
        index=index,
        device_time=measurement.device_time,
        sequence_number=measurement.sequence_number,
    )
    return Draft(item, record)


def _undecodable(row: JournalRow, why: str) -> Draft:
    moment, quality = best_time(None, row.reading, UTC)
    log.warning("undecodable", dev=row.dev, characteristic=row.characteristic, why=why)
    item = wire.Item(
        seq=0,
        uid=UNNUMBERED,
        type="undecodable",
        dev=row.dev,
        model=row.model,
        t=moment,
        tq=quality,
        gw_t=row.reading.utc,
        gw_q=row.reading.quality,
        mono_ms=row.reading.mono_ms,
        char=row.characteristic,
        raw=row.raw.hex(),
        why=why[:WHY_MAX_CHARACTERS],
    )
    return Draft(item, Record(dev=row.dev, characteristic=row.characteristic, raw=row.raw))
