"""A scale that says one weight twice: as a weight (2A9D), and within its body composition (2A9C).

The weight comes first, the composition after the current has gone through the feet. One weighing is
one body weight, so the composition's is left out where the other came just before; its bytes travel
with the composition all the same (docs/decisions/0012). Where the composition comes first, both are
kept and the second is marked: what is in the outbox may have left the home.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec

from devices import wire
from devices.errors import WireError
from devices.kinds import KINDS
from gateway.records import find_record, know
from gateway.rows import Draft, JournalRow

WEIGHT, COMPOSITION = "2A9D", "2A9C"
# A link with a scale lasts a minute at most (devices/profiles/weight.py).
WITHIN = timedelta(minutes=2)
# Half the step of a weight in kilograms: two characteristics may round it to different sides.
SAME_KG = 0.0025
_ROWS_MAX = 60
USER = "user_index"
_KIND = KINDS["body_weight"]
_CODE = _KIND.named("weight").code


def weighed_once(
    connection: sqlite3.Connection, row: JournalRow, drafts: tuple[Draft, ...]
) -> tuple[Draft, ...]:
    """Return the ``drafts`` of ``row`` without the weight that its device has said just before."""
    if row.characteristic not in (WEIGHT, COMPOSITION):
        return drafts
    kept = []
    for draft in drafts:
        twin = _twin(connection, row, draft.item)
        if twin is None:
            kept.append(draft)
        elif row.characteristic == COMPOSITION:
            _know(connection, draft, twin)
        else:
            flags = (*draft.item.flags, "possible_repeat")
            item = msgspec.structs.replace(draft.item, flags=flags)
            kept.append(replace(draft, item=item))
    return tuple(kept)


def _twin(connection: sqlite3.Connection, row: JournalRow, item: wire.Item) -> str | None:
    """Return the uid of the same weighing by the scale's other characteristic."""
    if _kilograms(item) is None:
        return None
    since_ms = row.reading.mono_ms - WITHIN // timedelta(milliseconds=1)
    found = connection.execute(
        "SELECT uid, item FROM outbox WHERE boot=? AND type='value'"
        " AND mono_ms BETWEEN ? AND ? ORDER BY seq DESC LIMIT ?",
        (row.boot, since_ms, row.reading.mono_ms, _ROWS_MAX),
    ).fetchall()
    return next((one["uid"] for one in found if _is_same(one["item"], item)), None)


def _is_same(other: bytes, item: wire.Item) -> bool:
    try:
        before = wire.decode_item(other)
    except WireError:
        return False
    now_kg, before_kg = _kilograms(item), _kilograms(before)
    if before.dev != item.dev or before.char == item.char or now_kg is None or before_kg is None:
        return False
    users = {one.ctx[USER] for one in (before, item) if USER in one.ctx}
    if len(users) > 1:
        # Two people may weigh the same.
        return False
    return abs(now_kg - before_kg) < SAME_KG and _is_near(before.dev_t, item.dev_t)


def _is_near(one: datetime | None, other: datetime | None) -> bool:
    # Both may be stored ones, of different days.
    return one is None or other is None or abs(one - other) <= WITHIN


def _kilograms(item: wire.Item) -> float | None:
    if item.kind != _KIND.name:
        return None
    return next((sample.value for sample in item.samples if sample.code == _CODE), None)


def _know(connection: sqlite3.Connection, draft: Draft, twin: str) -> None:
    """Let the weight that is left out be known, so that the scale's memory does not bring it."""
    assert draft.record is not None, "a weight comes from a record"
    known = find_record(connection, twin)
    assert known is not None, "its twin was found a moment ago"
    know(connection, draft.record.uid, known)
