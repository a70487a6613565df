"""Date Time (0x2A08): the device's own clock, local and without a zone, to the second.

Seven bytes: year (2, little-endian), month, day, hours, minutes, seconds. Year, month or day 0
means "not known" (GATT Specification Supplement, Date Time): that is no time at all.
"""

from __future__ import annotations

from datetime import datetime

from devices.errors import DecodeError
from devices.gatt.reading import Fields, Reader

CHARACTERISTIC = "2A08"
LENGTH = 7


def read(raw: bytes) -> datetime | None:
    """Return the naive local time in ``raw``, or None where the device does not know it.

    Raises DecodeError for another length and for a time that cannot be, such as 31 February.
    """
    reader = Reader(raw)
    time = take(reader)
    reader.end()
    return time


def decode(raw: bytes) -> Fields:
    """Return the clock as fields: ``time`` in ISO 8601 without a zone, or None."""
    time = read(raw)
    return Fields(CHARACTERISTIC, {"time": None if time is None else time.isoformat()})


def encode(time: datetime | None) -> bytes:
    """Return the seven bytes for naive local ``time``; None is a clock that was never set."""
    if time is None:
        return bytes(LENGTH)
    assert time.tzinfo is None, "a device's clock has no zone"
    day = bytes((time.month, time.day, time.hour, time.minute, time.second))
    return time.year.to_bytes(2, "little") + day


def take(reader: Reader) -> datetime | None:
    """Take a Date Time off ``reader``: None where unknown, DecodeError where impossible."""
    low, high, month, day, hour, minute, second = reader.take(LENGTH, "date and time")
    year = low | high << 8
    if not (year and month and day):
        return None
    try:
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - a device has no zone
    except ValueError as error:
        raise DecodeError(
            "invalid_time", f"{year}-{month}-{day} {hour}:{minute}:{second}"
        ) from error


def take_stamp(reader: Reader) -> tuple[datetime | None, tuple[str, ...]]:
    """Take a measurement's time stamp: the time, and a flag where there is none.

    A stamp that cannot be is no reason to lose the measurement it stands in: it is flagged.
    """
    try:
        time = take(reader)
    except DecodeError as error:
        if error.reason != "invalid_time":
            raise
        return None, ("device_time_invalid",)
    return (time, ()) if time else (None, ("device_time_unknown",))
