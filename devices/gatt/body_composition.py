"""Body Composition Measurement (0x2A9C; Body Composition Service 1.0, section 3.2).

Flags (2 bytes), body fat (uint16, 0.1 %), then the optional fields in the order of their flags. The
steps are those of 0x2A9D: 0.005 kg or 0.01 lb, 0.001 m or 0.1 in. Impedance counts 0.1 Ω: the text
of the supplement and the SIG's XML say so, though the supplement's formula has 0.01.

Weight and height are a ``body_weight`` of their own beside the ``body_composition``, so that they
stand where every other scale's do. Body fat 0xFFFF is a measurement that failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from devices.gatt import date_time
from devices.gatt.reading import INCH, METRE, POUND, Reader, Reading, Unit, sample, user_context
from devices.kinds import KINDS
from devices.measurement import Absent, Measurement, Sample
from devices.medfloat import Number

CHARACTERISTIC = "2A9C"
_COMPOSITION, _WEIGHT = KINDS["body_composition"], KINDS["body_weight"]
_FAILED = 0xFFFF
_IMPERIAL, _TIME, _USER = (1 << bit for bit in range(3))
_HAS_WEIGHT, _HAS_HEIGHT, _MULTIPLE_PACKETS = (1 << bit for bit in range(10, 13))
_MASS_STEPS = (Decimal("0.005"), Decimal("0.01"))
_HEIGHT_STEPS = (Decimal("0.001"), Decimal("0.1"))
_TENTH = Decimal("0.1")

# Bit, component, and its step where that is the same in both systems; masses depend.
_FIELDS: tuple[tuple[int, str, Decimal | None], ...] = (
    (3, "basal_metabolism", Decimal(1)),
    (4, "muscle", _TENTH),
    (5, "muscle_mass", None),
    (6, "fat_free_mass", None),
    (7, "soft_lean_mass", None),
    (8, "body_water_mass", None),
    (9, "impedance", _TENTH),
)


@dataclass(frozen=True, slots=True)
class BodyComposition:
    """What a scale says: per cent, kJ, Ω, and kg and m, or lb and in where ``is_imperial``."""

    body_fat: float | Absent
    is_imperial: bool = False
    time: datetime | None = None
    user: int | None = None
    basal_metabolism: float | None = None
    muscle: float | None = None
    muscle_mass: float | None = None
    fat_free_mass: float | None = None
    soft_lean_mass: float | None = None
    body_water_mass: float | None = None
    impedance: float | None = None
    weight: float | None = None
    height: float | None = None
    in_multiple_packets: bool = False


def decode(raw: bytes) -> Reading:
    """Return the composition in ``raw``, and the weight where there is one."""
    reader = Reader(raw)
    flags = reader.flags(known=0x1FFF, count=2)
    fat = reader.unsigned(2, "body fat")
    has_failed = fat == _FAILED
    number: Number = Absent.NAN if has_failed else fat * _TENTH
    samples = [sample(_COMPOSITION.named("body_fat"), number)]
    notes: list[str] = ["measurement_failed"] if has_failed else []
    time = None
    if flags & _TIME:
        time, doubts = date_time.take_stamp(reader)
        notes += doubts
    user = reader.unsigned(1, "user") if flags & _USER else None
    samples += _take_parts(reader, flags)
    weight = _take_weight(reader, flags)
    reader.end()
    context = user_context(user)
    if flags & _MULTIPLE_PACKETS:
        context["multiple_packets"] = "yes"
    parts = [(_COMPOSITION.name, samples, tuple(notes))]
    if weight:
        # A body fat that could not be measured takes nothing from the weight.
        kept = tuple(note for note in notes if note != "measurement_failed")
        parts.append((_WEIGHT.name, weight, kept))
    return Reading(
        tuple(
            Measurement(
                kind,
                tuple(found),
                CHARACTERISTIC,
                raw,
                device_time=time,
                flags=said,
                context=context,
            )
            for kind, found, said in parts
        )
    )


def encode(value: BodyComposition) -> bytes:
    """Return the bytes a scale would send for ``value``; OverflowError where it does not fit."""
    flags = _IMPERIAL if value.is_imperial else 0
    flags |= _MULTIPLE_PACKETS if value.in_multiple_packets else 0
    body = _word(value.body_fat, _TENTH)
    if value.time is not None:
        flags |= _TIME
        body += date_time.encode(value.time)
    if value.user is not None:
        flags |= _USER
        body += bytes((value.user,))
    mass_step, height_step = _MASS_STEPS[value.is_imperial], _HEIGHT_STEPS[value.is_imperial]
    for bit, name, step in (*_FIELDS, (10, "weight", None), (11, "height", height_step)):
        number: float | None = getattr(value, name)
        if number is not None:
            flags |= 1 << bit
            body += _word(number, step or mass_step)
    return flags.to_bytes(2, "little") + body


def _take_parts(reader: Reader, flags: int) -> list[Sample]:
    samples = []
    for bit, name, step in _FIELDS:
        if flags >> bit & 1:
            number = reader.unsigned(2, name)
            component = _COMPOSITION.named(name)
            if step is None:
                samples.append(sample(component, number * _MASS_STEPS[flags & 1], _pound(flags)))
            else:
                samples.append(sample(component, number * step))
    return samples


def _take_weight(reader: Reader, flags: int) -> list[Sample]:
    samples = []
    if flags & _HAS_WEIGHT:
        number = reader.unsigned(2, "weight") * _MASS_STEPS[flags & 1]
        samples.append(sample(_WEIGHT.named("weight"), number, _pound(flags)))
    if flags & _HAS_HEIGHT:
        number = reader.unsigned(2, "height") * _HEIGHT_STEPS[flags & 1]
        unit = INCH if flags & _IMPERIAL else METRE
        samples.append(sample(_WEIGHT.named("height"), number, unit))
    return samples


def _pound(flags: int) -> Unit | None:
    return POUND if flags & _IMPERIAL else None


def _word(value: float | Absent, step: Decimal) -> bytes:
    steps = _FAILED if isinstance(value, Absent) else round(Decimal(str(value)) / step)
    return steps.to_bytes(2, "little")
