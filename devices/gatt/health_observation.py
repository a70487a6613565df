"""Live and Stored Health Observations (0x2B8B, 0x2BDD; Generic Health Sensor Service). Decode only.

One byte of segmentation; in a stored one the record number; then class, length, flags and the
fields these announce. No device that uses it is known here, so only what could be checked against
two makers' public code (STMicroelectronics' sensor application, Realtek's header) is read: numbers,
compounds of numbers, and bundles of both, of what the catalogue knows. Everything else, and a part
of an observation sent in several segments, is refused as a whole, so that its bytes are kept.

A bundle's time, patient and status hold for its members where they have none of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from devices.errors import DecodeError
from devices.gatt import elapsed_time
from devices.gatt.reading import (
    FAHRENHEIT,
    KILOPASCAL,
    MILLIGRAM_PER_DECILITRE,
    POUND,
    Reader,
    Reading,
    Unit,
    bit_names,
    sample,
    user_context,
)
from devices.kinds import COMPONENTS, KINDS, Component, kind_of
from devices.measurement import Measurement, Sample

LIVE, STORED = "2B8B", "2BDD"
CHARACTERISTICS = (LIVE, STORED)
_WHOLE = 0b11  # first and last segment at once
_NUMERIC, _COMPOUND, _BUNDLE = 1, 7, 255
(
    _TYPE,
    _TIME,
    _DURATION,
    _STATUS,
    _ID,
    _PATIENT,
    _SUPPLEMENT,
    _DERIVED_FROM,
    _MEMBER_OF,
    _TLVS,
) = (1 << bit for bit in range(10))
_LISTS = (("supplemental", _SUPPLEMENT), ("derived_from", _DERIVED_FROM), ("member_of", _MEMBER_OF))
# A string in an item's context has at most 200 characters, a code at most ten digits.
LISTED_MAX = 18

STATUS = {
    0: "invalid_measurement",
    1: "questionable_measurement",
    2: "measurement_unavailable",
    3: "calibrating",
    4: "testing",
    5: "early_estimate",
    6: "manually_entered",
    7: "setting",
    14: "threshold_error",
    15: "thresholding_disabled",
}
"""Flags by bit of the measurement status, named as an oximeter's; bits 8 to 13 are reserved."""

# MDC dimension codes (partition 4), from the nomenclature lists named in kinds.py.
_UNITS: dict[int, tuple[str, Unit | None]] = {
    544: ("%", None),
    1731: ("kg", None),
    1760: ("kg", POUND),
    2130: ("mmol/L", MILLIGRAM_PER_DECILITRE),
    2720: ("/min", None),
    2784: ("/min", None),
    3843: ("mm[Hg]", KILOPASCAL),
    3872: ("mm[Hg]", None),
    4288: ("Ohm", None),
    4416: ("Cel", FAHRENHEIT),
    4722: ("mmol/L", None),
    6048: ("Cel", None),
}
_BY_CODE = {component.code: component for component in COMPONENTS.values()}


@dataclass(frozen=True, slots=True)
class _About:
    """What stands before an observation's value."""

    type_code: int | None = None
    device_time: datetime | None = None
    notes: tuple[str, ...] = ()
    context: dict[str, str | int | float] = field(default_factory=dict)


def decode(raw: bytes, characteristic: str) -> Reading:
    """Return the observations in ``raw``, a value of LIVE or STORED."""
    reader = Reader(raw)
    if reader.unsigned(1, "segmentation header") & _WHOLE != _WHOLE:
        raise DecodeError("segmented", "a part of an observation can't be read alone")
    number = reader.unsigned(4, "record number") if characteristic == STORED else None
    found = tuple(_take_observation(reader, _About()))
    reader.end()
    if not found:
        raise DecodeError("unsupported_observation", "a bundle of nothing")
    return Reading(
        tuple(
            replace(one, characteristic=characteristic, raw=raw, sequence_number=number)
            for one in found
        )
    )


