"""Which record is which: the identity of what a device sent (contract.md 1, ``uid``).

A record that carries the device's own number, or a device time that can be trusted, has the same
identity however often it arrives. For any other one the row in the outbox is its identity, and what
looks like a repeat is kept and marked.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from devices import wire
from gateway.clock import moment_of, text_of
from gateway.records import Known, find_record

# A device clock that differs more than this from the gateway's was reset, so that its times recur.
RECENT = timedelta(days=35)
# A record that came in so soon after its own time was stamped by a clock that was right. For the
# same bytes and the same second to come again as another measurement, that clock would have to be
# set back to that very second.
TIMELY = timedelta(days=1)
# More records than a cuff or a scale keeps.
REMEMBERED_RECORDS = 200
# Bytes without a time say nothing of when: the same temperature is measured most weeks, and a mark
# on each would soon be read by nobody. So they look like a repeat only where they came a short time
# ago (at the next day's link, whenever in that day it is), or where they come in a row that is
# faster than anybody measures.
REPLAYED_WITHIN = timedelta(hours=36)
FASTER_THAN_MEASURED = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Record:
    """One record of one characteristic value: ``index`` counts the records within the value.

    ``session_start`` are the bytes by which a glucose sensor says when its session began: its
    minutes begin anew with each, so the same bytes in another session are another record.
    """

    dev: str
    characteristic: str
    raw: bytes
    index: int = 0
    device_time: datetime | None = None
    sequence_number: int | None = None
    session_start: bytes = b""

    @property
    def uid(self) -> str:
        """The uid by which it is known wherever it comes from."""
        raw = self.session_start + self.raw
        return wire.record_uid(self.dev, self.characteristic, self.index, raw)

    @property
    def is_numbered(self) -> bool:
        """Tell whether the device numbers it: minutes within a known session are a number too."""
        return self.sequence_number is not None or bool(self.session_start)


@dataclass(frozen=True, slots=True)
class Identified:
    """``uid`` by the record (None: the row's); ``known`` is the row that it has, or had."""

    uid: str | None
    known: Known | None = None
    is_possible_repeat: bool = False


def identify(connection: sqlite3.Connection, record: Record | None, *, now: datetime) -> Identified:
    """Decide what identifies ``record``; ``now`` is the gateway's clock. Reads, changes nothing.

    A record that has, or had, its own row in the outbox is that one again if it carries a number,
    a time near ``now``, or a time that was near the gateway's clock when it first came: a device
    that replays its memory is not stored twice though its times go back. An old record that first
    came late proves nothing about the device's clock; it is kept again and marked.
    """
    if record is None:
        return Identified(None)
    uid = record.uid
    known = find_record(connection, uid)
    last = connection.execute(
        "SELECT raw, dev_t, other_dev_t FROM last_record WHERE dev=? AND char=?",
        (record.dev, record.characteristic),
    ).fetchone()
    choice = wire.uid_for(
        record=uid,
        row="",
        is_numbered=record.is_numbered,
        is_time_trusted=_is_replay(record, known, now) or _is_trusted(record, last),
        is_seen_before=known is not None or (last is not None and last["raw"] == record.raw),
    )
    if choice.uid == uid and known is not None:
        return Identified(uid, known if known.is_stored else None)
    is_repeat = choice.is_possible_repeat or _is_remembered(connection, record, now)
    return Identified(choice.uid or None, is_possible_repeat=is_repeat)


def remember(connection: sqlite3.Connection, record: Record, *, now: datetime) -> None:
    """Note ``record``, which came at ``now``, as its device's newest.

    Call it in the transaction that writes the row, after all rows of one value: records of one
    value are no repeats of each other.
    """
    device_time = None if record.device_time is None else record.device_time.isoformat()
    connection.execute(
        "INSERT INTO last_record (dev, char, raw, dev_t) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (dev, char) DO UPDATE"
        " SET other_dev_t=dev_t, raw=excluded.raw, dev_t=excluded.dev_t WHERE raw<>excluded.raw",
        (record.dev, record.characteristic, record.raw, device_time),
    )
    if record.is_numbered:
        return
    of_device = (record.dev, record.characteristic)
    # A record that comes again is the newest again: REPLACE gives it a new id, the highest.
    connection.execute(
        "INSERT OR REPLACE INTO remembered (dev, char, uid, came_t) VALUES (?, ?, ?, ?)",
        (*of_device, record.uid, text_of(now)),
    )
    connection.execute(
        "DELETE FROM remembered WHERE id IN (SELECT id FROM remembered WHERE dev=? AND char=?"
        " ORDER BY id DESC LIMIT -1 OFFSET ?)",
        (*of_device, REMEMBERED_RECORDS),
    )


def _is_trusted(record: Record, last: sqlite3.Row | None) -> bool:
    other = None
    if last is not None:
        other = last["other_dev_t"] if last["raw"] == record.raw else last["dev_t"]
    return wire.is_trusted_time(
        record.device_time, None if other is None else datetime.fromisoformat(other)
    )


def _is_remembered(connection: sqlite3.Connection, record: Record, now: datetime) -> bool:
    """Tell whether ``record`` looks like one of those that its device sent lately.

    A device that sends its memory again would else seem to have measured it twice: one without a
    clock, and one whose times went back because its clock was corrected.
    """
    if record.is_numbered:
        return False
    found = connection.execute(
        "SELECT came_t, (SELECT came_t FROM remembered WHERE dev=:dev AND char=:char"
        " ORDER BY id DESC LIMIT 1) AS last_t"
        " FROM remembered WHERE dev=:dev AND char=:char AND uid=:uid",
        {"dev": record.dev, "char": record.characteristic, "uid": record.uid},
    ).fetchone()
    if found is None:
        return False
    return (
        record.device_time is not None
        or abs(now - moment_of(found["came_t"])) < REPLAYED_WITHIN
        or abs(now - moment_of(found["last_t"])) < FASTER_THAN_MEASURED
    )


def _is_replay(record: Record, known: Known | None, now: datetime) -> bool:
    if known is None or record.device_time is None:
        return False
    # The device's zone is not known here; a day more or less does not matter to the question.
    device_time = record.device_time.replace(tzinfo=UTC)
    return abs(device_time - now) < RECENT or abs(device_time - known.written) < TIMELY


def count_duplicate(connection: sqlite3.Connection) -> None:
    """Count a replay that made no row; call it in the transaction that saw it."""
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('duplicates', '1')"
        " ON CONFLICT (key) DO UPDATE SET value=CAST(value AS INTEGER)+1"
    )
