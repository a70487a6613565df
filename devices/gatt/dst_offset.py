"""DST Offset (0x2A0D; GATT Specification Supplement): how far summer time is ahead."""

from __future__ import annotations

from devices.errors import DecodeError
from devices.gatt.reading import Fields, Reader

CHARACTERISTIC = "2A0D"
_MINUTES = {0: 0, 2: 30, 4: 60, 8: 120, 255: None}


def decode(raw: bytes) -> Fields:
    """Return ``dst_min``, minutes or None where not known; DecodeError for a reserved value."""
    reader = Reader(raw)
    minutes = take_minutes(reader)
    reader.end()
    return Fields(CHARACTERISTIC, {"dst_min": minutes})


def encode(dst_min: int | None) -> bytes:
    """Return the byte for 0, 30, 60 or 120 minutes; None is not known."""
    return bytes((next(word for word, known in _MINUTES.items() if known == dst_min),))


def take_minutes(reader: Reader) -> int | None:
    """Take the minutes of daylight saving; None where not known, DecodeError where reserved."""
    word = reader.unsigned(1, "DST offset")
    if word not in _MINUTES:
        raise DecodeError("reserved_value", f"DST offset {word}")
    return _MINUTES[word]
