"""CGM Session Start Time (0x2AAA; GATT Specification Supplement): when the minutes began to count.

Date Time, time zone, daylight saving, perhaps an E2E-CRC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from devices.gatt import date_time, dst_offset, time_zone
from devices.gatt.e2e_crc import take_crc, with_crc
from devices.gatt.reading import Fields, Reader

CHARACTERISTIC = "2AAA"


@dataclass(frozen=True, slots=True)
class SessionStart:
    """Naive local time, and minutes of zone and daylight saving; None is not known."""

    time: datetime | None
    zone_min: int | None
    dst_min: int | None


def read(raw: bytes) -> tuple[SessionStart, bool]:
    """Return the start and whether an E2E-CRC covered it; DecodeError where it cannot be read."""
    reader = Reader(raw)
    start = SessionStart(
        date_time.take(reader), time_zone.take_minutes(reader), dst_offset.take_minutes(reader)
    )
    return start, take_crc(reader)


def decode(raw: bytes) -> Fields:
    """Return ``session_start``, ``zone_min`` and ``dst_min`` (each or None), and ``e2e_crc``."""
    start, has_crc = read(raw)
    return Fields(
        CHARACTERISTIC,
        {
            "session_start": None if start.time is None else start.time.isoformat(),
            "zone_min": start.zone_min,
            "dst_min": start.dst_min,
            "e2e_crc": has_crc,
        },
    )


def encode(value: SessionStart, *, has_crc: bool = False) -> bytes:
    """Return the bytes for ``value``."""
    covered = date_time.encode(value.time)
    covered += time_zone.encode(value.zone_min) + dst_offset.encode(value.dst_min)
    return with_crc(covered) if has_crc else covered
