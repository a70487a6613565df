"""Intermediate Cuff Pressure (0x2A36; GATT Specification Supplement): the cuff while it works.

The layout of a blood pressure, with the pressure in the cuff where the systolic stands; the other
two are unused. It is for a display and is **no measurement**: it never becomes a systolic pressure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from devices.gatt import blood_pressure
from devices.gatt.blood_pressure import BloodPressure
from devices.gatt.reading import Fields, circumstances, sample_fields
from devices.measurement import Absent

CHARACTERISTIC = "2A36"
_PRESSURES = 3


@dataclass(frozen=True, slots=True)
class CuffPressure:
    """What a working cuff says: its pressure in mmHg, or in kPa where ``in_kilopascal``."""

    pressure: float | Absent
    in_kilopascal: bool = False
    time: datetime | None = None
    pulse_bpm: float | Absent | None = None
    user: int | None = None
    status: int | None = None


def decode(raw: bytes) -> Fields:
    """Return ``cuff_pressure``, ``pulse`` (or None), ``device_time``, ``ctx`` and ``flags``."""
    same = blood_pressure.decode(raw)
    pulse = sample_fields(same.samples[_PRESSURES]) if len(same.samples) > _PRESSURES else None
    return Fields(
        CHARACTERISTIC,
        {
            "cuff_pressure": sample_fields(same.samples[0]),
            "pulse": pulse,
            **circumstances(same),
        },
    )


def encode(value: CuffPressure) -> bytes:
    """Return the bytes a cuff would send for ``value``; ValueError where a number does not fit."""
    return blood_pressure.encode(
        BloodPressure(
            value.pressure,
            Absent.NAN,
            Absent.NAN,
            in_kilopascal=value.in_kilopascal,
            time=value.time,
            pulse_bpm=value.pulse_bpm,
            user=value.user,
            status=value.status,
        )
    )
