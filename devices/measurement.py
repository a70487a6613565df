"""The values a device reported, as frozen facts.

A :class:`Measurement` is what one characteristic value says. It knows nothing of gateways, patients
or the wire. A value has four times (contract.md 5); only the device's own claim is known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Absent(StrEnum):
    """Why a sample has no number (IEEE 11073-20601, special values of SFLOAT and FLOAT)."""

    NAN = "nan"
    NRES = "nres"
    POSITIVE_INFINITY = "pos_inf"
    NEGATIVE_INFINITY = "neg_inf"
    RESERVED = "reserved"


@dataclass(frozen=True, slots=True)
class AsSent:
    """Value and UCUM unit as the device sent them, before conversion to the catalogue's unit."""

    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One component of a measurement.

    ``code`` is an MDC number in decimal digits, else ``loinc:…`` or ``hemma:…``. ``unit`` is UCUM.
    Exactly one of ``value`` and ``absent`` is set. ``as_sent`` is set only where the unit differed.
    """

    code: str
    value: float | None
    unit: str
    absent: Absent | None = None
    as_sent: AsSent | None = None

    def __post_init__(self) -> None:
        """Check that the sample has a number or a reason for not having one."""
        assert (self.value is None) != (self.absent is None), "a sample has a value or a reason"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value of one characteristic, decoded.

    ``device_time`` is the device's own claim: local, naive, possibly missing or wrong. It is never
    filled from another clock. ``flags`` are names such as ``irregular_pulse`` or ``movement``.
    ``context`` holds posture, meal, user index and the like.
    """

    kind: str
    samples: tuple[Sample, ...]
    characteristic: str
    raw: bytes
    device_time: datetime | None = None
    sequence_number: int | None = None
    flags: tuple[str, ...] = ()
    context: Mapping[str, str | int | float] = field(default_factory=dict)
