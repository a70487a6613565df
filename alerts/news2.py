"""NEWS2, the National Early Warning Score: points, and an interval where something is missing.

Source: Royal College of Physicians, National Early Warning Score (NEWS) 2, London 2017. The table
is theirs, used with acknowledgement; the interval for what is missing is ours (clinical.md 1).

Rules of this file:

- What is missing is never scored as 0, and part of the items has no total: it has the interval
  [sum of what is known, joint maximum].
- A value is compared as it is shown: the temperature with one decimal, the rest as whole numbers,
  halves upwards, from the digits the number is written with (36.05 °C is 36.1, clinical.md 1).
- On Scale 2 the points of an SpO2 from 93 % depend on the oxygen. Where that is not known, neither
  are they: 97 % may be 0 and 0 on air, or 3 and 2 on oxygen, never 3 and 0.
- Scale 2 is only for those for whom a physician has ordered it (alerts/occasion.py).
- Not for people under 16 and not in pregnancy: ask ``excluded`` first. The table itself asks for
  no age.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, TypeAlias

import msgspec

from alerts.errors import VitalsError
from alerts.wording import rounded

AGE_MIN = 16
"""Years from which NEWS2 may be used (RCP 2017)."""
MEDIUM_FROM = 5
"""The urgent threshold (RCP 2017)."""
HIGH_FROM = 7
"""The emergency threshold (RCP 2017)."""
RED_POINTS = 3
"""A single item with this many points has a response of its own (RCP 2017)."""

Scale: TypeAlias = Literal[1, 2]
"""Which SpO2 scale: 2 is for a prescribed 88–92 %."""


class Item(StrEnum):
    """The seven items, in the order of the table, by their names in contract.md 3."""

    RESPIRATORY_RATE = "respiratory_rate"
    SPO2 = "spo2"
    ON_OXYGEN = "on_oxygen"
    SYSTOLIC = "systolic"
    PULSE = "pulse"
    CONSCIOUSNESS = "consciousness"
    TEMPERATURE = "temperature"


class Consciousness(StrEnum):
    """ACVPU: alert, newly confused, reacts to voice, reacts to pain, unresponsive."""

    ALERT = "A"
    CONFUSION = "C"
    VOICE = "V"
    PAIN = "P"
    UNRESPONSIVE = "U"


class Risk(StrEnum):
    """The band of RCP 2017, or that too little is known to say one."""

    LOW = "low"
    LOW_MEDIUM = "low-medium"
    MEDIUM = "medium"
    HIGH = "high"
    INCOMPLETE = "incomplete"


class Excluded(StrEnum):
    """For whom the score is not made (RCP 2017)."""

    UNDER_16 = "under_16"
    PREGNANT = "pregnant"


@dataclass(frozen=True, slots=True)
class Bands:
    """One row of the table: ``points[i]`` up to and including ``upto[i]``, the last beyond all."""

    upto: tuple[Decimal, ...]
    points: tuple[int, ...]

    def of(self, value: Decimal) -> int:
        """Return the points of a value with the decimals it is shown with."""
        return self.points[bisect_left(self.upto, value)]


def _bands(*bands: tuple[str, int], beyond: int) -> Bands:
    return Bands(
        upto=tuple(Decimal(upto) for upto, _ in bands),
        points=(*(points for _, points in bands), beyond),
    )


# RCP 2017, chart 1: the NEWS scoring system.
BANDS: Mapping[Item, Bands] = MappingProxyType(
    {
        Item.RESPIRATORY_RATE: _bands(("8", 3), ("11", 1), ("20", 0), ("24", 2), beyond=3),
        Item.SYSTOLIC: _bands(("90", 3), ("100", 2), ("110", 1), ("219", 0), beyond=3),
        Item.PULSE: _bands(("40", 3), ("50", 1), ("90", 0), ("110", 1), ("130", 2), beyond=3),
        Item.TEMPERATURE: _bands(("35.0", 3), ("36.0", 1), ("38.0", 0), ("39.0", 1), beyond=2),
    }
)
"""The rows that depend on nothing else, per minute, in mmHg and in °C."""
SPO2_SCALE_1 = _bands(("91", 3), ("93", 2), ("95", 1), beyond=0)
"""SpO2 in per cent for everybody without an order."""
SPO2_SCALE_2: Mapping[bool, Bands] = MappingProxyType(
    {
        False: _bands(("83", 3), ("85", 2), ("87", 1), beyond=0),
        True: _bands(
            ("83", 3), ("85", 2), ("87", 1), ("92", 0), ("94", 1), ("96", 2), beyond=3
        ),
    }
)  # fmt: skip
"""SpO2 in per cent on Scale 2, by whether the person is on oxygen."""
OXYGEN_POINTS: Mapping[bool, int] = MappingProxyType({False: 0, True: 2})
"""Points of air and of oxygen."""
CONSCIOUSNESS_POINTS: Mapping[Consciousness, int] = MappingProxyType(
    {level: 0 if level is Consciousness.ALERT else 3 for level in Consciousness}
)
"""Points of ACVPU."""


@dataclass(frozen=True, slots=True)
class _Possible:
    """What a number can be at all in its unit. Far wider than what is plausible at home: a value
    that is merely doubtful is scored, since refusing it would take an alarm away.
    """

    low: float
    high: float
    unit: str
    decimals: int = 0


_POSSIBLE: Mapping[Item, _Possible] = MappingProxyType(
    {
        Item.RESPIRATORY_RATE: _Possible(0, 100, "per minute"),
        Item.SPO2: _Possible(0, 100, "%"),
        # Below 30 it is more likely kPa: 16 kPa is 120 mmHg.
        Item.SYSTOLIC: _Possible(30, 350, "mmHg"),
        Item.PULSE: _Possible(0, 350, "per minute"),
        # Outside it is more likely °F, or the room.
        Item.TEMPERATURE: _Possible(20, 46, "°C", decimals=1),
    }
)


def is_possible(item: Item, value: float) -> bool:
    """Tell whether a measured ``item`` can have this value at all, in its unit of the table."""
    possible = _POSSIBLE[item]
    is_share = item is Item.SPO2 and 0 < value < 1
    return possible.low <= value <= possible.high and not is_share


class Vitals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was observed on one occasion; None is missing. Read from JSON by contract.md 3's names.

    Raises VitalsError ``out_of_range`` for what cannot be a value of its item in its unit. An
    unknown field is refused: a misspelt item would be a missing one.
    """

    respiratory_rate_per_min: float | None = msgspec.field(default=None, name="respiratory_rate")
    spo2_percent: float | None = msgspec.field(default=None, name="spo2")
    scale: Scale = 1
    on_oxygen: bool | None = None
    systolic_mmhg: float | None = msgspec.field(default=None, name="systolic")
    pulse_per_min: float | None = msgspec.field(default=None, name="pulse")
    consciousness: Consciousness | None = None
    temperature_celsius: float | None = msgspec.field(default=None, name="temperature")

    def __post_init__(self) -> None:
        """Refuse what is no value of its item."""
        for item, value in self.measured().items():
            if value is not None and not is_possible(item, value):
                possible = _POSSIBLE[item]
                raise VitalsError(
                    "out_of_range",
                    f"{item.value} lies within {possible.low:g}–{possible.high:g} {possible.unit};"
                    " what was given is another unit, or no measured value",
                )

    def measured(self) -> Mapping[Item, float | None]:
        """Return the items that are numbers."""
        return {
            Item.RESPIRATORY_RATE: self.respiratory_rate_per_min,
            Item.SPO2: self.spo2_percent,
            Item.SYSTOLIC: self.systolic_mmhg,
            Item.PULSE: self.pulse_per_min,
            Item.TEMPERATURE: self.temperature_celsius,
        }


