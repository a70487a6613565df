"""Time Zone (0x2A0E; GATT Specification Supplement): quarters of an hour from UTC, in winter.

From -48 to 56; -128 is not known, the rest reserved. Daylight saving is another field.
"""

from __future__ import annotations

from devices.errors import DecodeError
from devices.gatt.reading import Fields, Reader

CHARACTERISTIC = "2A0E"
_UNKNOWN = -128
_QUARTERS = range(-48, 57)
_QUARTER_MIN = 15


def decode(raw: bytes) -> Fields:
    """Return ``zone_min``, minutes ahead of UTC or None; DecodeError for a reserved value."""
    reader = Reader(raw)
    minutes = take_minutes(reader)
    reader.end()
    return Fields(CHARACTERISTIC, {"zone_min": minutes})


def encode(zone_min: int | None) -> bytes:
    """Return the byte for whole quarters of an hour; None is not known."""
    quarters = _UNKNOWN if zone_min is None else zone_min // _QUARTER_MIN
    return quarters.to_bytes(1, "little", signed=True)


def take_minutes(reader: Reader) -> int | None:
    """Take the minutes ahead of UTC; None where not known, DecodeError where reserved."""
    quarters = reader.signed(1, "time zone")
    if quarters == _UNKNOWN:
        return None
    if quarters not in _QUARTERS:
        raise DecodeError("reserved_value", f"time zone {quarters}")
    return quarters * _QUARTER_MIN
