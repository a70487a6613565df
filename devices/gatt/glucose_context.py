"""Glucose Measurement Context (0x2A34; Glucose Service 1.0.1, section 3.2).

What went on around the measurement with the same sequence number: food, meal, health, exercise,
medication, HbA1c. It is no measurement of its own. Numbers keep the unit they came in beside the
one people read: kg → g or mg, L → mL.

Reserved bits of the extended flags are refused like those of the flags; reserved choices are
flagged, the rest kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from devices.errors import DecodeError
from devices.gatt.reading import Fields, Reader, Unit, quantity
from devices.measurement import Absent
from devices.medfloat import encode_sfloat

CHARACTERISTIC = "2A34"
_FOOD, _MEAL, _TESTER, _EXERCISE, _MEDICATION, _LITRES, _HBA1C, _EXTENDED = (
    1 << bit for bit in range(8)
)
_DURATION_OVERRUN = 0xFFFF
_GRAMS = Unit("kg", Decimal(1000), Decimal(0), 6)
_MILLIGRAMS = Unit("kg", Decimal(1_000_000), Decimal(0), 3)
_MILLILITRES = Unit("L", Decimal(1000), Decimal(0), 6)

CARBOHYDRATES = {
    1: "breakfast",
    2: "lunch",
    3: "dinner",
    4: "snack",
    5: "drink",
    6: "supper",
    7: "brunch",
}
MEALS = {1: "before_meal", 2: "after_meal", 3: "fasting", 4: "casual", 5: "bedtime"}
TESTERS = {1: "self", 2: "professional", 3: "laboratory", 15: "not_available"}
HEALTH = {
    1: "minor_issues",
    2: "major_issues",
    3: "during_menses",
    4: "under_stress",
    5: "no_issues",
    15: "not_available",
}
MEDICATIONS = {
    1: "rapid_acting_insulin",
    2: "short_acting_insulin",
    3: "intermediate_acting_insulin",
    4: "long_acting_insulin",
    5: "premixed_insulin",
}


@dataclass(frozen=True, slots=True)
class GlucoseContext:
    """What a meter says around a measurement; numbers of the tables above. None leaves it out.

    ``carbohydrate`` is (number, kg), ``tester_health`` two numbers, ``exercise`` (seconds, per
    cent), ``medication`` (number, kg, or L where ``in_litres``).
    """

    sequence_number: int
    carbohydrate: tuple[int, float | Absent] | None = None
    meal: int | None = None
    tester_health: tuple[int, int] | None = None
    exercise: tuple[int, int] | None = None
    medication: tuple[int, float | Absent] | None = None
    in_litres: bool = False
    hba1c_percent: float | Absent | None = None


@dataclass(slots=True)
class _Told:
    """Fields as they are found, and the flags for what could not be named."""

    fields: dict[str, object]
    flags: list[str] = field(default_factory=list)

    def name(self, what: str, number: int, names: Mapping[int, str]) -> None:
        self.fields[what] = names.get(number)
        if number not in names:
            self.flags.append(f"unknown_{what}")


def decode(raw: bytes) -> Fields:
    """Return ``sequence_number``, ``flags`` and whichever of the other fields were sent."""
    reader = Reader(raw)
    flags = reader.flags(known=0xFF)
    told = _Told({"sequence_number": reader.unsigned(2, "sequence number")})
    if flags & _EXTENDED and (extended := reader.unsigned(1, "extended flags")):
        raise DecodeError("reserved_flags", f"extended flags 0x{extended:02X}")
    if flags & _FOOD:
        told.name("carbohydrate", reader.unsigned(1, "carbohydrate"), CARBOHYDRATES)
        told.fields["carbohydrate_amount"] = quantity(reader.sfloat("amount"), "g", _GRAMS)
    if flags & _MEAL:
        told.name("meal", reader.unsigned(1, "meal"), MEALS)
    if flags & _TESTER:
        both = reader.unsigned(1, "tester and health")
        told.name("tester", both & 0x0F, TESTERS)
        told.name("health", both >> 4, HEALTH)
    if flags & _EXERCISE:
        _take_exercise(reader, told)
    if flags & _MEDICATION:
        told.name("medication", reader.unsigned(1, "medication"), MEDICATIONS)
        unit, sent = ("mL", _MILLILITRES) if flags & _LITRES else ("mg", _MILLIGRAMS)
        told.fields["medication_amount"] = quantity(reader.sfloat("medication"), unit, sent)
    if flags & _HBA1C:
        told.fields["hba1c"] = quantity(reader.sfloat("HbA1c"), "%")
    reader.end()
    return Fields(CHARACTERISTIC, {**told.fields, "flags": told.flags})


def encode(value: GlucoseContext) -> bytes:
    """Return the bytes a meter would send for ``value``; ValueError where it does not fit."""
    flags = _LITRES if value.in_litres else 0
    body = value.sequence_number.to_bytes(2, "little")
    if value.carbohydrate is not None:
        flags |= _FOOD
        body += _numbered(value.carbohydrate)
    if value.meal is not None:
        flags |= _MEAL
        body += bytes((value.meal,))
    if value.tester_health is not None:
        flags |= _TESTER
        tester, health = value.tester_health
        body += bytes((tester | health << 4,))
    if value.exercise is not None:
        flags |= _EXERCISE
        duration_s, intensity_percent = value.exercise
        body += duration_s.to_bytes(2, "little") + bytes((intensity_percent,))
    if value.medication is not None:
        flags |= _MEDICATION
        body += _numbered(value.medication)
    if value.hba1c_percent is not None:
        flags |= _HBA1C
        body += encode_sfloat(value.hba1c_percent).to_bytes(2, "little")
    return bytes((flags,)) + body


def _take_exercise(reader: Reader, told: _Told) -> None:
    duration_s = reader.unsigned(2, "exercise duration")
    if duration_s == _DURATION_OVERRUN:
        told.flags.append("exercise_duration_overrun")
    told.fields["exercise_duration_s"] = None if duration_s == _DURATION_OVERRUN else duration_s
    told.fields["exercise_intensity_percent"] = reader.unsigned(1, "exercise intensity")


def _numbered(pair: tuple[int, float | Absent]) -> bytes:
    number, amount = pair
    return bytes((number,)) + encode_sfloat(amount).to_bytes(2, "little")
