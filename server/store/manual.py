"""A value that a person typed: examined, then kept like any other, marked as entered by hand.

It has no gateway and no device of its own; who wrote it down stands beside it wherever it is shown.

The rules of this file:

- Implausible (outside the catalogue's range) is asked about once, and kept and flagged when the one
  who typed stands by it: the lowest oxygen saturations are the ones that must raise an alert.
- Impossible is refused: what nobody alive has, or no instrument shows (:data:`POSSIBLE`), and a
  lower blood pressure that is not lower. There the typing is wrong, whoever stands by it. A device
  cannot be asked: its contradictions are stored and flagged.
- A form's token keeps one value. The same again is a duplicate; anything else is not kept, and the
  one who sent it is told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from devices.kinds import KINDS, Component, Kind
from devices.wire import Item, WireSample
from server.store import items
from server.store.database import Transaction

MANUAL_KINDS = ("blood_pressure", "body_weight", "pulse_oximetry", "body_temperature")
# Needed for the value to mean anything; the rest may be left empty.
NEEDED = frozenset({"systolic", "diastolic", "weight", "spo2", "temperature"})
OFFERED = NEEDED | {"pulse"}
AGE_MAX = timedelta(days=14)
AHEAD_MAX = timedelta(minutes=5)
NOTE_MAX_CHARS = 200
# Inclusive, in the catalogue's units. Pressures and pulse: beyond what manometers (300 mmHg) and
# pulse meters (300/min) show. Temperature: nobody has lived below 11 or above 47 °C. Weight: the
# heaviest person known weighed 635 kg.
POSSIBLE: Mapping[str, tuple[float, float]] = {
    "systolic": (1, 300),
    "diastolic": (1, 300),
    "pulse": (1, 300),
    "spo2": (1, 100),
    "temperature": (10, 50),
    "weight": (1, 700),
}


class Fault(StrEnum):
    """What is wrong with one field."""

    MISSING = "missing"
    NOT_A_NUMBER = "not_a_number"
    IMPLAUSIBLE = "implausible"
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
    """Return the numbers that could be read, and what is wrong with each field.

    What is only IMPLAUSIBLE is among the numbers, too: ask, and keep it if it is confirmed.

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
    sign = -1 if text[0] in "-−" else 1
    text = text.removeprefix("-").removeprefix("−")
    if not text.replace(".", "", 1).isascii() or not text.replace(".", "", 1).isdecimal():
        return Fault.NOT_A_NUMBER
    value = round(sign * float(text), component.decimals)
    low, high = POSSIBLE[component.name]
    if not low <= value <= high:
        return Fault.IMPOSSIBLE
    numbers[component.name] = value
    return None if component.is_plausible(value) else Fault.IMPLAUSIBLE


class Outcome(StrEnum):
    """What became of a value; OTHER_VALUES: its token has kept others, and this one is not kept."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    OTHER_VALUES = "other_values"


@dataclass(frozen=True, slots=True)
class Entered:
    """What became of a value, and the uid that its token stands for."""

    uid: str
    outcome: Outcome


async def keep_manual(
    tx: Transaction,
    value: ManualValue,
    *,
    token: str,
    patient_id: int,
    entered_by: int,
    at: datetime,
) -> Entered:
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
    (kept,) = await items.keep(tx, [received], stored_at=at)
    if kept.outcome is items.Outcome.STORED:
        return Entered(kept.uid, Outcome.STORED)
    is_same = await _is_kept(tx, kept.uid, value, patient_id=patient_id, entered_by=entered_by)
    return Entered(kept.uid, Outcome.DUPLICATE if is_same else Outcome.OTHER_VALUES)


async def _is_kept(
    tx: Transaction, uid: str, value: ManualValue, *, patient_id: int, entered_by: int
) -> bool:
    """Tell whether exactly this value, of this person and by this writer, is what the uid kept."""
    cursor = await tx.execute(
        "SELECT m.patient_id, m.entered_by, m.kind_id, m.measured_at,"
        " coalesce(m.context ->> 'note', ''),"
        " coalesce(jsonb_object_agg(o.component_id, o.value) FILTER (WHERE o.uid IS NOT NULL),"
        " '{}') FROM located(ARRAY[%s]) l"
        " JOIN measurement m ON m.uid = l.uid AND m.measured_at = l.measured_at"
        " LEFT JOIN observation o ON o.patient_id = m.patient_id"
        " AND o.measured_at = m.measured_at AND o.uid = m.uid"
        " GROUP BY m.uid, m.measured_at, m.patient_id, m.entered_by, m.kind_id,"
        " m.context",
        (UUID(uid),),
    )
    row = await cursor.fetchone()
    if row is None:
        return False
    *facts, stored = row
    said = {str(value.kind.named(name).number): number for name, number in value.numbers.items()}
    return (
        facts == [patient_id, entered_by, value.kind.number, value.measured_at, value.note]
        and stored.keys() == said.keys()
        and all(math.isclose(stored[number], said[number], abs_tol=1e-6) for number in said)
    )


def kind_named(name: str) -> Kind | None:
    """Return one of the kinds that may be typed, or None."""
    return KINDS[name] if name in MANUAL_KINDS else None
