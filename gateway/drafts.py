"""What a device said becomes an item that still lacks its number (``Draft``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import structlog

from devices import wire
from devices.measurement import Measurement
from gateway.identity import Record
from gateway.measured import best_time
from gateway.rows import Draft, JournalRow

log = structlog.get_logger("gateway.intake")

BATTERY = "battery"
WHY_MAX_CHARACTERS = 500
UNNUMBERED = "0" * 32


def measured(
    row: JournalRow,
    measurement: Measurement,
    index: int,
    best: tuple[datetime, wire.TimeQuality],
    *,
    session_start: bytes = b"",
) -> Draft:
    """Return the draft of the ``index``-th measurement in ``row``, measured at ``best``.

    ``session_start`` is set where the device time rests on the session that these bytes tell of.
    """
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
    # Within a session a record stands by its own bytes, however the sensor packed it with others.
    is_alone = bool(session_start)
    record = Record(
        dev=row.dev,
        characteristic=measurement.characteristic,
        raw=measurement.raw if is_alone else row.raw,
        index=0 if is_alone else index,
        device_time=measurement.device_time,
        sequence_number=measurement.sequence_number,
        session_start=session_start,
    )
    return Draft(item, record)


def with_context(draft: Draft, context: Mapping[str, str | int | float]) -> Draft:
    """Return ``draft`` with ``context`` added to its item's."""
    item = msgspec.structs.replace(draft.item, ctx={**draft.item.ctx, **context})
    return replace(draft, item=item)


def happened(
    row: JournalRow,
    event: str,
    *,
    record: Record,
    kind: str,
    context: Mapping[str, str | int | float],
) -> Draft:
    """Return the draft of a fact about measuring that ``row`` tells, about ``record``."""
    item = msgspec.structs.replace(
        _bare(row, "event"),
        event=event,
        kind=kind,
        dev_seq=record.sequence_number,
        ctx=dict(context),
    )
    return Draft(item, record)


def undecodable(row: JournalRow, why: str) -> Draft:
    """Return the draft of bytes that cannot be read, for the server's quarantine."""
    log.warning("undecodable", dev=row.dev, characteristic=row.characteristic, why=why)
    item = msgspec.structs.replace(_bare(row, "undecodable"), why=why[:WHY_MAX_CHARACTERS])
    return Draft(item, Record(dev=row.dev, characteristic=row.characteristic, raw=row.raw))


def battery_of(draft: Draft) -> int | None:
    """Return the battery level in per cent where the draft is one."""
    item = draft.item
    if item.kind != BATTERY or not item.samples or item.samples[0].value is None:
        return None
    return round(item.samples[0].value)


def _bare(row: JournalRow, kind: wire.ItemType) -> wire.Item:
    """Return an item of this type with the bytes of ``row`` and the time at which they came."""
    moment, quality = best_time(None, row.reading, UTC)
    return wire.Item(
        seq=0,
        uid=UNNUMBERED,
        type=kind,
        dev=row.dev,
        model=row.model,
        t=moment,
        tq=quality,
        gw_t=row.reading.utc,
        gw_q=row.reading.quality,
        mono_ms=row.reading.mono_ms,
        char=row.characteristic,
        raw=row.raw.hex(),
    )
