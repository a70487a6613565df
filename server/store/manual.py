"""A value that a person typed: examined, then kept like any other, marked as entered by hand.

It has no gateway and no device of its own; who wrote it down stands beside it wherever it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from devices.kinds import KINDS, Component, Kind
from devices.wire import Item, WireSample
from server.store import items
from server.store.database import Transaction
from server.store.items import Kept

MANUAL_KINDS = ("blood_pressure", "body_weight", "pulse_oximetry", "body_temperature")
# Needed for the value to mean anything; the rest may be left empty.
NEEDED = frozenset({"systolic", "diastolic", "weight", "spo2", "temperature"})
OFFERED = NEEDED | {"pulse"}
AGE_MAX = timedelta(days=14)
AHEAD_MAX = timedelta(minutes=5)
NOTE_MAX_CHARS = 200


class Fault(StrEnum):
    """What is wrong with one field."""

    MISSING = "missing"
    NOT_A_NUMBER = "not_a_number"
    IMPOSSIBLE = "impossible"
    REVERSED = "reversed"
    FUTURE = "future"
    TOO_OLD = "too_old"


@dataclass(frozen=True, slots=True)
class ManualValue:
    """One examined value, ready to be kept. ``numbers`` are in the catalogue's units."""

    kind: Kind
    numbers: Mapping[str, float]
    measured_at: datetime
    note: str


def fields_of(kind: Kind) -> list[Component]:
    """Return the components that a person is asked for."""
    return [component for component in kind.components if component.name in OFFERED]


def examine(
    kind: Kind, typed: Mapping[str, str], measured_at: datetime | None, *, now: datetime
) -> tuple[dict[str, float], dict[str, Fault]]:
    """Return the numbers that could be read and what is wrong with each field that could not.

    Decimal comma and point are both read. ``measured_at`` None is a time that could not be read.
    """
    numbers: dict[str, float] = {}
    faults: dict[str, Fault] = {}
    for component in fields_of(kind):
        text = typed.get(component.name, "").strip().replace(",", ".").replace(" ", "")
        fault = _number(component, text, numbers)
        if fault is not None:
            faults[component.name] = fault
    if "systolic" in numbers and numbers.get("diastolic", 0.0) >= numbers["systolic"]:
        faults["diastolic"] = Fault.REVERSED
    if measured_at is None:
        faults["measured"] = Fault.MISSING
    elif measured_at > now + AHEAD_MAX:
        faults["measured"] = Fault.FUTURE
    elif measured_at < now - AGE_MAX:
        faults["measured"] = Fault.TOO_OLD
    return numbers, faults


def _number(component: Component, text: str, numbers: dict[str, float]) -> Fault | None:
    if not text:
        return Fault.MISSING if component.name in NEEDED else None
    if not text.replace(".", "", 1).isascii() or not text.replace(".", "", 1).isdecimal():
        return Fault.NOT_A_NUMBER
    value = round(float(text), component.decimals)
    # A typing slip is refused while the one who typed is still there to correct it; a device's
    # implausible value is stored and flagged, because nobody can be asked.
    if not component.is_plausible(value):
        return Fault.IMPOSSIBLE
    numbers[component.name] = value
    return None


async def keep_manual(
    tx: Transaction,
    value: ManualValue,
    *,
    token: str,
    patient_id: int,
    entered_by: int,
    at: datetime,
) -> Kept:
    """Keep the value once however often its form (``token``) is sent; the rules judge it as any."""
    samples = tuple(
        WireSample(code=component.code, value=value.numbers[component.name], unit=component.unit)
        for component in fields_of(value.kind)
        if component.name in value.numbers
    )
    item = Item(
        seq=0,
        uid="0" * 32,
        kind=value.kind.name,
        samples=samples,
        t=value.measured_at,
        tq="estimated",
        flags=("manual",),
        ctx={"note": value.note} if value.note else {},
    )
    received = items.entered(item, token=token, patient_id=patient_id, entered_by=entered_by)
    return (await items.keep(tx, [received], stored_at=at))[0]


def kind_named(name: str) -> Kind | None:
    """Return one of the kinds that may be typed, or None."""
    return KINDS[name] if name in MANUAL_KINDS else None
