"""Enhanced Intermediate Cuff Pressure (0x2B35; GATT Specification Supplement).

As 0x2B34 with one pressure: that in the cuff while it works. It is **no measurement**.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from devices.gatt.enhanced_blood_pressure import (
    KILOPASCAL_FLAG,
    KNOWN_FLAGS,
    Beside,
    encode_beside,
    take_beside,
)
from devices.gatt.reading import KILOPASCAL, Fields, Reader, quantity, sample_fields
from devices.measurement import Absent
from devices.medfloat import encode_sfloat

CHARACTERISTIC = "2B35"


@dataclass(frozen=True, slots=True)
class EnhancedCuffPressure:
    """What a working cuff says: its pressure in mmHg, or in kPa where ``in_kilopascal``."""

    pressure: float | Absent
    in_kilopascal: bool = False
    beside: Beside = field(default_factory=Beside)


def decode(raw: bytes) -> Fields:
    """Return ``cuff_pressure``, ``pulse`` (or None), ``device_time``, ``ctx`` and ``flags``."""
    reader = Reader(raw)
    flags = reader.flags(KNOWN_FLAGS)
    unit = KILOPASCAL if flags & KILOPASCAL_FLAG else None
    pressure = quantity(reader.sfloat("cuff pressure"), "mm[Hg]", unit)
    told = take_beside(reader, flags)
    reader.end()
    return Fields(
        CHARACTERISTIC,
        {
            "cuff_pressure": pressure,
            "pulse": None if told.pulse is None else sample_fields(told.pulse),
            "device_time": None if told.device_time is None else told.device_time.isoformat(),
            "ctx": told.context,
            "flags": list(told.notes),
        },
    )


def encode(value: EnhancedCuffPressure) -> bytes:
    """Return the bytes a cuff would send for ``value``; ValueError where a number does not fit."""
    flags, rest = encode_beside(value.beside)
    flags |= KILOPASCAL_FLAG if value.in_kilopascal else 0
    return bytes((flags,)) + encode_sfloat(value.pressure).to_bytes(2, "little") + rest