@dataclass(frozen=True, slots=True)
class Score:
    """What the table says of one occasion.

    ``points`` has all seven items; None where they are not known. ``low`` is the sum of the known,
    which is also the least any completion can give; ``high`` is the most. ``missing`` are the items
    that somebody could still observe: an SpO2 whose points wait for the oxygen is not among them.
    """

    points: Mapping[Item, int | None]
    low: int
    high: int
    missing: tuple[Item, ...]

    @property
    def is_complete(self) -> bool:
        """Whether all seven items are known."""
        return not self.missing

    @property
    def total(self) -> int | None:
        """The score, or None: part of the items has no total."""
        return self.low if self.is_complete else None

    @property
    def single_three(self) -> bool:
        """Whether one known item alone has three points; true whatever else is missing."""
        return RED_POINTS in self.points.values()

    @property
    def risk(self) -> Risk:
        """The band; with items missing only what is certain, from ``low``."""
        if self.low >= HIGH_FROM:
            return Risk.HIGH
        if self.low >= MEDIUM_FROM:
            return Risk.MEDIUM
        if not self.is_complete:
            return Risk.INCOMPLETE
        return Risk.LOW_MEDIUM if self.single_three else Risk.LOW

    @property
    def ask_for(self) -> tuple[Item, ...]:
        """What to ask for: everything missing, when it decides whether 5 is reached, else nothing
        (clinical.md 1, the home variant).
        """
        return self.missing if self.low < MEDIUM_FROM <= self.high else ()


