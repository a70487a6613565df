"""Glucose Measurement (0x2A18; Glucose Service 1.0.1, section 3.1).

Flags (1 byte: time offset, concentration, mol/L, status, context follows), sequence number, base
time, then the optional fields. The user facing time is base time plus offset. The concentration is
in kg/L or mol/L, as the flag says, whatever the meter shows.

"Too high" and "too low to process" (HI and LO on the display) are results: without a number they
become an infinity, not a failure. A record with neither number nor such a bit has failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from devices.gatt import date_time
from devices.gatt.glucose_sample import (
    beyond_range,
    encode_sample,
    has_failed,
    take_sample,
)
from devices.gatt.reading import (
    KILOGRAM_PER_LITRE,
    MOLE_PER_LITRE,
    Reader,
    bit_names,
    sample,
)
from devices.kinds import KINDS
from devices.measurement import Absent, Measurement
from devices.medfloat import Number, encode_sfloat

CHARACTERISTIC = "2A18"
_KIND = KINDS["glucose"]
_OFFSET, _CONCENTRATION, _MOLES, _STATUS, _CONTEXT = (1 << bit for bit in range(5))
_OFFSET_OVERRUN, _OFFSET_UNDERRUN = 0x7FFF, -0x8000

STATUS = {
    0: "device_battery_low",
    1: "sensor_malfunction",
    2: "sample_size_insufficient",
    3: "strip_insertion_error",
    4: "strip_type_incorrect",
    5: "result_too_high",
    6: "result_too_low",
    7: "temperature_too_high",
    8: "temperature_too_low",
    9: "read_interrupted",
    10: "general_device_fault",
    11: "time_fault",
}
"""Flags by bit of the sensor status annunciation; bits 12 to 15 are reserved."""

RESULT_TOO_HIGH = 1 << 5
RESULT_TOO_LOW = 1 << 6


@dataclass(frozen=True, slots=True)
class Glucose:
    """What a meter says; the concentration in kg/L, or in mol/L where ``in_moles``.

    None leaves an optional field out; type and place go with the concentration.
    """

    sequence_number: int
    base_time: datetime | None
    concentration: float | Absent | None = None
    in_moles: bool = False
    sample_type: str = "capillary_plasma"
    sample_location: str = "finger"
    time_offset_min: int | None = None
    status: int | None = None
    context_follows: bool = False


def decode(raw: bytes) -> Measurement:
    """Return the glucose value in ``raw``; DecodeError where it cannot be read."""
    reader = Reader(raw)
    flags = reader.flags(known=0b11111)
    sequence_number = reader.unsigned(2, "sequence number")
    time, doubts = date_time.take_stamp(reader)
    notes = list(doubts)
    context: dict[str, str | int | float] = {}
    if flags & _OFFSET:
        offset_min = reader.signed(2, "time offset")
        context["time_offset_min"] = offset_min
        time, doubts = _shifted(time, offset_min)
        notes += doubts
    concentration: Number | None = None
    if flags & _CONCENTRATION:
        concentration = reader.sfloat("glucose concentration")
        where, odd = take_sample(reader)
        context |= where
        notes += odd
    status = reader.unsigned(2, "sensor status annunciation") if flags & _STATUS else 0
    notes += bit_names(status, STATUS)
    if flags & _CONTEXT:
        context["context_follows"] = "yes"
    reader.end()
    concentration = beyond_range(
        concentration, is_high=bool(status & RESULT_TOO_HIGH), is_low=bool(status & RESULT_TOO_LOW)
    )
    unit = MOLE_PER_LITRE if flags & _MOLES else KILOGRAM_PER_LITRE
    if has_failed(concentration):
        notes.append("measurement_failed")
    component = _KIND.named("glucose")
    return Measurement(
        _KIND.name,
        () if concentration is None else (sample(component, concentration, unit),),
        CHARACTERISTIC,
        raw,
        device_time=time,
        sequence_number=sequence_number,
        flags=tuple(notes),
        context=context,
    )


def encode(value: Glucose) -> bytes:
    """Return the bytes a meter would send for ``value``; ValueError where it does not fit."""
    flags = (_MOLES if value.in_moles else 0) | (_CONTEXT if value.context_follows else 0)
    body = value.sequence_number.to_bytes(2, "little") + date_time.encode(value.base_time)
    if value.time_offset_min is not None:
        flags |= _OFFSET
        body += value.time_offset_min.to_bytes(2, "little", signed=True)
    if value.concentration is not None:
        flags |= _CONCENTRATION
        body += encode_sfloat(value.concentration).to_bytes(2, "little")
        body += encode_sample(value.sample_type, value.sample_location)
    if value.status is not None:
        flags |= _STATUS
        body += value.status.to_bytes(2, "little")
    return bytes((flags,)) + body


def _shifted(base: datetime | None, offset_min: int) -> tuple[datetime | None, tuple[str, ...]]:
    if offset_min in (_OFFSET_OVERRUN, _OFFSET_UNDERRUN):
        # The display's time is further off than the field can say; the base time is another clock.
        return None, ("time_offset_out_of_range",)
    if base is None:
        return None, ()
    try:
        return base + timedelta(minutes=offset_min), ()
    except OverflowError:
        return None, ("device_time_invalid",)
