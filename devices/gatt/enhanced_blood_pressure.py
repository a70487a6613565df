"""Enhanced Blood Pressure Measurement (0x2B34; GATT Specification Supplement, service 1.1.1).

As 0x2A35, but times are seconds (uint32) since 1900 or 2000, whichever the last flag says, and
there may be two: the sensor's own *base time*, perhaps UTC, and the *user facing time* that its
display shows. The device's claim is the user facing time. Where only the base time came, it stands
in its place, flagged ``base_time_only``: it may lack time zone and daylight saving.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from devices.gatt.blood_pressure import status_notes
from devices.gatt.reading import KILOPASCAL, Reader, user_context
from devices.kinds import KINDS
from devices.measurement import Absent, Measurement, Sample
from devices.medfloat import encode_sfloat

CHARACTERISTIC = "2B34"
KNOWN_FLAGS = 0x7F
_KIND = KINDS["blood_pressure"]
KILOPASCAL_FLAG = 1 << 0
_TIME, _PULSE, _USER, _STATUS, _FACING, _SINCE_2000 = (1 << bit for bit in range(1, 7))
_EPOCH_1900 = datetime(1900, 1, 1)  # noqa: DTZ001 - a device has no zone
_EPOCH_2000 = datetime(2000, 1, 1)  # noqa: DTZ001


@dataclass(frozen=True, slots=True)
class Beside:
    """The fields that may follow the pressures; None leaves one out.

    ``base_time`` and ``user_facing_time`` are naive. They are sent as seconds since 2000, or since
    1900 where ``since_1900``.
    """

    base_time: datetime | None = None
    pulse_bpm: float | Absent | None = None
    user: int | None = None
    status: int | None = None
    user_facing_time: datetime | None = None
    since_1900: bool = False


@dataclass(frozen=True, slots=True)
class EnhancedBloodPressure:
    """What a cuff says: pressures in mmHg, or in kPa where ``in_kilopascal``."""

    systolic: float | Absent
    diastolic: float | Absent
    mean: float | Absent = Absent.NAN
    in_kilopascal: bool = False
    beside: Beside = field(default_factory=Beside)


@dataclass(frozen=True, slots=True)
class Told:
    """What stood beside the pressures."""

    pulse: Sample | None
    device_time: datetime | None
    notes: tuple[str, ...]
    context: dict[str, str | int | float]


def decode(raw: bytes) -> Measurement:
    """Return the blood pressure in ``raw``; DecodeError where it cannot be read."""
    reader = Reader(raw)
    flags = reader.flags(KNOWN_FLAGS)
    unit = KILOPASCAL if flags & KILOPASCAL_FLAG else None
    names = ("systolic", "diastolic", "mean")
    samples = [reader.sfloat_sample(_KIND.named(name), unit) for name in names]
    has_failed = all(pressure.value is None for pressure in samples)
    told = take_beside(reader, flags)
    reader.end()
    if told.pulse is not None:
        samples.append(told.pulse)
    return Measurement(
        _KIND.name,
        tuple(samples),
        CHARACTERISTIC,
        raw,
        device_time=told.device_time,
        flags=(("measurement_failed",) if has_failed else ()) + told.notes,
        context=told.context,
    )


def encode(value: EnhancedBloodPressure) -> bytes:
    """Return the bytes a cuff would send for ``value``; ValueError where a number does not fit."""
    pressures = (value.systolic, value.diastolic, value.mean)
    body = b"".join(encode_sfloat(pressure).to_bytes(2, "little") for pressure in pressures)
    flags, rest = encode_beside(value.beside)
    return bytes((flags | (KILOPASCAL_FLAG if value.in_kilopascal else 0),)) + body + rest


def take_beside(reader: Reader, flags: int) -> Told:
    """Take the fields that ``flags`` announce after the pressures."""
    epoch = _EPOCH_2000 if flags & _SINCE_2000 else _EPOCH_1900
    base = _take_time(reader, epoch) if flags & _TIME else None
    pulse = reader.sfloat_sample(_KIND.named("pulse")) if flags & _PULSE else None
    context = user_context(reader.unsigned(1, "user") if flags & _USER else None)
    notes = status_notes(reader.unsigned(2, "status")) if flags & _STATUS else ()
    facing = _take_time(reader, epoch) if flags & _FACING else None
    if base is not None and facing is None:
        notes = (*notes, "base_time_only")
    elif base is not None:
        context["base_time"] = base.isoformat()
    return Told(pulse, facing or base, notes, context)


def encode_beside(value: Beside) -> tuple[int, bytes]:
    """Return the flags for ``value`` and the bytes of its fields."""
    epoch = _EPOCH_1900 if value.since_1900 else _EPOCH_2000
    flags = 0 if value.since_1900 else _SINCE_2000
    body = b""
    if value.base_time is not None:
        flags |= _TIME
        body += _seconds(value.base_time, epoch)
    if value.pulse_bpm is not None:
        flags |= _PULSE
        body += encode_sfloat(value.pulse_bpm).to_bytes(2, "little")
    if value.user is not None:
        flags |= _USER
        body += bytes((value.user,))
    if value.status is not None:
        flags |= _STATUS
        body += value.status.to_bytes(2, "little")
    if value.user_facing_time is not None:
        flags |= _FACING
        body += _seconds(value.user_facing_time, epoch)
    return flags, body


def _take_time(reader: Reader, epoch: datetime) -> datetime:
    return epoch + timedelta(seconds=reader.unsigned(4, "seconds since the epoch"))


def _seconds(time: datetime, epoch: datetime) -> bytes:
    return ((time - epoch) // timedelta(seconds=1)).to_bytes(4, "little")