def news2(vitals: Vitals) -> Score:
    """Score one occasion."""
    points = _points(vitals)
    low = sum(known for known in points.values() if known is not None)
    return Score(
        points=MappingProxyType(points),
        low=low,
        high=_high(vitals, points),
        missing=_missing(vitals),
    )


def excluded(age_years: int, *, is_pregnant: bool) -> Excluded | None:
    """Return why the score is not made for this person, or None where it may be."""
    if age_years < AGE_MIN:
        return Excluded.UNDER_16
    return Excluded.PREGNANT if is_pregnant else None


def _points(vitals: Vitals) -> dict[Item, int | None]:
    """Return the points of each item, None where they are not known."""
    measured = vitals.measured()
    points: dict[Item, int | None] = dict.fromkeys(Item)
    for item, bands in BANDS.items():
        value = measured[item]
        points[item] = None if value is None else bands.of(rounded(value, _POSSIBLE[item].decimals))
    if vitals.on_oxygen is not None:
        points[Item.ON_OXYGEN] = OXYGEN_POINTS[vitals.on_oxygen]
    if vitals.consciousness is not None:
        points[Item.CONSCIOUSNESS] = CONSCIOUSNESS_POINTS[vitals.consciousness]
    either = {_spo2_points(vitals, on_oxygen) for on_oxygen in _oxygen(vitals)}
    points[Item.SPO2] = either.pop() if len(either) == 1 else None
    return points


def _high(vitals: Vitals, points: Mapping[Item, int | None]) -> int:
    """Return the most that any completion can give. Oxygen and SpO2 go together."""
    high = 0
    for item, bands in BANDS.items():
        known = points[item]
        high += max(bands.points) if known is None else known
    level = points[Item.CONSCIOUSNESS]
    high += max(CONSCIOUSNESS_POINTS.values()) if level is None else level
    breathing = []
    for on_oxygen in _oxygen(vitals):
        spo2 = _spo2_points(vitals, on_oxygen)
        most = max(_spo2_bands(vitals, on_oxygen).points) if spo2 is None else spo2
        breathing.append(OXYGEN_POINTS[on_oxygen] + most)
    return high + max(breathing)


def _missing(vitals: Vitals) -> tuple[Item, ...]:
    given = {
        **vitals.measured(),
        Item.ON_OXYGEN: vitals.on_oxygen,
        Item.CONSCIOUSNESS: vitals.consciousness,
    }
    return tuple(item for item in Item if given[item] is None)


def _oxygen(vitals: Vitals) -> tuple[bool, ...]:
    return (False, True) if vitals.on_oxygen is None else (vitals.on_oxygen,)


def _spo2_bands(vitals: Vitals, on_oxygen: bool) -> Bands:
    return SPO2_SCALE_1 if vitals.scale == 1 else SPO2_SCALE_2[on_oxygen]


def _spo2_points(vitals: Vitals, on_oxygen: bool) -> int | None:
    if vitals.spo2_percent is None:
        return None
    value = rounded(vitals.spo2_percent, _POSSIBLE[Item.SPO2].decimals)
    return _spo2_bands(vitals, on_oxygen).of(value)
