"""A history written as a table: ``patient,time,kind,code,value,unit`` and optionally ``received,
device,flags,ctx`` (contract.md 3).

Rules of this file:

- What cannot be read is refused with its line, the reason and what to write instead; nothing is
  left out and nothing is guessed.
- Rows of one patient, time, kind and device that came together are one measurement. The same row
  twice is one reading; the same component twice with different values is two measurements.
- A measurement's identity follows from what it says, so the order of the rows does not matter.
- A unit is converted here, once, to the catalogue's.
"""

from __future__ import annotations

import csv
import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from alerts.errors import AlertsError
from alerts.replay import Arrival
from alerts.rules import Direction
from alerts.series import Reading
from devices.kinds import KINDS, Component

REQUIRED: Final = ("patient", "time", "kind", "code", "value", "unit")
OPTIONAL: Final = ("received", "device", "flags", "ctx")
# What a device shows that has no number, and on which side of its range that lies.
_SIDES: Final = {"HI": Direction.HIGH, "LO": Direction.LOW}
_FLAG: Final = re.compile(r"[a-z][a-z0-9_]*")
_MG_DL_PER_MMOL_L: Final = 18.016
_MMHG_PER_KPA: Final = 7.50062


class TableError(AlertsError):
    """A table that cannot be read; the sentence names the line, the reason and the remedy."""


class _Part(NamedTuple):
    component: Component
    value: float | None
    beyond: Direction | None
    flags: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Measured:
    """What makes rows one measurement."""

    patient: str
    measured_at: datetime
    received_at: datetime
    kind: str
    device: str


def read(lines: Iterable[str]) -> dict[str, list[Arrival]]:
    """Return each patient's measurements, with when they came.

    ``lines`` are those of the table, its first the names of the columns. A time without a zone is
    UTC. ``received`` empty: as measured. ``value`` is a number, or ``HI`` or ``LO``. ``flags`` are
    separated by spaces or semicolons, ``ctx`` is a JSON object. Raises :class:`TableError`.
    """
    rows = csv.DictReader(lines, strict=True)
    _check_columns(rows.fieldnames or ())
    parts: dict[_Measured, list[_Part]] = {}
    try:
        for row in rows:
            measured, part = _row(row, rows.line_num)
            parts.setdefault(measured, []).append(part)
    except csv.Error as error:
        raise TableError(f"line {rows.line_num}: not a line of CSV ({error})") from error
    history: dict[str, list[Arrival]] = {}
    for measured, found in parts.items():
        history.setdefault(measured.patient, []).extend(_arrivals(measured, found))
    return history


def _check_columns(names: Iterable[str]) -> None:
    names = tuple(names)
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise TableError(
            f"line 1: column {', '.join(missing)} is missing; the first line must be "
            f"{','.join(REQUIRED)} and may add {','.join(OPTIONAL)}"
        )
    unknown = [name for name in names if name not in (*REQUIRED, *OPTIONAL)]
    if unknown:
        raise TableError(
            f"line 1: unknown column {', '.join(unknown)}; known are {','.join(REQUIRED)} and "
            f"{','.join(OPTIONAL)}"
        )
    if len(set(names)) < len(names):
        raise TableError("line 1: a column stands there twice")


def _row(row: Mapping[str | None, str | None], number: int) -> tuple[_Measured, _Part]:
    def refuse(column: str, reason: str) -> TableError:
        return TableError(f"line {number}, column {column}: {reason}")

    if None in row or any(row.get(name) is None for name in REQUIRED):
        raise TableError(f"line {number}: as many fields as the first line has are needed")
    cell = {name: (text or "").strip() for name, text in row.items() if name is not None}
    if not cell["patient"]:
        raise refuse("patient", "is empty")
    component = _component(cell["kind"], cell["code"], refuse)
    measured_at = _time(cell["time"], "time", refuse)
    received = cell.get("received", "")
    measured = _Measured(
        cell["patient"],
        measured_at,
        _time(received, "received", refuse) if received else measured_at,
        cell["kind"],
        cell.get("device", ""),
    )
    _check_context(cell.get("ctx", ""), refuse)
    flags = _flags(cell.get("flags", ""), refuse)
    return measured, _part(component, cell["value"], cell["unit"], flags, refuse)


