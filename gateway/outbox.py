"""The outbox: what a device said stays here until the server says that it has committed it.

Rules of the file:

1. The raw bytes are in ``journal``, durably, before the Bluetooth callback returns.
2. A journal row leaves in the same transaction in which its items enter ``outbox``; a kill between
   any two transactions loses nothing, and the next start takes up what was left behind.
3. ``seq`` counts from 1 within the boot in which the bytes were written, is taken in the row's own
   transaction, and is never used again, even when its row is gone.
4. A row is done when the server's ack names it. It then stays 7 days, so that a server restored
   from a backup can ask for it again; nothing that is not acknowledged is ever removed.
5. At the quota, acknowledged rows make room first, oldest ack first, then what is remembered of
   rows long gone, and it is said aloud; then low-grade values are refused aloud (at 75 %), and last
   all new ones (at 85 %).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from devices import wire
from gateway.boots import next_seq, register_boot
from gateway.clock import ClockReading, text_of, text_or_none
from gateway.device_facts import note_device
from gateway.errors import StorageFull
from gateway.identity import count_duplicate, identify, remember
from gateway.records import forget_oldest, forget_records, retire, want_again
from gateway.rows import (
    NOTHING_TOLD,
    OPEN_STATES,
    Counts,
    Draft,
    JournalRow,
    Row,
    Told,
    Written,
    count_rows,
    journal_row,
    row_to_send,
    sendable,
    within_payload,
    written,
)
from gateway.settings import QUOTA_BYTES
from gateway.storage import explained, full, open_storage, transaction, used_share

T = TypeVar("T")
log = structlog.get_logger("gateway.outbox")

KEPT_AFTER_ACK = timedelta(days=wire.RESEND_DAYS_MAX)
# Of the quota. The rest is for marking rows that are there: measured, an update needs pages too.
LOW_GRADE_SHARE = 0.75
ROW_SHARE = 0.85
ROOM_ROWS = 200
ROOM_RECORDS = 1000
ROW_COLUMNS = "boot, seq, uid, item, written_t, mono_ms, attempts, single"


class Outbox:
    """The file at ``path``, opened for one running gateway.

    ``kernel_boot`` is the kernel's boot id. The wire's ``boot`` is made of it and of an id that the
    file got when it was made, so that neither a file begun anew nor a second gateway on the same
    machine can number its rows like another one. Raises StorageUnusable or StorageFull, here and
    from every method.
    """

    def __init__(self, path: Path, kernel_boot: str, *, quota_bytes: int = QUOTA_BYTES) -> None:
        self.path = path
        self.connection = open_storage(path, quota_bytes=quota_bytes)
        self.refused = 0
        with self._transaction():
            self.boot = register_boot(self.connection, kernel_boot)

    def close(self) -> None:
        """Close the file; nothing is lost when this is never called."""
        self.connection.close()

    def journal(
        self, *, dev: str, model: str, characteristic: str, raw: bytes, reading: ClockReading
    ) -> int:
        """Keep what a device sent; it is on disk when this returns. Returns the journal's number.

        Raises StorageFull at the quota after acknowledged rows have made what room they could.
        """
        when = (text_of(reading.utc), reading.quality, reading.mono_ms)
        values = (self.boot, dev, model, characteristic, raw, *when)
        return self._with_room(lambda: self._insert_journal(values))

    def _insert_journal(self, values: tuple[object, ...]) -> int:
        with self._transaction():
            cursor = self.connection.execute(
                "INSERT INTO journal (boot, dev, model, char, raw, gw_t, gw_q, mono_ms)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def journaled(self, limit: int) -> tuple[JournalRow, ...]:
        """Return at most ``limit`` journal rows in the order they were written, of any boot."""
        with explained(self.path):
            rows = self.connection.execute(
                "SELECT id, boot, dev, model, char, raw, gw_t, gw_q, mono_ms FROM journal"
                " ORDER BY id LIMIT ?",
                (limit,),
            ).fetchall()
        return tuple(journal_row(row) for row in rows)

    def settle(
        self, row: JournalRow, drafts: Sequence[Draft], told: Told = NOTHING_TOLD
    ) -> tuple[Written, ...]:
        """Turn a journal row into outbox rows, or into none where it told no measurement.

        The device is remembered as heard, with what it ``told`` about itself.
        """

        def write() -> tuple[Written, ...]:
            with self._transaction():
                rows = tuple(self._write(row.boot, row.reading, draft) for draft in drafts)
                # Only then: records of one value are no repeats of each other.
                for draft, written in zip(drafts, rows, strict=True):
                    if draft.record is not None and not written.is_duplicate:
                        now = draft.item.gw_t or row.reading.utc
                        remember(self.connection, draft.record, now=now)
                note_device(self.connection, row, told)
                self.connection.execute("DELETE FROM journal WHERE id=?", (row.number,))
            return rows

        return self._with_room(write)

    def append(self, draft: Draft, reading: ClockReading) -> Written:
        """Write an item of the gateway's own (an event, a clock item, the home screen's value)."""

        def write() -> Written:
            with self._transaction():
                return self._write(self.boot, reading, draft)

        return self._with_room(write)

    def is_nearly_full(self) -> bool:
        """Tell whether low-grade values must be refused; acknowledged rows make room first."""
        if used_share(self.connection, self.path) < LOW_GRADE_SHARE:
            return False
        self._make_room()
        return used_share(self.connection, self.path) >= LOW_GRADE_SHARE

    def has_room(self) -> bool:
        """Tell whether a new value could be kept; acknowledged rows make room first."""
        return not self.is_nearly_full() or used_share(self.connection, self.path) < ROW_SHARE

    def _write(self, boot: str, reading: ClockReading, draft: Draft) -> Written:
        # A row's boot is that of its bytes, also when a later boot takes it from the journal.
        now = draft.item.gw_t or reading.utc
        identity = identify(self.connection, draft.record, now=now)
        if identity.known is not None:
            count_duplicate(self.connection)
            known = identity.known
            return Written(known.boot, known.seq, known.uid, draft.item.type, is_duplicate=True)
        seq = next_seq(self.connection, boot)
        uid = identity.uid or wire.row_uid(boot, seq)
        repeat = ("possible_repeat",) if identity.is_possible_repeat else ()
        item = msgspec.structs.replace(
            draft.item, seq=seq, uid=uid, flags=draft.item.flags + repeat
        )
        payload, original = sendable(item)
        self.connection.execute(
            "INSERT INTO outbox (boot, seq, uid, type, item, original, written_t, stamped_t,"
            " mono_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                boot,
                seq,
                uid,
                item.type if original is None else "tombstone",
                payload,
                original,
                text_of(now),
                # The wall clock as it was, where the boot has learnt a better time since.
                None if now == reading.utc else text_of(reading.utc),
                reading.mono_ms,
            ),
        )
        return Written(boot, seq, uid, item.type, is_duplicate=False)

    def fresh(self, *, now_ms: int, limit: int) -> tuple[Row, ...]:
        """Return due rows younger than 10 minutes, those never tried first, then the oldest."""
        return self._rows(
            "boot=? AND mono_ms>? ORDER BY attempts>0, seq LIMIT ?",
            now_ms,
            (self.boot, _fresh_after_ms(now_ms), limit),
        )

    def backlog(self, *, now_ms: int) -> tuple[Row, ...]:
        """Return due older rows for one message: one boot, at most 50, within the payload limit."""
        older = "NOT (boot=? AND mono_ms>?)"
        first = self._rows(
            f"{older} ORDER BY rowid LIMIT 1", now_ms, (self.boot, _fresh_after_ms(now_ms))
        )
        if not first or first[0].is_single:
            return first
        rows = self._rows(
            f"{older} AND boot=? AND single=0 ORDER BY rowid LIMIT ?",
            now_ms,
            (self.boot, _fresh_after_ms(now_ms), first[0].boot, wire.BACKLOG_ITEMS_MAX),
        )
        return within_payload(rows)

    def next_due_ms(self) -> int | None:
        """Return the boot-time clock at which the next open row is due, None where none is open."""
        with explained(self.path):
            (due,) = self.connection.execute(
                f"SELECT min(next_try_ms) FROM outbox WHERE state IN {OPEN_STATES}"
            ).fetchone()
        return None if due is None else int(due)

    def mark_sent(
        self, rows: Sequence[Row], *, msg: str, now_ms: int, next_try_ms: Sequence[int]
    ) -> None:
        """Note that ``rows`` travelled in ``msg``, and when each goes again unless acked."""
        with self._transaction():
            self.connection.executemany(
                "UPDATE outbox SET state=iif(state='waiting', 'sent', state), attempts=attempts+1,"
                " msg=?, sent_ms=?, next_try_ms=? WHERE boot=? AND seq=?"
                f" AND state IN {OPEN_STATES}",
                [
                    (msg, now_ms, due, row.boot, row.seq)
                    for row, due in zip(rows, next_try_ms, strict=True)
                ],
            )

    def mark_left_home(self, msg: str) -> tuple[Written, ...]:
        """Note that the broker has taken message ``msg`` for a server that listens."""
        return self._change("state='left_home' WHERE msg=? AND state='sent'", (msg,))

    def mark_stored(
        self, boot: str, ranges: Iterable[tuple[int, int]], *, at: datetime | None
    ) -> tuple[Written, ...]:
        """Note the server's ack, ``at`` None where the time is not known. Unsent rows stay open."""
        stored: list[Written] = []
        for low, high in ranges:
            stored += self._change(
                "state='stored', acked_t=?, reason=NULL WHERE boot=? AND seq BETWEEN ? AND ?"
                " AND attempts>0 AND state IN ('waiting', 'sent', 'left_home', 'rejected')",
                (text_or_none(at), boot, low, high),
            )
        return tuple(stored)

    def mark_rejected(
        self, boot: str, seq: int, *, reason: str, at: datetime | None
    ) -> tuple[Written, ...]:
        """Note that the server will never take the row; it stays, counted as quarantine."""
        return self._change(
            "state='rejected', acked_t=?, reason=? WHERE boot=? AND seq=? AND attempts>0"
            f" AND state IN {OPEN_STATES}",
            (text_or_none(at), reason, boot, seq),
        )

    def postpone(
        self, boot: str, seq: int, *, reason: str, delay_ms: Callable[[int], int], now_ms: int
    ) -> tuple[Written, ...]:
        """Try the row later; ``delay_ms`` is asked with the number of tries so far."""
        with explained(self.path):
            row = self.connection.execute(
                "SELECT attempts FROM outbox WHERE boot=? AND seq=?", (boot, seq)
            ).fetchone()
        if row is None:
            return ()
        due = now_ms + delay_ms(max(1, row[0]))
        return self._change(
            "state='waiting', next_try_ms=?, reason=? WHERE boot=? AND seq=?"
            f" AND state IN {OPEN_STATES}",
            (due, reason, boot, seq),
        )

    def hasten(self, *, now_ms: int, sent_before_ms: int) -> None:
        """Let rows that wait for want of an ack go again now.

        Not those that the server put off, nor those that went at ``sent_before_ms`` or later.
        """
        with self._transaction():
            self.connection.execute(
                "UPDATE outbox SET next_try_ms=? WHERE next_try_ms>? AND sent_ms<?"
                f" AND reason IS NULL AND state IN {OPEN_STATES}",
                (now_ms, now_ms, sent_before_ms),
            )

    def of_message(self, msg: str) -> tuple[Row, ...]:
        """Return the open rows that travelled last in message ``msg``."""
        return self._select(f"msg=? AND state IN {OPEN_STATES} ORDER BY seq", (msg,))

    def send_singly(self, msg: str) -> tuple[Written, ...]:
        """Let each open row of ``msg`` travel alone from now on, at once."""
        return self._change(
            f"single=1, state='waiting', next_try_ms=0 WHERE msg=? AND state IN {OPEN_STATES}",
            (msg,),
        )

    def send_again_since(self, since: datetime) -> tuple[Written, ...]:
        """Let acknowledged rows written or acknowledged at or after ``since`` wait again."""
        moment = text_of(since)
        with self._transaction():
            want_again(self.connection, since)
        return self._change(
            "state='waiting', next_try_ms=0, acked_t=NULL WHERE state='stored'"
            " AND (acked_t IS NULL OR acked_t>=? OR written_t>=?)",
            (moment, moment),
        )

    def mark_seen(self, uid: str, *, at: datetime, unit: str) -> tuple[Written, ...]:
        """Note that a person in care has seen the value; returns nothing where that was known."""
        return self._change(
            "seen_t=?, seen_unit=? WHERE uid=? AND seen_t IS NULL", (text_of(at), unit, uid)
        )

    def counts(self) -> Counts:
        """Count the rows by state."""
        with explained(self.path):
            return count_rows(self.connection)

    def discard_acked(self, now: datetime) -> int:
        """Remove rows that the server answered for more than 7 days ago; returns how many.

        Which records they were is remembered for 400 days.
        """
        with self._transaction():
            gone = retire(
                self.connection,
                "state IN ('stored', 'rejected') AND acked_t<?",
                (text_of(now - KEPT_AFTER_ACK),),
            )
            forget_records(self.connection, now=now)
        return gone

    def _make_room(self) -> int:
        with self._transaction():
            rows = retire(
                self.connection,
                "rowid IN (SELECT rowid FROM outbox WHERE state='stored' ORDER BY acked_t LIMIT ?)",
                (ROOM_ROWS,),
            )
            records = 0 if rows else forget_oldest(self.connection, count=ROOM_RECORDS)
        if rows or records:
            log.warning("outbox_made_room", acked_rows_removed_early=rows, records=records)
        return rows + records

    def _with_room(self, write: Callable[[], T]) -> T:
        if used_share(self.connection, self.path) >= ROW_SHARE and not (
            self._make_room() and used_share(self.connection, self.path) < ROW_SHARE
        ):
            self._refuse()
            raise full(self.path)
        try:
            return write()
        except StorageFull:
            # Not our quota but the disk: others filled it.
            self._refuse()
            raise

    def _refuse(self) -> None:
        self.refused += 1
        log.error("outbox_full", refused=self.refused)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with explained(self.path), transaction(self.connection):
            yield

    def _rows(self, where: str, now_ms: int, values: tuple[object, ...]) -> tuple[Row, ...]:
        return self._select(
            f"state IN {OPEN_STATES} AND next_try_ms<=? AND {where}", (now_ms, *values)
        )

    def _select(self, where: str, values: tuple[object, ...]) -> tuple[Row, ...]:
        with explained(self.path):
            rows = self.connection.execute(
                f"SELECT {ROW_COLUMNS} FROM outbox WHERE {where}", values
            ).fetchall()
        return tuple(row_to_send(row) for row in rows)

    def _change(self, change: str, values: tuple[object, ...]) -> tuple[Written, ...]:
        with self._transaction():
            rows = self.connection.execute(
                f"UPDATE outbox SET {change} RETURNING boot, seq, uid, type", values
            ).fetchall()
        return tuple(written(row) for row in rows)


def _fresh_after_ms(now_ms: int) -> int:
    return now_ms - wire.BACKLOG_AGE_MIN_S * 1000
