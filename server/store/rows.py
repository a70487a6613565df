"""What is written of new values and events: the item, its components, the newest, the inbox.

The patient of each is known here (``placing.py``) and so is that it is new (``identity.py``):
nothing is looked up, and all rows go to the database at once.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import msgspec

from alerts.standing import NO_READING
from devices.kinds import KINDS, Component
from devices.wire import Item
from server.store.arrays import (
    NULL,
    Array,
    array,
    bytes_field,
    copy_rows,
    int2_field,
    int4_field,
    int8_field,
    jsonb_field,
    microseconds,
    nullable_floats,
    text_field,
    texts_field,
    time_field,
    uuids,
)
from server.store.database import Transaction
from server.store.errors import DataRefused

IMPLAUSIBLE = "implausible"
# Values dated later than this after their arrival never become a patient's latest: they would hide
# all that follow. They are stored and shown with their own time.
FUTURE_MAX = timedelta(minutes=10)


class Row(NamedTuple):
    """A new item, and all that is known of it beside what it says itself.

    One is made for each value: a NamedTuple costs a third of a frozen dataclass.
    """

    item: Item
    uid: bytes
    received_seq: int
    gateway_id: int | None
    boot: str | None
    device_id: int | None
    patient_id: int | None
    unassigned: str | None
    entered_by: int | None


async def write(tx: Transaction, rows: Sequence[Row], *, stored_at: datetime) -> None:
    """Store rows in the order of their ``received_seq``; raises DataRefused for what cannot be.

    ``latest`` moves only forward; of two values of one moment the greater uid wins, so that the
    order of arrival does not matter. What is no reading (alerts/standing.py) is nobody's latest:
    it would hide the one that is.
    """
    at = microseconds(stored_at)
    last = stored_at + FUTURE_MAX
    measurements: list[bytes] = []
    observations: list[bytes] = []
    inbox: list[bytes] = []
    newest = _Newest()
    for row in rows:
        item = row.item
        if item.t is None:
            raise DataRefused("a value without a time")
        time = microseconds(item.t)
        flags = item.flags
        if item.type == "value":
            components = _components(item)
            flags = _flags(item, components)
            observations += _observations(row, time, components)
            inbox.append(_waiting(row, time, at))
            if row.patient_id is not None and item.t <= last:
                newest.offer(row, components, flags)
        measurements.append(_measurement(row, time, at, flags))
    await copy_rows(tx, "measurement", _MEASUREMENT, measurements)
    await copy_rows(tx, "observation", _OBSERVATION, observations)
    await copy_rows(tx, "engine_inbox", _INBOX, inbox)
    await newest.write(tx)


class _Newest:
    """The newest of each patient's components among the rows."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, int], tuple[datetime, bytes, float | None, str | None]] = {}

    def offer(self, row: Row, components: Sequence[Component], flags: tuple[str, ...]) -> None:
        """Take a value of a patient, if it is newer than what is here."""
        if flags and not NO_READING.isdisjoint(flags):
            return
        patient, time = row.patient_id, row.item.t
        assert patient is not None, "a patient's value"
        assert time is not None, "a value with a time"
        for component, sample in zip(components, row.item.samples, strict=True):
            key = (patient, component.number)
            before = self._found.get(key)
            if before is None or (time, row.uid) > before[:2]:
                self._found[key] = (time, row.uid, sample.value, sample.absent)

    async def write(self, tx: Transaction) -> None:
        """Move ``latest`` forward, in an order that lets two workers wait for each other."""
        if not self._found:
            return
        keys = sorted(self._found)
        found = [self._found[key] for key in keys]
        columns: dict[str, Array | list[str | None]] = {
            "patient": array("int4", [patient for patient, _ in keys]),
            "component": array("int2", [component for _, component in keys]),
            "time": array("timestamptz", [microseconds(time) for time, _, _, _ in found]),
            "value": nullable_floats([value for _, _, value, _ in found]),
            "absent": [absent for _, _, _, absent in found],
            "uid": uuids(uid for _, uid, _, _ in found),
        }
        await tx.execute(_LATEST, columns)


def _components(item: Item) -> list[Component]:
    kind = KINDS.get(item.kind or "")
    if kind is None:
        raise DataRefused(f"unknown kind {item.kind!r}")
    found = []
    for sample in item.samples:
        component = kind.component(sample.code)
        if component is None:
            raise DataRefused(f"{item.kind} has no component {sample.code!r}")
        found.append(component)
    return found


def _flags(item: Item, components: Sequence[Component]) -> tuple[str, ...]:
    for component, sample in zip(components, item.samples, strict=True):
        value = sample.value
        if value is not None and not component.is_plausible(value):
            return item.flags if IMPLAUSIBLE in item.flags else (*item.flags, IMPLAUSIBLE)
    return item.flags


def _observations(row: Row, time: int, components: Sequence[Component]) -> list[bytes]:
    patient, device, number = row.patient_id, row.device_id, row.received_seq
    if patient is None or device is None:
        head = int4_field(patient) + int4_field(device)
        head += _ROW.pack(16, row.uid, 8, time, 8, number)
    else:
        head = _BOUND_ROW.pack(4, patient, 4, device, 16, row.uid, 8, time, 8, number)
    return [
        head + _NUMBER.pack(2, component.number, 8, sample.value, -1)
        if sample.value is not None
        else head + int2_field(component.number) + NULL + text_field(sample.absent)
        for component, sample in zip(components, row.item.samples, strict=True)
    ]