_Refuse = Callable[[str, str], TableError]


def _component(kind: str, code: str, refuse: _Refuse) -> Component:
    known = KINDS.get(kind)
    if known is None:
        raise refuse("kind", f"{kind!r} is unknown; see: hemma devices kinds")
    component = known.component(code)
    if component is None:
        codes = ", ".join(f"{one.code} ({one.name})" for one in known.components)
        raise refuse("code", f"{kind} has no {code!r}; it has {codes}")
    return component


def _time(text: str, column: str, refuse: _Refuse) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise refuse(column, f"{text!r} is no time; write 2026-11-22T07:12:00Z") from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _flags(text: str, refuse: _Refuse) -> frozenset[str]:
    flags = frozenset(text.replace(";", " ").split())
    wrong = sorted(flag for flag in flags if not _FLAG.fullmatch(flag))
    if wrong:
        raise refuse("flags", f"{', '.join(wrong)}: a flag is lower_case_words")
    return flags


def _check_context(text: str, refuse: _Refuse) -> None:
    if not text:
        return
    try:
        msgspec.json.decode(text, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise refuse("ctx", 'is no JSON object; write {"posture":"standing"}') from error


def _part(
    component: Component, value: str, unit: str, flags: frozenset[str], refuse: _Refuse
) -> _Part:
    side = _SIDES.get(value.upper())
    if side is not None:
        return _Part(component, None, side, flags)
    try:
        number = float(value)
    except ValueError as error:
        raise refuse("value", f"{value!r} is no number, HI or LO") from error
    if not math.isfinite(number):
        raise refuse("value", f"{value!r} is no number; leave the row out, and say so elsewhere")
    convert = _CONVERSIONS.get((unit, component.unit))
    if unit != component.unit and convert is None:
        known = [one for one, to in _CONVERSIONS if to == component.unit]
        raise refuse(
            "unit", f"{unit!r} is not {' or '.join([component.unit, *known])} of {component.name}"
        )
    return _Part(component, convert(number) if convert else number, None, flags)


# Units as they are sent or written, to the catalogue's (clinical.md 1: converted at the edge only).
_CONVERSIONS: Final[dict[tuple[str, str], Callable[[float], float]]] = {
    ("mmHg", "mm[Hg]"): lambda value: value,
    ("kPa", "mm[Hg]"): lambda value: value * _MMHG_PER_KPA,
    ("°C", "Cel"): lambda value: value,
    ("[degF]", "Cel"): lambda value: (value - 32) * 5 / 9,
    ("beats/min", "/min"): lambda value: value,
    ("{beats}/min", "/min"): lambda value: value,
    ("g", "kg"): lambda value: value / 1000,
    ("[lb_av]", "kg"): lambda value: value * 0.45359237,
    ("mg/dL", "mmol/L"): lambda value: value / _MG_DL_PER_MMOL_L,
}


def _arrivals(measured: _Measured, parts: Iterable[_Part]) -> list[Arrival]:
    """Make as many measurements of the rows as one component stands there with other values."""
    unique = sorted(set(parts), key=_part_order)
    groups: list[dict[int, _Part]] = []
    for part in unique:
        number = part.component.number
        free = next((group for group in groups if number not in group), None)
        if free is None:
            groups.append({number: part})
        else:
            free[number] = part
    return [_arrival(measured, tuple(group.values())) for group in groups]


def _part_order(part: _Part) -> tuple[int, str, float, list[str]]:
    return part.component.number, part.beyond or "", part.value or 0.0, sorted(part.flags)


def _arrival(measured: _Measured, parts: tuple[_Part, ...]) -> Arrival:
    said = [(p.component.number, p.value, p.beyond, sorted(p.flags)) for p in parts]
    identity = msgspec.json.encode(
        (measured.patient, measured.measured_at, measured.kind, measured.device, said)
    )
    uid = hashlib.sha256(identity).hexdigest()[:32]
    readings = tuple(
        Reading(uid, p.component.number, p.value, measured.measured_at, 0, p.flags, p.beyond)
        for p in parts
    )
    return Arrival(measured.received_at, readings)
