"""Weight Measurement (0x2A9D; Weight Scale Service 1.0.1, section 3.2).

Flags (1 byte: imperial, time stamp, user, BMI and height), the weight (uint16), then the optional
fields. The step depends on the unit: 0.005 kg or 0.01 lb, and 0.001 m or 0.1 in for the height. A
weight of 0xFFFF is a weighing that failed: flagged ``measurement_failed``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from devices.gatt import date_time
from devices.gatt.reading import INCH, METRE, POUND, Reader, sample, user_context
from devices.kinds import KINDS
from devices.measurement import Absent, Measurement
from devices.medfloat import Number

CHARACTERISTIC = "2A9D"
_KIND = KINDS["body_weight"]
_IMPERIAL, _TIME, _USER, _BMI = (1 << bit for bit in range(4))
_FAILED = 0xFFFF
_KILOGRAM_STEP, _POUND_STEP = Decimal("0.005"), Decimal("0.01")
_METRE_STEP, _INCH_STEP = Decimal("0.001"), Decimal("0.1")
_BMI_STEP = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class Weight:
    """What a scale says: kg and m, or lb and in where ``is_imperial``. None leaves a field out.

    BMI and height share one flag: give both or neither.
    """

    weight: float | Absent
    is_imperial: bool = False
    time: datetime | None = None
    user: int | None = None
    bmi: float | None = None
    height: float | None = None


def decode(raw: bytes) -> Measurement:
    """Return the weight in ``raw``; DecodeError where it cannot be read."""
    reader = Reader(raw)
    flags = reader.flags(known=0b1111)
    is_imperial = bool(flags & _IMPERIAL)
    steps = reader.unsigned(2, "weight")
    weight: Number = steps * (_POUND_STEP if is_imperial else _KILOGRAM_STEP)
    if steps == _FAILED:
        weight = Absent.NAN
    samples = [sample(_KIND.named("weight"), weight, POUND if is_imperial else None)]
    notes = ["measurement_failed"] if steps == _FAILED else []
    time = None
    if flags & _TIME:
        time, doubts = date_time.take_stamp(reader)
        notes += doubts
    user = reader.unsigned(1, "user") if flags & _USER else None
    if flags & _BMI:
        samples.append(sample(_KIND.named("bmi"), reader.unsigned(2, "BMI") * _BMI_STEP))
        height = reader.unsigned(2, "height")
        step, unit = (_INCH_STEP, INCH) if is_imperial else (_METRE_STEP, METRE)
        samples.append(sample(_KIND.named("height"), height * step, unit))
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


def encode(value: Weight) -> bytes:
    """Return the bytes a scale would send for ``value``; OverflowError where it does not fit."""
    assert (value.bmi is None) == (value.height is None), "BMI and height come together"
    flags = _IMPERIAL if value.is_imperial else 0
    body = _word(value.weight, _POUND_STEP if value.is_imperial else _KILOGRAM_STEP)
    if value.time is not None:
        flags |= _TIME
        body += date_time.encode(value.time)
    if value.user is not None:
        flags |= _USER
        body += bytes((value.user,))
    if value.bmi is not None and value.height is not None:
        flags |= _BMI
        body += _word(value.bmi, _BMI_STEP)
        body += _word(value.height, _INCH_STEP if value.is_imperial else _METRE_STEP)
    return bytes((flags,)) + body


def _word(value: float | Absent, step: Decimal) -> bytes:
    steps = _FAILED if isinstance(value, Absent) else round(Decimal(str(value)) / step)
    return steps.to_bytes(2, "little")