def _waiting(row: Row, time: int, at: int) -> bytes:
    patient, gateway, number = row.patient_id, row.gateway_id, row.received_seq
    if patient is not None and gateway is not None:
        return _BOUND_WAITING.pack(4, patient, 4, gateway, 16, row.uid, 8, time, 8, number, 8, at)
    return (
        int4_field(patient)
        + int4_field(gateway)
        + _WAITING.pack(16, row.uid, 8, time, 8, row.received_seq, 8, at)
    )


def _measurement(row: Row, time: int, at: int, flags: tuple[str, ...]) -> bytes:
    item = row.item
    return b"".join(
        (
            _WAITING.pack(16, row.uid, 8, time, 8, row.received_seq, 8, at),
            _origin(row.patient_id, row.unassigned, row.gateway_id, row.device_id, row.boot),
            _said(item.type, item.event, item.kind, item.tq, item.gw_q, item.char),
            bytes_field(None if item.of is None else bytes.fromhex(item.of)),
            _sent(row),
            texts_field(flags),
            _context_field(item.ctx),
            bytes_field(None if item.raw is None else bytes.fromhex(item.raw)),
            int4_field(row.entered_by),
        )
    )


def _sent(row: Row) -> bytes:
    """Return the outbox's number and the clocks that were read: mostly all of them are there."""
    item = row.item
    dev_t, gw_t, mono_ms = item.dev_t, item.gw_t, item.mono_ms
    if dev_t is None or gw_t is None or mono_ms is None or row.gateway_id is None:
        seq = None if row.gateway_id is None else item.seq
        numbers = int8_field(seq), time_field(dev_t), time_field(gw_t), int8_field(mono_ms)
        return b"".join(numbers)
    times = microseconds(dev_t), microseconds(gw_t)
    try:
        return _SENT.pack(8, item.seq, 8, times[0], 8, times[1], 8, mono_ms)
    except struct.error as error:
        raise DataRefused("seq or mono_ms is larger than a bigint") from error


# Many values in a row share what these return.
@lru_cache(maxsize=4096)
def _origin(
    patient: int | None,
    unassigned: str | None,
    gateway: int | None,
    device: int | None,
    boot: str | None,
) -> bytes:
    return b"".join(
        (
            int4_field(patient),
            text_field(unassigned),
            int4_field(gateway),
            int4_field(device),
            bytes_field(None if boot is None else bytes.fromhex(boot.replace("-", ""))),
        )
    )


@lru_cache(maxsize=4096)
def _said(*said: str | None) -> bytes:
    type_, event, kind, *rest = said
    return b"".join(
        (text_field(type_), text_field(event), _kind_field(kind), *map(text_field, rest))
    )


def _kind_field(name: str | None) -> bytes:
    if name is None:
        return int2_field(None)
    if name not in KINDS:
        raise DataRefused(f"unknown kind {name!r}")
    return int2_field(KINDS[name].number)


_NOTHING = jsonb_field(b"{}")


def _context_field(context: Mapping[str, object]) -> bytes:
    return jsonb_field(msgspec.json.encode(context)) if context else _NOTHING


_MEASUREMENT = (
    "uid", "measured_at", "received_seq", "stored_at",
    "patient_id", "unassigned", "gateway_id", "device_id", "boot",
    "type", "event", "kind_id", "measured_how", "gateway_clock", "characteristic",
    "about", "seq", "device_time", "gateway_time", "mono_ms", "flags", "context", "raw",
    "entered_by",
)  # fmt: skip
_OBSERVATION = (
    "patient_id", "device_id", "uid", "measured_at", "received_seq", "component_id", "value",
    "absent",
)  # fmt: skip
_INBOX = ("patient_id", "gateway_id", "uid", "measured_at", "received_seq", "stored_at")
# Fields that are always there, each with its length: a uid and bigints; a component's number.
_ROW = struct.Struct("!i16siqiq")
_WAITING = struct.Struct("!i16siqiqiq")
_SENT = struct.Struct("!iqiqiqiq")
_BOUND_ROW = struct.Struct("!iiii" + _ROW.format[1:])
_BOUND_WAITING = struct.Struct("!iiii" + _WAITING.format[1:])
# The last length says that no reason is given for a number that is missing.
_NUMBER = struct.Struct("!ihidi")

_LATEST = """
INSERT INTO latest (patient_id, component_id, measured_at, value, absent, uid)
SELECT * FROM unnest(%(patient)s::int[], %(component)s::smallint[], %(time)s::timestamptz[],
                     %(value)s::float8[], %(absent)s::text[], %(uid)s::uuid[])
ON CONFLICT (patient_id, component_id) DO UPDATE
SET measured_at = excluded.measured_at, value = excluded.value, absent = excluded.absent,
    uid = excluded.uid
WHERE (excluded.measured_at, excluded.uid) > (latest.measured_at, latest.uid)
"""
