"""Temperature Measurement (0x2A1C; Health Thermometer Service 1.0, section 3.1).

Flags (1 byte: Fahrenheit, time stamp, type), the temperature (FLOAT), then the optional fields. The
type says where on the body; a number outside the list is flagged ``unknown_site``, the value kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from devices.gatt import date_time
from devices.gatt.reading import FAHRENHEIT, Reader, sample
from devices.kinds import KINDS
from devices.measurement import Absent, Measurement
from devices.medfloat import encode_float

CHARACTERISTIC = "2A1C"
_KIND = KINDS["body_temperature"]
_FAHRENHEIT, _TIME, _SITE = (1 << bit for bit in range(3))

SITES = (
    "armpit",
    "body",
    "ear",
    "finger",
    "gastrointestinal",
    "mouth",
    "rectum",
    "toe",
    "tympanum",
)
"""Places on the body, numbered from 1 (Temperature Type, 0x2A1D)."""


@dataclass(frozen=True, slots=True)
class Temperature:
    """What a thermometer says, in °C or in °F where ``in_fahrenheit``; ``site`` is one of SITES."""

    temperature: float | Absent
    in_fahrenheit: bool = False
    time: datetime | None = None
    site: str | None = None


def decode(raw: bytes) -> Measurement:
    """Return the temperature in ``raw``; DecodeError where it cannot be read."""
    reader = Reader(raw)
    flags = reader.flags(known=0b111)
    unit = FAHRENHEIT if flags & _FAHRENHEIT else None
    reading = sample(_KIND.named("temperature"), reader.float32("temperature"), unit)
    notes = ["measurement_failed"] if reading.value is None else []
    time = None
    if flags & _TIME:
        time, doubts = date_time.take_stamp(reader)
        notes += doubts
    context: dict[str, str | int | float] = {}
    if flags & _SITE:
        number = reader.unsigned(1, "temperature type")
        if 1 <= number <= len(SITES):
            context["site"] = SITES[number - 1]
        else:
            notes.append("unknown_site")
    reader.end()
    return Measurement(
        _KIND.name,
        (reading,),
        CHARACTERISTIC,
        raw,
        device_time=time,
        flags=tuple(notes),
        context=context,
    )


def encode(value: Temperature) -> bytes:
    """Return the bytes a thermometer would send for ``value``; ValueError where it does not fit."""
    flags = _FAHRENHEIT if value.in_fahrenheit else 0
    body = encode_float(value.temperature).to_bytes(4, "little")
    if value.time is not None:
        flags |= _TIME
        body += date_time.encode(value.time)
    if value.site is not None:
        flags |= _SITE
        body += bytes((SITES.index(value.site) + 1,))
    return bytes((flags,)) + body
