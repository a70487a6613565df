"""Local Time Information (0x2A0F; GATT Specification Supplement): time zone and daylight saving."""

from __future__ import annotations

from devices.gatt import dst_offset, time_zone
from devices.gatt.reading import Fields, Reader

CHARACTERISTIC = "2A0F"


def decode(raw: bytes) -> Fields:
    """Return ``zone_min`` and ``dst_min``, each None where not known."""
    reader = Reader(raw)
    fields = {
        "zone_min": time_zone.take_minutes(reader),
        "dst_min": dst_offset.take_minutes(reader),
    }
    reader.end()
    return Fields(CHARACTERISTIC, fields)


def encode(zone_min: int | None, dst_min: int | None) -> bytes:
    """Return the two bytes; None is not known."""
    return time_zone.encode(zone_min) + dst_offset.encode(dst_min)
