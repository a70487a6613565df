"""Elapsed Time (0x2BF2; GATT Specification Supplement): the clock of newer devices. Decode only.

Flags, a counter of 48 bits, the source it was set by, and the combined offset from UTC. The counter
has one of four resolutions and is ticks, local time or UTC since 2000. Local time follows from UTC
only where the offset is used; it is never supposed. The supplement knows no reserved offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from devices.errors import DecodeError
from devices.gatt.reading import Fields, Reader

CHARACTERISTIC = "2BF2"
LENGTH = 9
_IS_TICKS, _IS_UTC, _OFFSET_USED, _CURRENT = 1 << 0, 1 << 1, 1 << 4, 1 << 5
_RESOLUTIONS_US = (1_000_000, 100_000, 1_000, 100)
_QUARTER_MIN = 15
_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001 - a device has no zone

SOURCES = {
    0: "unknown",
    1: "ntp",
    2: "gps",
    3: "radio",
    4: "manual",
    5: "atomic_clock",
    6: "cellular",
    7: "not_synchronised",
}
"""Time Source (0x2A13)."""


@dataclass(frozen=True, slots=True)
class ElapsedTime:
    """A reading of the clock. Each of ``local`` and ``utc`` is naive, and None where not told.

    ``ticks_us`` is set instead of both where the counter is no time of day. ``is_current`` is False
    where the clock has been set since, so that the reading belongs to another timeline.
    """

    local: datetime | None
    utc: datetime | None
    ticks_us: int | None
    source: str | None
    is_current: bool


def take(reader: Reader) -> ElapsedTime:
    """Take nine bytes; DecodeError ``invalid_time`` where no calendar reaches so far."""
    flags = reader.flags(known=0b00111111)
    microseconds = reader.unsigned(6, "time value") * _RESOLUTIONS_US[flags >> 2 & 0b11]
    source = SOURCES.get(reader.unsigned(1, "time source"))
    offset = timedelta(minutes=_QUARTER_MIN * reader.signed(1, "offset"))
    is_current = bool(flags & _CURRENT)
    if flags & _IS_TICKS:
        return ElapsedTime(None, None, microseconds, None, is_current)
    try:
        told = _EPOCH + timedelta(microseconds=microseconds)
        if flags & _IS_UTC:
            local = told + offset if flags & _OFFSET_USED else None
            return ElapsedTime(local, told, None, source, is_current)
        utc = told - offset if flags & _OFFSET_USED else None
        return ElapsedTime(told, utc, None, source, is_current)
    except OverflowError as error:
        raise DecodeError("invalid_time", f"{microseconds} µs after 2000") from error


def decode(raw: bytes) -> Fields:
    """Return ``time`` (local), ``utc``, ``ticks_us``, ``time_source`` and ``current_timeline``."""
    reader = Reader(raw)
    told = take(reader)
    reader.end()
    return Fields(
        CHARACTERISTIC,
        {
            "time": None if told.local is None else told.local.isoformat(),
            "utc": None if told.utc is None else f"{told.utc.isoformat()}Z",
            "ticks_us": told.ticks_us,
            "time_source": told.source,
            "current_timeline": told.is_current,
        },
    )
