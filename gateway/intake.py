"""Intake: journal rows become items, and nothing a device sent is left out.

A value that cannot be decoded travels as ``undecodable`` with its bytes, and so does one at which
our own code fails: no row may stop the rows behind it. A measurement that failed in the device (no
number at all) travels as an event; a clock or another field without a measurement makes no item.
Rows that a former run left in the journal are taken first, in order.

Three kinds of rows are more than one value each: a glucose sensor's minutes, which are a time only
beside the start of its session; what went on around a glucose value (``glucose_context.py``); and
values that come every second (``live.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import tzinfo

import structlog

from devices.errors import DecodeError, DevicesError
from devices.gatt import (
    Fields,
    Reading,
    cgm,
    cgm_session_start,
    cgm_status,
    current_time,
    date_time,
    decode,
    glucose,
)
from devices.measurement import Measurement
from gateway import glucose_context, live
from gateway.boots import right_moment
from gateway.device_facts import clock_pair, session_start
from gateway.drafts import battery_of, happened, measured, undecodable, with_context
from gateway.errors import StorageFull
from gateway.measured import best_time, clock_ahead_ms, session_ahead_ms, session_time, true_reading
from gateway.outbox import Outbox
from gateway.rows import Draft, JournalRow, Told, Written
from gateway.storage import explained
from gateway.weighings import weighed_once

log = structlog.get_logger("gateway.intake")

BATCH_ROWS = 50
RETRY_FULL_S = 30.0
# A device's clock is read, set and its values fetched within one link; links last a minute at most.
PAIR_MAX_MS = 120_000
# A sensor's link may last longer, and its session does not change within one.
SESSION_MAX_MS = 900_000
# A row that waits for its device's clock or for its context is looked at again so soon.
LOOK_AGAIN_S = 0.04
# A value can come before its device's clock was read in the same link; by no more than this.
EARLY_MAX_MS = 5_000
CLOCKS = frozenset(
    {date_time.CHARACTERISTIC, current_time.CHARACTERISTIC, cgm_session_start.CHARACTERISTIC}
)

# How a fault of ours shows in one row. The row would be the first again after each restart, and no
# device of the home would be heard any more; so it leaves as bytes, with the reason, and is told
# aloud. Not what the disk does (GatewayError): that is no row's fault.
OUR_FAULTS = (
    ValueError,
    ArithmeticError,
    LookupError,
    AssertionError,
    TypeError,
    AttributeError,
    DevicesError,
)


def _clocks_first(rows: Sequence[JournalRow]) -> list[JournalRow]:
    """Return ``rows`` with a clock before the values that came just before it was read."""
    ordered: list[JournalRow] = []
    left = list(rows)
    while left:
        row = left.pop(0)
        clocks = [one for one in left if _is_clock_of(one, row)]
        left = [one for one in left if one not in clocks]
        ordered += [*clocks, row]
    return ordered


def _is_clock_of(clock: JournalRow, row: JournalRow) -> bool:
    return (
        clock.characteristic in CLOCKS
        and row.characteristic not in CLOCKS
        and (clock.dev, clock.boot) == (row.dev, row.boot)
        and clock.reading.mono_ms - row.reading.mono_ms <= EARLY_MAX_MS
    )


class Intake:
    """Takes journal rows into the outbox whenever ``bell`` rings; rings ``uplink_bell`` after.

    A row of which ``not_yet`` says so is left for a moment: its device's clock is about to be read,
    or its context to come.
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
        # The last glucose value of each device: a context comes right after the value it is about.
        self._glucose: dict[str, bytes] = {}

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
            waiting: set[str] = set()
            for row in _clocks_first(rows):
                if row.characteristic not in CLOCKS and (row.dev in waiting or self._not_yet(row)):
                    # What its device said after it waits as well, so that the order stays.
                    waiting.add(row.dev)
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
        for written in self._settled(row):
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

    def _settled(self, row: JournalRow) -> tuple[Written, ...]:
        """Turn ``row`` into what it holds; where our own code fails at it, into its bytes."""
        timed = row
        try:
            timed = self._rightly_timed(row)
            drafts, told = self._read(timed)
            if told.battery_percent is not None and self._outbox.is_nearly_full():
                log.error("low_grade_refused", dev=row.dev, characteristic=row.characteristic)
                drafts = ()
            return self._outbox.settle(row, drafts, told)
        except OUR_FAULTS as error:
            log.exception("row_failed", dev=row.dev, characteristic=row.characteristic)
            why = f"unexpected: {type(error).__name__}: {error}"
            return self._outbox.settle(row, (undecodable(timed, why),))

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
            return (undecodable(row, f"{error.reason}: {error.detail}"),), Told()
        with explained(self._outbox.path):
            if isinstance(decoded, Fields):
                return self._facts(row, decoded)
            if row.characteristic in live.CHARACTERISTICS:
                return self._live(row, decoded)
            if row.characteristic == glucose.CHARACTERISTIC:
                self._glucose[row.dev] = row.raw
            drafts = self._measured(row, decoded)
            drafts = weighed_once(self._outbox.connection, row, drafts)
            drafts = self._not_only_marked(drafts)
        levels = [level for draft in drafts if (level := battery_of(draft)) is not None]
        return drafts, Told(battery_percent=levels[-1] if levels else None)

    def _facts(self, row: JournalRow, fields: Fields) -> tuple[tuple[Draft, ...], Told]:
        """Take a row without a measurement: a clock, a session, the context of a glucose value."""
        if row.characteristic == cgm_session_start.CHARACTERISTIC:
            is_known = fields.fields["session_start"] is not None
            return (), Told(session_start=row.raw if is_known else None)
        if row.characteristic == cgm_status.CHARACTERISTIC:
            return (), Told(clock_ahead_ms=self._session_ahead_ms(row, fields))
        if row.characteristic != glucose_context.CHARACTERISTIC:
            return (), Told(clock_ahead_ms=clock_ahead_ms(fields, row.reading, self._zone))
        record = glucose_context.record_of(row, fields, self._glucose.get(row.dev, b""))
        if glucose_context.join(self._outbox.connection, row, fields, record):
            return (), Told()
        draft = happened(
            row,
            glucose_context.EVENT,
            record=record,
            kind=glucose_context.KIND,
            context=glucose_context.context_of(fields),
        )
        return (draft,), Told()

    def _session_ahead_ms(self, row: JournalRow, status: Fields) -> int | None:
        """Return how far off a sensor's start is: its minute of now beside our clock."""
        found = self._session_start(row)
        if found is None or not found[1]:
            return None
        minutes = status.fields["time_offset_min"]
        return session_ahead_ms(found[0], minutes, row.reading, self._zone)

    def _session_start(self, row: JournalRow) -> tuple[bytes, bool] | None:
        return session_start(
            self._outbox.connection, row, within_ms=SESSION_MAX_MS, early_ms=EARLY_MAX_MS
        )

    def _live(self, row: JournalRow, reading: Reading) -> tuple[tuple[Draft, ...], Told]:
        """Take one of the values that come every second: an item, or one of those left out."""
        (measurement,) = reading.measurements
        before = live.read_live(self._outbox.connection, row.dev, row.characteristic, row.boot)
        why, after = live.judge(before, measurement, now_ms=row.reading.mono_ms)
        if why is None:
            return (), Told(live=after)
        (draft,) = self._measured(row, reading)
        # Like a battery's level a state: the same heart rate a second later is no repeated record.
        draft = replace(draft, record=None)
        return (with_context(draft, live.left_out(before)),), Told(live=after)

    def _measured(self, row: JournalRow, reading: Reading) -> tuple[Draft, ...]:
        pair = clock_pair(
            self._outbox.connection, row, within_ms=PAIR_MAX_MS, early_ms=EARLY_MAX_MS
        )
        drafts = []
        for index, measurement in enumerate(reading.measurements):
            timed, start = self._in_session(row, measurement)
            best = best_time(timed.device_time, row.reading, self._zone, pair)
            drafts.append(measured(row, timed, index, best, session_start=start))
        return tuple(drafts)

    def _in_session(self, row: JournalRow, measurement: Measurement) -> tuple[Measurement, bytes]:
        """Return a sensor's value with the time that its minutes mean, and the start they rest on.

        A start that was not read in this link may be another session's; it is believed only where
        it makes the value one of just now.
        """
        if row.characteristic != cgm.CHARACTERISTIC:
            return measurement, b""
        found = self._session_start(row)
        if found is None:
            return measurement, b""
        start, is_of_this_link = found
        minutes = measurement.context["time_offset_min"]
        time = session_time(start, minutes, row.reading, self._zone)
        if time is None or not (is_of_this_link or time.is_just_now):
            return measurement, b""
        return replace(measurement, device_time=time.local), start

    def _not_only_marked(self, drafts: tuple[Draft, ...]) -> tuple[Draft, ...]:
        """Return ``drafts`` without glucose values that are known and were marked since."""
        connection = self._outbox.connection
        return tuple(
            draft
            for draft in drafts
            if draft.record is None
            or not glucose_context.is_known_without(connection, draft.record)
        )
