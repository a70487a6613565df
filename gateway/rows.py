"""What stands in the outbox's file, as values: journal rows, drafts, rows to send, counts."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import structlog

from devices import wire
from gateway.clock import ClockReading, moment_of
from gateway.identity import Record
from gateway.live import Live

log = structlog.get_logger("gateway.outbox")

State = Literal["waiting", "sent", "left_home", "stored", "rejected"]
# Envelope around the items: its field names, two UUIDs and a time are under 200 bytes.
ENVELOPE_BYTES = 256
ITEM_MAX_BYTES = wire.PAYLOAD_MAX_BYTES - ENVELOPE_BYTES
OPEN_STATES = "('waiting', 'sent', 'left_home')"


@dataclass(frozen=True, slots=True)
class JournalRow:
    """Bytes as a device sent them, with the gateway's clock at that moment."""

    number: int
    boot: str
    dev: str
    model: str
    characteristic: str
    raw: bytes
    reading: ClockReading


@dataclass(frozen=True, slots=True)
class Draft:
    """An item that still lacks its ``seq`` and ``uid``; on ``record`` its identity rests."""

    item: wire.Item
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a device told about itself: its battery, how far ahead its clock is.

    ``session_start`` are the bytes of a glucose sensor's session start; ``live`` what is to be
    remembered of a device that tells a value each second.
    """

    battery_percent: int | None = None
    clock_ahead_ms: int | None = None
    session_start: bytes | None = None
    live: Live | None = None


NOTHING_TOLD = Told()


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a draft: a new row, or the row it already had."""

    boot: str
    seq: int
    uid: str
    type: str
    is_duplicate: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A row to be sent; ``item`` is its JSON as it will travel."""

    boot: str
    seq: int
    uid: str
    item: bytes
    written: datetime
    mono_ms: int
    attempts: int
    is_single: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows are in which state, and since when the oldest open one waits."""

    journal: int
    waiting: int
    sent: int
    left_home: int
    stored: int
    rejected: int
    tombstones: int
    duplicates: int
    oldest: datetime | None

    @property
    def open(self) -> int:
        """Rows that the server has not answered for."""
        return self.journal + self.waiting + self.sent + self.left_home


def journal_row(row: sqlite3.Row) -> JournalRow:
    """Return a line of ``journal`` as a value."""
    return JournalRow(
        number=row["id"],
        boot=row["boot"],
        dev=row["dev"],
        model=row["model"],
        characteristic=row["char"],
        raw=row["raw"],
        reading=ClockReading(moment_of(row["gw_t"]), row["gw_q"], row["mono_ms"]),
    )


def row_to_send(row: sqlite3.Row) -> Row:
    """Return a line of ``outbox`` as a value."""
    return Row(
        boot=row["boot"],
        seq=row["seq"],
        uid=row["uid"],
        item=row["item"],
        written=moment_of(row["written_t"]),
        mono_ms=row["mono_ms"],
        attempts=row["attempts"],
        is_single=bool(row["single"]),
    )


def written(row: sqlite3.Row) -> Written:
    """Return the line of ``outbox`` that a change touched."""
    return Written(row["boot"], row["seq"], row["uid"], row["type"], is_duplicate=False)


def count_rows(connection: sqlite3.Connection) -> Counts:
    """Count journal and outbox rows by state; works beside a running gateway."""
    states: dict[str, int] = dict(
        connection.execute("SELECT state, count(*) FROM outbox GROUP BY state").fetchall()
    )
    (journal,) = connection.execute("SELECT count(*) FROM journal").fetchone()
    (tombstones,) = connection.execute(
        "SELECT count(*) FROM outbox WHERE type='tombstone'"
    ).fetchone()
    (oldest,) = connection.execute(
        f"SELECT min(t) FROM (SELECT min(written_t) AS t FROM outbox WHERE state IN {OPEN_STATES}"
        " UNION ALL SELECT min(gw_t) FROM journal)"
    ).fetchone()
    duplicates = connection.execute("SELECT value FROM meta WHERE key='duplicates'").fetchone()
    return Counts(
        journal=journal,
        waiting=states.get("waiting", 0),
        sent=states.get("sent", 0),
        left_home=states.get("left_home", 0),
        stored=states.get("stored", 0),
        rejected=states.get("rejected", 0),
        tombstones=tombstones,
        duplicates=int(duplicates[0]) if duplicates else 0,
        oldest=None if oldest is None else moment_of(oldest),
    )


def by_state(counts: Counts) -> dict[str, int]:
    """Return ``counts`` as a person reads them: how many rows are in which state."""
    return {
        "journal": counts.journal,
        "waiting": counts.waiting,
        "sent": counts.sent,
        "left_home": counts.left_home,
        "stored": counts.stored,
        "rejected": counts.rejected,
        "tombstones": counts.tombstones,
        "duplicates": counts.duplicates,
    }


def sendable(item: wire.Item) -> tuple[bytes, bytes | None]:
    """Return the item's JSON; for one too large to travel, a tombstone's and the original's."""
    payload = wire.encode(item)
    if len(payload) <= ITEM_MAX_BYTES:
        return payload, None
    log.error("item_too_large", seq=item.seq, size_bytes=len(payload))
    tombstone = wire.Item(
        seq=item.seq,
        uid=item.uid,
        type="tombstone",
        dev=item.dev,
        gw_t=item.gw_t,
        gw_q=item.gw_q,
        mono_ms=item.mono_ms,
        why="too_large",
    )
    return wire.encode(tombstone), payload


def within_payload(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return as many of the first ``rows`` as fit into one message."""
    size = ENVELOPE_BYTES
    for count, row in enumerate(rows):
        size += len(row.item) + 1
        if size > wire.PAYLOAD_MAX_BYTES:
            return tuple(rows[:count])
    return tuple(rows)
