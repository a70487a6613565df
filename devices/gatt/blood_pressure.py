"""Blood Pressure Measurement (0x2A35; Blood Pressure Service 1.1.1, section 3.1).

Flags (1 byte: kPa, time stamp, pulse, user, status), systolic, diastolic and mean pressure (SFLOAT
each), then the optional fields in the order of their flags. The unit is the flag's: mmHg or kPa.

Three pressures without a number are a measurement that failed: flagged ``measurement_failed``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from devices.gatt import date_time
from devices.gatt.reading import KILOPASCAL, Reader, bit_names, user_context
from devices.kinds import KINDS
from devices.measurement import Absent, Measurement
from devices.medfloat import encode_sfloat

CHARACTERISTIC = "2A35"
_KIND = KINDS["blood_pressure"]
_PRESSURES = tuple(_KIND.named(name) for name in ("systolic", "diastolic", "mean"))
_PULSE_RATE = _KIND.named("pulse")
_KILOPASCAL, _TIME, _PULSE, _USER, _STATUS = (1 << bit for bit in range(5))

MOVEMENT = 1 << 0
CUFF_LOOSE = 1 << 1
IRREGULAR_PULSE = 1 << 2
PULSE_RATE_HIGH = 1 << 3
PULSE_RATE_LOW = 1 << 4
IMPROPER_POSITION = 1 << 5

# Bits 3 and 4 are one number: 1 above, 2 below the range the device can judge, 3 reserved.
_PULSE_RANGE = 0b11 << 3
_STATUS_NAMES = {
    0: "movement",
    1: "cuff_loose",
    2: "irregular_pulse",
    3: "pulse_rate_high",
    4: "pulse_rate_low",
    5: "improper_position",
}


@dataclass(frozen=True, slots=True)
class BloodPressure:
    """What a cuff says: pressures in mmHg, or in kPa where ``in_kilopascal``.

    None leaves an optional field out; :class:`Absent` sends it without a number. ``status`` is a
    sum of this module's constants such as MOVEMENT.
    """

    systolic: float | Absent
    diastolic: float | Absent
    mean: float | Absent = Absent.NAN
    in_kilopascal: bool = False
    time: datetime | None = None
    pulse_bpm: float | Absent | None = None
    user: int | None = None
    status: int | None = None


def decode(raw: bytes) -> Measurement:
    """Return the blood pressure in ``raw``; DecodeError where it cannot be read."""
    reader = Reader(raw)
    flags = reader.flags(known=0b11111)
    unit = KILOPASCAL if flags & _KILOPASCAL else None
    samples = [reader.sfloat_sample(part, unit) for part in _PRESSURES]
    notes: list[str] = []
    if all(pressure.value is None for pressure in samples):
        notes.append("measurement_failed")
    time = None
    if flags & _TIME:
        time, doubts = date_time.take_stamp(reader)
        notes += doubts
    if flags & _PULSE:
        samples.append(reader.sfloat_sample(_PULSE_RATE))
    user = reader.unsigned(1, "user") if flags & _USER else None
    if flags & _STATUS:
        notes += status_notes(reader.unsigned(2, "status"))
    reader.end()
    return Measurement(
        _KIND.name,
        tuple(samples),
        CHARACTERISTIC,
        raw,
        device_time=time,
        flags=tuple(notes),
        context=user_context(user),
    )


def encode(value: BloodPressure) -> bytes:
    """Return the bytes a cuff would send for ``value``; ValueError where a number does not fit."""
    flags = _KILOPASCAL if value.in_kilopascal else 0
    pressures = (value.systolic, value.diastolic, value.mean)
    body = b"".join(encode_sfloat(pressure).to_bytes(2, "little") for pressure in pressures)
    if value.time is not None:
        flags |= _TIME
        body += date_time.encode(value.time)
    if value.pulse_bpm is not None:
        flags |= _PULSE
        body += encode_sfloat(value.pulse_bpm).to_bytes(2, "little")
    if value.user is not None:
        flags |= _USER
        body += bytes((value.user,))
    if value.status is not None:
        flags |= _STATUS
        body += value.status.to_bytes(2, "little")
    return bytes((flags,)) + body


# Pure; of its 65,536 answers devices use a handful.
@lru_cache(maxsize=1 << 8)
def status_notes(status: int) -> tuple[str, ...]:
    """Return the flags for a measurement status (GATT Specification Supplement, 2A35 to 2B35)."""
    names = bit_names(status, _STATUS_NAMES)
    if status & _PULSE_RANGE == _PULSE_RANGE:
        # Neither high nor low can be believed; say that something was said.
        names = (*bit_names(status & ~_PULSE_RANGE, _STATUS_NAMES), "unknown_status")
    return tuple(dict.fromkeys(names))