def _take_observation(outer: Reader, around: _About) -> Iterator[Measurement]:
    observation_class = outer.unsigned(1, "observation class")
    reader = Reader(outer.take(outer.unsigned(2, "length"), "observation"))
    about = _take_about(reader, around)
    if observation_class == _BUNDLE:
        for _ in range(reader.unsigned(1, "number of observations")):
            yield from _take_observation(reader, replace(about, type_code=None))
    elif observation_class == _COMPOUND:
        count = reader.unsigned(1, "number of components")
        yield _measurement([_take_component(reader) for _ in range(count)], about)
    elif observation_class == _NUMERIC:
        yield _measurement([_take_number(reader, about.type_code)], about)
    else:
        raise DecodeError("unsupported_observation", f"class {observation_class}")
    reader.end()


def _take_about(reader: Reader, around: _About) -> _About:
    flags = reader.flags(known=0x03FF, count=2)
    about = replace(around, context=dict(around.context))
    if flags & _TYPE:
        about = replace(about, type_code=reader.unsigned(4, "observation type"))
    if flags & _TIME:
        about = _with_time(about, reader)
    context = about.context
    if flags & _DURATION:
        duration = reader.float32("measurement duration")
        context["measurement_duration_s"] = (
            float(duration) if isinstance(duration, Decimal) else duration.value
        )
    if flags & _STATUS:
        status = reader.unsigned(2, "measurement status")
        about = replace(about, notes=about.notes + tuple(bit_names(status, STATUS)))
    if flags & _ID:
        context["observation_id"] = reader.unsigned(4, "observation ID")
    if flags & _PATIENT:
        context |= user_context(reader.unsigned(1, "patient"))
    for name, flag in _LISTS:
        if flags & flag:
            codes = [reader.unsigned(4, name) for _ in range(reader.unsigned(1, name))]
            context[name] = " ".join(str(code) for code in codes[:LISTED_MAX])
    if flags & _TLVS:
        raise DecodeError("unsupported_observation", "attributes as type, length and value")
    return about


def _with_time(about: _About, reader: Reader) -> _About:
    """Return ``about`` with the device's claim, where it makes one in local time."""
    stamp = Reader(reader.take(elapsed_time.LENGTH, "time stamp"))
    try:
        told = elapsed_time.take(stamp)
    except DecodeError as error:
        if error.reason != "invalid_time":
            raise
        return replace(about, device_time=None, notes=(*about.notes, "device_time_invalid"))
    context = about.context
    if told.source is not None:
        context["time_source"] = told.source
    if told.ticks_us is not None:
        context["ticks_us"] = told.ticks_us
    if told.utc is not None:
        context["utc"] = f"{told.utc.isoformat()}Z"
    if not told.is_current:
        # The clock was set since then: what it says now tells nothing about what it said.
        return replace(about, device_time=None, notes=(*about.notes, "other_timeline"))
    if told.local is None:
        return replace(about, device_time=None, notes=(*about.notes, "device_time_unknown"))
    return replace(about, device_time=told.local)


def _take_component(reader: Reader) -> tuple[Component, Sample]:
    type_code = reader.unsigned(4, "component type")
    component_class = reader.unsigned(1, "component class")
    if component_class != _NUMERIC:
        raise DecodeError("unsupported_observation", f"component of class {component_class}")
    return _take_number(reader, type_code)


def _take_number(reader: Reader, type_code: int | None) -> tuple[Component, Sample]:
    unit_code = reader.unsigned(2, "unit")
    number = reader.float32("value")
    component = _BY_CODE.get(str(type_code))
    if component is None:
        raise DecodeError("unsupported_observation", f"type {type_code}")
    unit, sent = _UNITS.get(unit_code, (None, None))
    if unit != component.unit:
        raise DecodeError("unsupported_observation", f"unit {unit_code} for {component.name}")
    return component, sample(component, number, sent)


def _measurement(found: list[tuple[Component, Sample]], about: _About) -> Measurement:
    kinds = {kind_of(component.number).name for component, _ in found}
    names = [component.name for component, _ in found]
    if len(kinds) != 1 or len(set(names)) != len(names):
        raise DecodeError("unsupported_observation", f"a compound of {names}")
    samples = tuple(reading for _, reading in found)
    has_failed = all(reading.value is None for reading in samples)
    return Measurement(
        KINDS[kinds.pop()].name,
        samples,
        LIVE,
        b"",
        device_time=about.device_time,
        flags=(("measurement_failed",) if has_failed else ()) + tuple(dict.fromkeys(about.notes)),
        context=about.context,
    )
