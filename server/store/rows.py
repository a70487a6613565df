"""What is written of new values and events: the item, its components, the newest, the inbox.

The patient of each is known here (``placing.py``) and so is that it is new (``identity.py``):
nothing is looked up, and all rows go to the database at once, laid side by side column by column
(``row_blocks.py``): one by one they cost four times as much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np

from alerts.standing import NO_READING
from devices.kinds import COMPONENTS, COMPONENTS_OF, KINDS
from devices.wire import Item, WireSample
from server.store.arrays import (
    MISSING,
    NULL,
    bytes_field,
    int2_field,
    int4_field,
    jsonb_field,
    numbers_or_missing,
    text_field,
    texts_field,
)
from server.store.clocks import Clocks
from server.store.database import Transaction
from server.store.errors import DataRefused
from server.store.newest import move_latest, newest
from server.store.row_blocks import Column, Field, blocks, copy_rows

IMPLAUSIBLE = "implausible"
# Values dated later than this after their arrival never become a patient's latest: they would hide
# all that follow. They are stored and shown with their own time.
FUTURE_MAX = timedelta(minutes=10)
_FUTURE_MAX_US = FUTURE_MAX // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Rows:
    """New items, and all that is known of them beside what they say themselves; one column each.

    In the order of ``received_seqs``. ``uids`` are 16 bytes each, one after another.
    """

    items: Sequence[Item]
    clocks: Clocks
    uids: bytes
    received_seqs: Sequence[int]
    gateways: Sequence[int | None]
    boots: Sequence[str | None]
    devices: Sequence[int | None]
    patients: Sequence[int | None]
    unassigned: Sequence[str | None]
    entered_by: Sequence[int | None]


class _Columns(NamedTuple):
    """What more than one table says of each row; numbers are MISSING where there is none."""

    uid: Column
    time: Column
    received_seq: Column
    patient: Column
    gateway: Column
    device: Column

    def take(self, positions: Column) -> _Columns:
        return _Columns(*(column[positions] for column in self))


class _Samples(NamedTuple):
    """The components of all values, with the position of the row that each belongs to."""

    row: Column
    component: Column
    value: Column
    is_number: Column
    sample: Sequence[WireSample]


async def write(tx: Transaction, rows: Rows, *, stored_at_us: int) -> None:
    """Store rows; raises DataRefused for what cannot be. ``stored_at_us`` as PostgreSQL counts it.

    ``latest`` moves only forward. What is no reading (alerts/standing.py) is nobody's latest: it
    would hide the one that is.
    """
    columns = _columns(rows)
    samples = _samples(rows.items)
    flags = _flags(rows.items, samples)
    measurements = _measurements(rows, columns, flags, stored_at_us)
    await copy_rows(tx, "measurement", _MEASUREMENT, measurements)
    await copy_rows(tx, "observation", _OBSERVATION, _observations(columns, samples))
    is_value = np.array([item.type == "value" for item in rows.items])
    values = columns if is_value.all() else columns.take(np.flatnonzero(is_value))
    await copy_rows(tx, "engine_inbox", _INBOX, _waiting(values, stored_at_us))
    is_reading = [not said or NO_READING.isdisjoint(said) for said in flags]
    await _move_latest(tx, columns, samples, np.array(is_reading), stored_at_us)


def _columns(rows: Rows) -> _Columns:
    time = rows.clocks.measured
    if MISSING in time:
        raise DataRefused("a value without a time")
    return _Columns(
        uid=np.frombuffer(rows.uids, "V16"),
        time=time,
        received_seq=np.array(rows.received_seqs, np.int64),
        patient=numbers_or_missing(rows.patients),
        gateway=numbers_or_missing(rows.gateways),
        device=numbers_or_missing(rows.devices),
    )


def _samples(items: Sequence[Item]) -> _Samples:
    values = [item for item in items if item.type == "value"]
    positions = [position for position, item in enumerate(items) if item.type == "value"]
    found = [sample for item in values for sample in item.samples]
    try:
        components = [
            numbers[sample.code]
            for item in values
            for numbers in (_NUMBERS[item.kind or ""],)
            for sample in item.samples
        ]
        value = np.array([sample.value for sample in found], np.float64)
    except KeyError as error:
        raise DataRefused(f"a kind or component that is unknown: {error}") from error
    except OverflowError as error:
        raise DataRefused("a number is too large for float8") from error
    is_number = ~np.isnan(value)
    if not is_number.all():
        is_number = np.array([sample.value is not None for sample in found])
    counts = [len(item.samples) for item in values]
    row = np.repeat(np.array(positions, np.int64), np.array(counts, np.int64))
    return _Samples(row, np.array(components, np.int64), value, is_number, found)


def _flags(items: Sequence[Item], samples: _Samples) -> list[tuple[str, ...]]:
    """Return the flags of each row, with the one for what is outside its plausible range."""
    flags = [item.flags for item in items]
    low, high = _LOW[samples.component], _HIGH[samples.component]
    is_plausible = (low <= samples.value) & (samples.value <= high)
    for position in set(samples.row[samples.is_number & ~is_plausible].tolist()):
        if IMPLAUSIBLE not in flags[position]:
            flags[position] = (*flags[position], IMPLAUSIBLE)
    return flags


def _measurements(
    rows: Rows, columns: _Columns, flags: Sequence[tuple[str, ...]], at: int
) -> list[bytes]:
    items = rows.items
    seq = numbers_or_missing([item.seq for item in items])
    seq[columns.gateway == MISSING] = MISSING
    boots = b"".join([_boot(boot) for boot in rows.boots])
    fields = (
        Field("V16", columns.uid),
        Field(">i8", columns.time),
        Field(">i8", columns.received_seq),
        Field(">i8", at),
        _nullable(">i4", columns.patient),
        _nullable(">i4", columns.gateway),
        _nullable(">i4", columns.device),
        Field(
            "V16", np.frombuffer(boots, "V16"), np.array([one is not None for one in rows.boots])
        ),
        _nullable(">i8", seq),
        _nullable(">i8", rows.clocks.device),
        _nullable(">i8", rows.clocks.gateway),
        _nullable(">i8", numbers_or_missing([item.mono_ms for item in items])),
    )
    said = [
        _said(item, reason, one, by)
        for item, reason, one, by in zip(
            items, rows.unassigned, flags, rows.entered_by, strict=True
        )
    ]
    return [
        row + said[position]
        for block in blocks(len(items), fields, columns=len(_MEASUREMENT))
        for position, row in block.rows()
    ]


def _said(
    item: Item, unassigned: str | None, flags: tuple[str, ...], entered_by: int | None
) -> bytes:
    """Return the fields behind those of one length: words that many share, and the raw bytes."""
    words = _words(
        item.type, item.event, item.kind, item.tq, item.gw_q, item.char, unassigned, flags
    )
    if item.of is None and entered_by is None and not item.ctx:
        more = _NOTHING_MORE
    else:
        of = bytes_field(None if item.of is None else bytes.fromhex(item.of))
        more = of + int4_field(entered_by) + _context_field(item.ctx)
    return words + more + (NULL if item.raw is None else bytes_field(bytes.fromhex(item.raw)))


@lru_cache(maxsize=4096)
def _words(
    type_: str,
    event: str | None,
    kind: str | None,
    tq: str | None,
    gw_q: str | None,
    char: str | None,
    unassigned: str | None,
    flags: tuple[str, ...],
) -> bytes:
    if kind is not None and kind not in KINDS:
        raise DataRefused(f"unknown kind {kind!r}")
    number = int2_field(None if kind is None else KINDS[kind].number)
    texts = (text_field(one) for one in (type_, event, tq, gw_q, char, unassigned))
    return b"".join((number, *texts, texts_field(flags)))


def _context_field(context: Mapping[str, object]) -> bytes:
    return jsonb_field(msgspec.json.encode(context) if context else b"{}")


# Many values in a row come from one boot.
@lru_cache(maxsize=4096)
def _boot(boot: str | None) -> bytes:
    return bytes(16) if boot is None else bytes.fromhex(boot.replace("-", ""))


def _observations(columns: _Columns, samples: _Samples) -> list[bytes]:
    of_row = columns.take(samples.row)
    count = len(samples.row)
    fields = (
        _nullable(">i4", of_row.patient),
        _nullable(">i4", of_row.device),
        Field("V16", of_row.uid),
        Field(">i8", of_row.time),
        Field(">i8", of_row.received_seq),
        Field(">i2", samples.component),
        Field(">f8", samples.value, samples.is_number),
    )
    if samples.is_number.all():
        nothing_absent = Field(">i4", 0, np.full(count, False))
        found = blocks(count, (*fields, nothing_absent), columns=len(_OBSERVATION))
        return [block.data for block in found]
    return [
        row + text_field(samples.sample[position].absent)
        for block in blocks(count, fields, columns=len(_OBSERVATION))
        for position, row in block.rows()
    ]


def _waiting(values: _Columns, at: int) -> list[bytes]:
    fields = (
        _nullable(">i4", values.patient),
        _nullable(">i4", values.gateway),
        Field("V16", values.uid),
        Field(">i8", values.time),
        Field(">i8", values.received_seq),
        Field(">i8", at),
    )
    found = blocks(len(values.uid), fields, columns=len(_INBOX))
    return [block.data for block in found]


async def _move_latest(
    tx: Transaction, columns: _Columns, samples: _Samples, is_reading: Column, at: int
) -> None:
    may_count = is_reading & (columns.patient != MISSING) & (columns.time <= at + _FUTURE_MAX_US)
    offered = np.flatnonzero(may_count[samples.row])
    of_row = columns.take(samples.row[offered])
    component = samples.component[offered]
    found = newest(of_row.patient, component, of_row.time, of_row.uid)
    chosen = [samples.sample[position] for position in offered[found].tolist()]
    await move_latest(
        tx,
        patients=of_row.patient[found],
        components=component[found],
        times=of_row.time[found],
        uids=of_row.uid[found],
        values=[sample.value for sample in chosen],
        absents=[sample.absent for sample in chosen],
    )


def _nullable(dtype: str, numbers: Column) -> Field:
    return Field(dtype, numbers, numbers != MISSING)


def _bounds(side: int, unknown: float) -> Column:
    """Return one end of the plausible range of each component, by its number."""
    bounds = np.full(max(COMPONENTS) + 1, unknown)
    for number, component in COMPONENTS.items():
        bounds[number] = component.plausible[side]
    return bounds


_LOW, _HIGH = _bounds(0, -np.inf), _bounds(1, np.inf)
_NUMBERS = {
    kind: {code: component.number for code, component in components.items()}
    for kind, components in COMPONENTS_OF.items()
}
_NOTHING_MORE = bytes_field(None) + int4_field(None) + _context_field({})

# First the fields of one length.
_MEASUREMENT = (
    "uid", "measured_at", "received_seq", "stored_at", "patient_id", "gateway_id", "device_id",
    "boot", "seq", "device_time", "gateway_time", "mono_ms",
    "kind_id", "type", "event", "measured_how", "gateway_clock", "characteristic", "unassigned",
    "flags", "about", "entered_by", "context", "raw",
)  # fmt: skip
_OBSERVATION = (
    "patient_id", "device_id", "uid", "measured_at", "received_seq", "component_id", "value",
    "absent",
)  # fmt: skip
_INBOX = ("patient_id", "gateway_id", "uid", "measured_at", "received_seq", "stored_at")
