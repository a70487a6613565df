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

# A device clock that differs more than this from the gateway's was reset, so that its times recur.
RECENT = timedelta(days=35)


@dataclass(frozen=True, slots=True)
class Record:
    """One record of one characteristic value: ``index`` counts the records within the value."""

    dev: str
    characteristic: str
    raw: bytes
    index: int = 0
    device_time: datetime | None = None
    sequence_number: int | None = None


@dataclass(frozen=True, slots=True)
class Identified:
    """``uid`` by the record (None: the row's); ``known`` is the (boot, seq, uid) it already has."""

    uid: str | None
    known: tuple[str, int, str] | None = None
    is_possible_repeat: bool = False


def identify(connection: sqlite3.Connection, record: Record | None, *, now: datetime) -> Identified:
    """Decide what identifies ``record``; ``now`` is the gateway's clock. Reads, changes nothing.

    A record that is already in the outbox and carries a number or a time near ``now`` is that one:
    a device that replays several records is not stored twice though its times go back.
    """
    if record is None:
        return Identified(None)
    uid = wire.record_uid(record.dev, record.characteristic, record.index, record.raw)
    row = connection.execute("SELECT boot, seq, uid FROM outbox WHERE uid=?", (uid,)).fetchone()
    last = connection.execute(
        "SELECT raw, dev_t, other_dev_t FROM last_record WHERE dev=? AND char=?",
        (record.dev, record.characteristic),
    ).fetchone()
    is_replay = row is not None and _is_near(record.device_time, now)
    choice = wire.uid_for(
        record=uid,
        row="",
        is_numbered=record.sequence_number is not None,
        is_time_trusted=is_replay or _is_trusted(record, last),
        is_seen_before=last is not None and last["raw"] == record.raw,
    )
    if choice.uid != uid:
        return Identified(None, is_possible_repeat=choice.is_possible_repeat)
    return Identified(uid, None if row is None else (row["boot"], row["seq"], row["uid"]))


def remember(connection: sqlite3.Connection, record: Record) -> None:
    """Note ``record`` as its device's newest; call it in the transaction that writes the row."""
    device_time = None if record.device_time is None else record.device_time.isoformat()
    connection.execute(
        "INSERT INTO last_record (dev, char, raw, dev_t) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (dev, char) DO UPDATE"
        " SET other_dev_t=dev_t, raw=excluded.raw, dev_t=excluded.dev_t WHERE raw<>excluded.raw",
        (record.dev, record.characteristic, record.raw, device_time),
    )


def _is_trusted(record: Record, last: sqlite3.Row | None) -> bool:
    other = None
    if last is not None:
        other = last["other_dev_t"] if last["raw"] == record.raw else last["dev_t"]
    return wire.is_trusted_time(
        record.device_time, None if other is None else datetime.fromisoformat(other)
    )


def _is_near(device_time: datetime | None, now: datetime) -> bool:
    # The device's zone is not known here; a day more or less does not matter to the question.
    return device_time is not None and abs(device_time.replace(tzinfo=UTC) - now) < RECENT


def count_duplicate(connection: sqlite3.Connection) -> None:
    """Count a replay that made no row; call it in the transaction that saw it."""
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('duplicates', '1')"
        " ON CONFLICT (key) DO UPDATE SET value=CAST(value AS INTEGER)+1"
    )
