"""A record of a TaiDoc meter: its answers to model, time and value become one measurement.

Three frames of 8 bytes, as they came. :mod:`devices.gatt.taidoc` names the sources.

- Cuffs (3128, 3129): systolic, mean, diastolic, pulse, a byte each. In the time's bytes: bit 6 of
  the minute says irregular beats, bits 5 and 6 of the hour which kind, bit 7 that it is an average.
- Cuff with glucose meter (3261): bit 7 of the minute says pressure; two bytes of systolic, no mean.
- Thermometers (1035, 1241, 1261): the temperature in tenths of °C, or in hundredths where it would
  not be a temperature otherwise; three bits of the time say where. Of a thing or a room it is no
  body temperature: fields then. A unit bit says °F in one source only, so it is refused.
- Glucose meters (4141, 4206, 4216, 4235, 4257, 4277, 4279, 4283): mg/dL whatever the display shows;
  above 600 and below 20 it showed HI or LO, and the number is kept as sent beside the flag that
  says so: a number may alarm. The highest two bits of the last byte say before or after a meal, or
  control solution; the four below which strip it was, in meters that have several: anything but
  glucose has no kind here and is refused.

Whose value it is cannot be told: no source says where a record names its user.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

from devices.errors import DecodeError
from devices.gatt import taidoc
from devices.gatt.reading import MILLIGRAM_PER_DECILITRE, Fields, Reader, sample
from devices.gatt.taidoc import (
    CHARACTERISTIC,
    FRAME_BYTES,
    Command,
    Frame,
    Stamp,
    encode_frame,
    encode_model,
    read_frame,
    read_model,
    read_stamp,
)
from devices.kinds import KINDS
from devices.measurement import Absent, Measurement, Sample
from devices.medfloat import Number

# The pulse below which, a source says, the record of a cuff is an error and no pressure.
PULSE_ERROR_MAX = 3
# As hundredths these are 30 to 45 °C; as tenths no thermometer shows them.
HUNDREDTHS = range(3000, 4501)
GLUCOSE_INVALID = 0xFFFF
# In mg/dL, by the maker's specification as tidepool-org/uploader, glucoRxDriver.js, has it.
GLUCOSE_MIN, GLUCOSE_MAX = 20, 600
# Kinds of irregular beats: 1 is above 110 or below 50, 2 varies by a fifth, 3 is irregular.
_UNEVEN = (2, 3)

MEALS = {1: "before_meal", 2: "after_meal"}
"""By the two highest bits of a glucose value; 0 says nothing, 3 is control solution."""
_CONTROL_SOLUTION = 3

PLACES = {0: "ear", 1: "forehead", 2: "rectum", 3: "armpit"}
"""Where a temperature was taken, by the three bits beside its time."""
_THINGS = {4: "object_surface", 5: "room"}


@dataclass(frozen=True, slots=True)
class _Part:
    """What a layout makes of a record: samples, flags and context of one kind."""

    kind: str
    samples: tuple[Sample, ...]
    flags: tuple[str, ...] = ()
    context: Mapping[str, str | int | float] = field(default_factory=dict)


_Layout = Callable[[bytes, Stamp], _Part | Fields]


def decode(raw: bytes) -> Measurement | Fields:
    """Return the measurement in a record of three frames, or the fields in one frame.

    A temperature of something that is no body is fields too. Raises DecodeError for everything
    else, a model that is not known among it.
    """
    if len(raw) == FRAME_BYTES:
        return taidoc.decode_frame(raw)
    model, stamp, value = _answers(raw)
    layout = LAYOUTS.get(model)
    if layout is None:
        raise DecodeError("unknown_model", f"TaiDoc model {model}")
    part = layout(value, stamp)
    if isinstance(part, Fields):
        return part
    failed = () if any(one.value is not None for one in part.samples) else ("measurement_failed",)
    return Measurement(
        part.kind,
        part.samples,
        CHARACTERISTIC,
        raw,
        device_time=stamp.time,
        flags=(*failed, *part.flags, *stamp.doubts),
        context=part.context,
    )


def encode(model: str, stamp: bytes, value: bytes) -> bytes:
    """Return the record that a meter of ``model`` gives in answers with these four bytes each."""
    bodies = (
        (Command.MODEL, encode_model(model)),
        (Command.RECORD_TIME, stamp),
        (Command.RECORD_VALUE, value),
    )
    return b"".join(encode_frame(Frame(command, body, is_answer=True)) for command, body in bodies)


def _answers(raw: bytes) -> tuple[str, Stamp, bytes]:
    """Return model, time and value of a record; each frame is checked by its own sum."""
    reader = Reader(raw)
    if reader.left < FRAME_BYTES:
        raise DecodeError("truncated", f"a frame has {FRAME_BYTES} bytes, the value {len(raw)}")
    bodies = []
    for command in (Command.MODEL, Command.RECORD_TIME, Command.RECORD_VALUE):
        frame = read_frame(reader.take(FRAME_BYTES, f"answer to {command.name.lower()}"))
        if frame.command != command or not frame.is_answer:
            said = f"0x{frame.command:02X}"
            raise DecodeError("reserved_value", f"{said} in the place of {command.name.lower()}")
        bodies.append(frame.body)
    reader.end()
    return read_model(bodies[0]), read_stamp(bodies[1]), bodies[2]


def _pressure(value: bytes, stamp: Stamp) -> _Part:
    systolic, mean, diastolic, pulse = value
    return _pressures({"systolic": systolic, "diastolic": diastolic, "mean": mean}, pulse, stamp)


def _wide_pressure(value: bytes, stamp: Stamp) -> _Part:
    systolic = int.from_bytes(value[:2], "little")
    return _pressures({"systolic": systolic, "diastolic": value[2]}, value[3], stamp)


def _pressures(pressures: Mapping[str, int], pulse: int, stamp: Stamp) -> _Part:
    kind = KINDS["blood_pressure"]
    has_failed = pressures["systolic"] == 0 or pulse <= PULSE_ERROR_MAX
    numbers: dict[str, int] = {**pressures, "pulse": pulse}
    samples = tuple(
        sample(kind.named(name), Absent.NAN if has_failed else _number(number))
        for name, number in numbers.items()
    )
    # What the meter calls it beyond that is a diagnosis; kind 1 is but a fast or slow pulse.
    is_irregular = stamp.minute_bits & 0b01 or stamp.hour_bits & 0b11 in _UNEVEN
    flags = ("irregular_pulse",) if is_irregular else ()
    return _Part(kind.name, samples, flags, {"average": "yes"} if stamp.hour_bits & 0b100 else {})


def _pressure_or_glucose(value: bytes, stamp: Stamp) -> _Part:
    return _wide_pressure(value, stamp) if stamp.minute_bits & 0b10 else _glucose(value, stamp)


def _temperature(value: bytes, stamp: Stamp) -> _Part | Fields:
    if stamp.hour_bits & 0b100:
        raise DecodeError("unsupported_unit", "a thermometer that says °F")
    raw = int.from_bytes(value[:2], "little")
    tenths = Decimal(raw) / (100 if raw in HUNDREDTHS else 10)
    place = (stamp.hour_bits & 0b001) << 2 | stamp.minute_bits
    if place in _THINGS:
        fields = {"temperature_of": _THINGS[place], "value": float(tenths), "unit": "Cel"}
        return Fields(CHARACTERISTIC, fields)
    kind = KINDS["body_temperature"]
    reading = sample(kind.named("temperature"), tenths if raw else Absent.NAN)
    if place in PLACES:
        return _Part(kind.name, (reading,), context={"site": PLACES[place]})
    return _Part(kind.name, (reading,), flags=("unknown_site",))


def _glucose(value: bytes, _stamp: Stamp) -> _Part:
    kind = KINDS["glucose"]
    raw, meal, analyte = int.from_bytes(value[:2], "little"), value[3] >> 6, value[3] >> 2 & 0xF
    if analyte:
        raise DecodeError("unsupported_observation", f"strip number {analyte}, not glucose")
    number: Number = Absent.NAN if raw == GLUCOSE_INVALID else Decimal(raw)
    flags = ["control_solution"] if meal == _CONTROL_SOLUTION else []
    if isinstance(number, Decimal) and raw > GLUCOSE_MAX:
        flags.append("result_too_high")
    if raw < GLUCOSE_MIN:
        flags.append("result_too_low")
    reading = sample(kind.named("glucose"), number, MILLIGRAM_PER_DECILITRE)
    context = {"meal": MEALS[meal]} if meal in MEALS else {}
    return _Part(kind.name, (reading,), tuple(flags), context)


def _number(byte: int) -> Number:
    return Decimal(byte) if byte else Absent.NAN


LAYOUTS: Mapping[str, _Layout] = MappingProxyType(
    dict.fromkeys(("3128", "3129"), _pressure)
    | {"3261": _pressure_or_glucose}
    | dict.fromkeys(("1035", "1241", "1261"), _temperature)
    | dict.fromkeys(("4141", "4206", "4216", "4235", "4257", "4277", "4279", "4283"), _glucose)
)
"""How the value of a record reads, by the model as the meter answers it."""
