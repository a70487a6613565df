"""What went on around a glucose value (2A34: meal, food, exercise, medication): part of the value.

A meter sends it right after the value with the same number. A glucose value never waits long for
it: an announced context is given :data:`GRACE_MS`, less than the longest batch that a red value may
wait for. While the value has not left the home it takes up the context; after that the context
travels as an ``event`` with the value's number (``glucose_context``), since what has left is never
changed. Either way it is one record, and a replay of it brings nothing new.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from devices import wire
from devices.errors import WireError
from devices.gatt import Fields, glucose, glucose_context
from gateway.identity import Record
from gateway.records import find_record, know
from gateway.rows import JournalRow
from gateway.storage import transaction

CHARACTERISTIC = glucose_context.CHARACTERISTIC
EVENT = "glucose_context"
KIND = "glucose"
GRACE_MS = 60
_FOLLOWS = 1 << 4
"""The flag of a glucose value (2A18) that announces its context."""
# The context comes next after its value; other devices may have said something in between.
_ROWS_MAX = 16
_SUFFIX = {"g": "g", "mg": "mg", "mL": "ml", "%": "percent"}

Context = dict[str, str | int | float]


def announces(row: JournalRow) -> bool:
    """Tell whether ``row`` is a glucose value whose context is yet to come."""
    return row.characteristic == glucose.CHARACTERISTIC and any(
        flags & _FOLLOWS for flags in row.raw[:1]
    )


def is_known_without(connection: sqlite3.Connection, record: Record) -> bool:
    """Tell whether the glucose value ``record`` came before it had a context, or with one it lost.

    A person can mark a stored value with a meal; that sets a flag in its bytes and makes no other
    value of it. Then it is known by its new bytes too.
    """
    if record.characteristic != glucose.CHARACTERISTIC or not record.raw:
        return False
    twin = replace(record, raw=bytes((record.raw[0] ^ _FOLLOWS,)) + record.raw[1:])
    known = find_record(connection, twin.uid)
    if known is None or not known.is_stored or find_record(connection, record.uid) is not None:
        return False
    know(connection, record.uid, known)
    return True


def record_of(row: JournalRow, fields: Fields, value: bytes) -> Record:
    """Return the record that the context in ``row`` is; ``value`` is the 2A18 heard before it.

    A context has a number and no time: when a meter's numbers begin anew, that of another value may
    be the same to the byte. So the value it is about is part of what it is.
    """
    number = fields.fields["sequence_number"]
    assert isinstance(number, int), "a context has the number of its value"
    about = value[1:]  # Its flags change when somebody marks it.
    if about[:2] != number.to_bytes(2, "little"):
        about = b""
    return Record(row.dev, row.characteristic, about + row.raw, sequence_number=number)


def context_of(fields: Fields) -> Context:
    """Return the fields as an item's context: plain words and numbers, the unit in the name."""
    context: Context = {}
    for name, told in fields.fields.items():
        if name == "flags":
            assert isinstance(told, list), "flags are a list of names"
            if told:
                context["context_flags"] = " ".join(told)
        elif isinstance(told, Mapping):
            number = told["absent"] if told["value"] is None else told["value"]
            context[f"{name}_{_SUFFIX[told['unit']]}"] = number
        elif isinstance(told, str | int) and name != "sequence_number":
            context[name] = told
    return context


def join(connection: sqlite3.Connection, row: JournalRow, fields: Fields, record: Record) -> bool:
    """Put the context in ``row`` to its value; returns False where that has left, or never came.

    True also where ``record`` is known already, however it came.
    """
    known = find_record(connection, record.uid)
    if known is not None and known.is_stored:
        return True
    value = _value_at_home(connection, row, record)
    if value is None:
        return False
    uid, item = value
    joined = msgspec.structs.replace(item, ctx={**item.ctx, **context_of(fields)})
    with transaction(connection):
        connection.execute("UPDATE outbox SET item=? WHERE uid=?", (wire.encode(joined), uid))
        its_row = find_record(connection, uid)
        assert its_row is not None, "it was found a moment ago"
        know(connection, record.uid, its_row)
    return True


def _value_at_home(
    connection: sqlite3.Connection, row: JournalRow, record: Record
) -> tuple[str, wire.Item] | None:
    """Return the value of that number if it has not left yet, the newest where there are two."""
    waiting = connection.execute(
        "SELECT uid, item FROM outbox WHERE boot=? AND attempts=0 AND state='waiting'"
        " ORDER BY seq DESC LIMIT ?",
        (row.boot, _ROWS_MAX),
    ).fetchall()
    for found in waiting:
        item = _item(found["item"])
        if item is not None and _is_value(item, record):
            return found["uid"], item
    return None


def _item(raw: bytes) -> wire.Item | None:
    try:
        return wire.decode_item(raw)
    except WireError:
        return None


def _is_value(item: wire.Item, record: Record) -> bool:
    return (item.dev, item.char, item.dev_seq) == (
        record.dev,
        glucose.CHARACTERISTIC,
        record.sequence_number,
    )
