"""The gateway's one SQLite file: how it is opened, migrated, bounded, and how its errors read.

Measured (VM disk): a commit in WAL with ``synchronous=FULL`` costs 0.3 ms; NORMAL would be ten
times cheaper but may roll back the newest commits at a power cut, which is a lost measurement.
Without a bound a full disk stops inserts, deletes and checkpoints alike, so the file could never be
drained; with ``max_page_count`` and ``wal_autocheckpoint=16`` it stopped at its own quota and
deletes kept working.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.errors import GatewayError, StorageFull, StorageUnusable

BUSY_TIMEOUT_S = 5.0
PAGE_BYTES = 4096
WAL_AUTOCHECKPOINT_PAGES = 16
# What SQLite wants beside the file at the least: log and index of shared memory.
DISK_FREE_MIN_BYTES = 128 * 1024
# Each entry brings the file one version up; entries are appended, never edited.
MIGRATIONS = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE boot (
        boot     TEXT PRIMARY KEY,
        last_seq INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    -- What a device said, before anything else is done with it.
    CREATE TABLE journal (
        id      INTEGER PRIMARY KEY AUTOINCREMENT,
        boot    TEXT NOT NULL REFERENCES boot,
        dev     TEXT NOT NULL,
        model   TEXT NOT NULL,
        char    TEXT NOT NULL,
        raw     BLOB NOT NULL,
        gw_t    TEXT NOT NULL,
        gw_q    TEXT NOT NULL,
        mono_ms INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE outbox (
        boot     TEXT NOT NULL REFERENCES boot,
        seq      INTEGER NOT NULL,
        uid      TEXT NOT NULL UNIQUE,
        type     TEXT NOT NULL,
        item     BLOB NOT NULL,
        original BLOB,                           -- of a tombstone: what could never be sent
        state    TEXT NOT NULL DEFAULT 'waiting'
                 CHECK (state IN ('waiting', 'sent', 'left_home', 'stored', 'rejected')),
        written_t  TEXT NOT NULL,                -- gateway's wall clock, as good as it was
        mono_ms    INTEGER NOT NULL,             -- boot-time clock of `boot`
        attempts   INTEGER NOT NULL DEFAULT 0,
        next_try_ms INTEGER NOT NULL DEFAULT 0,  -- boot-time clock of the running boot
        sent_ms    INTEGER NOT NULL DEFAULT 0,   -- last time it went, the same clock
        single     INTEGER NOT NULL DEFAULT 0,
        msg        TEXT,
        reason     TEXT,
        acked_t    TEXT,
        seen_t     TEXT,
        seen_unit  TEXT,
        PRIMARY KEY (boot, seq)
    ) STRICT;
    CREATE INDEX outbox_due ON outbox (next_try_ms) WHERE state IN ('waiting', 'sent', 'left_home');
    CREATE INDEX outbox_msg ON outbox (msg) WHERE msg IS NOT NULL;
    CREATE INDEX outbox_acked ON outbox (acked_t) WHERE acked_t IS NOT NULL;
    -- The newest record of a device, and the time of the last one that differed from it: so that
    -- a stopped clock can be told from a repeat.
    CREATE TABLE last_record (
        dev         TEXT NOT NULL,
        char        TEXT NOT NULL,
        raw         BLOB NOT NULL,
        dev_t       TEXT,
        other_dev_t TEXT,
        PRIMARY KEY (dev, char)
    ) STRICT;
    CREATE TABLE device (
        dev       TEXT PRIMARY KEY,
        battery   INTEGER,
        last_seen TEXT NOT NULL,
        -- How far ahead of the gateway its clock was when last read, and when that was.
        clock_ahead_ms INTEGER,
        clock_boot     TEXT,
        clock_mono_ms  INTEGER
    ) STRICT;
    CREATE TABLE paired (
        address TEXT PRIMARY KEY,
        model   TEXT NOT NULL,
        profile TEXT NOT NULL
    ) STRICT;
    CREATE TABLE request (
        id       TEXT PRIMARY KEY,
        ask      TEXT NOT NULL,
        kind     TEXT,
        payload  BLOB NOT NULL,
        expires  TEXT NOT NULL
    ) STRICT;
    CREATE TABLE config (
        serial  INTEGER PRIMARY KEY,
        payload BLOB NOT NULL,
        applied_t TEXT NOT NULL
    ) STRICT;
    """,
    """
    -- Records whose row is gone: by it we know what a device sends again.
    CREATE TABLE record (
        uid       TEXT PRIMARY KEY,
        boot      TEXT NOT NULL,
        seq       INTEGER NOT NULL,
        written_t TEXT NOT NULL,
        acked_t   TEXT NOT NULL,
        is_stored INTEGER NOT NULL              -- 0: the server lacks it, so a replay is queued
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX record_acked ON record (acked_t);
    -- The first moment of the boot at which NTP disciplined the clock.
    ALTER TABLE boot ADD COLUMN right_t TEXT;
    ALTER TABLE boot ADD COLUMN right_mono_ms INTEGER;
    ALTER TABLE boot ADD COLUMN clock_told INTEGER NOT NULL DEFAULT 0;
    -- What the wall clock said where `written_t` was corrected later.
    ALTER TABLE outbox ADD COLUMN stamped_t TEXT;
    -- How the running gateway is, for who looks from outside.
    CREATE TABLE running (
        one     INTEGER PRIMARY KEY CHECK (one = 1),
        payload TEXT NOT NULL
    ) STRICT;
    """,
    """
    -- Up to which number a device's stored records are kept, and what proves its numbering.
    CREATE TABLE records_kept (
        dev    TEXT NOT NULL,
        char   TEXT NOT NULL,
        number INTEGER NOT NULL,
        proof  BLOB,
        PRIMARY KEY (dev, char)
    ) STRICT, WITHOUT ROWID;
    -- When the session of a glucose sensor began, as it said, and when it said so.
    CREATE TABLE sensor_session (
        dev     TEXT PRIMARY KEY,
        raw     BLOB NOT NULL,
        boot    TEXT NOT NULL,
        mono_ms INTEGER NOT NULL
    ) STRICT;
    -- The last fact of each sort that was noted about a device, and how often since it was sent.
    CREATE TABLE noted (
        dev     TEXT NOT NULL,
        what    TEXT NOT NULL,
        detail  TEXT NOT NULL,
        boot    TEXT NOT NULL,
        mono_ms INTEGER NOT NULL,
        unsaid  INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (dev, what)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE consent (
        dev        TEXT PRIMARY KEY,
        user_index INTEGER NOT NULL,
        code       INTEGER NOT NULL
    ) STRICT;
    -- Of a device that tells a value each second: what was kept lately, what was left out since.
    CREATE TABLE live (
        dev      TEXT NOT NULL,
        char     TEXT NOT NULL,
        boot     TEXT NOT NULL,
        began_ms INTEGER NOT NULL,
        kept     TEXT NOT NULL,
        values_left_out INTEGER NOT NULL,
        rr_left_out     INTEGER NOT NULL,
        PRIMARY KEY (dev, char)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    -- The last records of a device that numbers none, newest with the highest id: by them we see
    -- that it sends its memory again.
    CREATE TABLE remembered (
        id     INTEGER PRIMARY KEY,
        dev    TEXT NOT NULL,
        char   TEXT NOT NULL,
        uid    TEXT NOT NULL,                   -- the record's own, whatever its row's uid is
        came_t TEXT NOT NULL,
        UNIQUE (dev, char, uid)
    ) STRICT;
    """,
)


def open_storage(path: Path, *, quota_bytes: int) -> sqlite3.Connection:
    """Open or make the file at ``path`` and bring it to the newest version.

    Returns a connection in autocommit; transactions are explicit (:func:`transaction`). Raises
    StorageUnusable with reason and remedy, or StorageFull.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            _prepare(connection, path, quota_bytes)
        except (sqlite3.Error, GatewayError):
            connection.close()
            raise
        return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the file at ``path`` beside a running gateway, without the right to change it."""
    try:
        path.stat()
    except FileNotFoundError as error:
        raise StorageUnusable(
            f"There is no outbox at {path}.", "Start the gateway once, or set HEMMA_GATEWAY_DATA."
        ) from error
    except PermissionError as error:
        raise _unreadable(path) from error
    if not os.access(path, os.R_OK | os.W_OK) or not os.access(path.parent, os.W_OK):
        # Also a reader writes beside a file in WAL mode.
        raise _unreadable(path)
    with explained(path):
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        connection.execute("PRAGMA query_only=1")
        connection.row_factory = sqlite3.Row
        connection.execute("SELECT count(*) FROM meta").fetchone()
        try:
            _check_is_current(connection, path)
        except StorageUnusable:
            connection.close()
            raise
        return connection


def _check_is_current(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection, path) < len(MIGRATIONS):
        raise StorageUnusable(
            f"{path} was written by an older version of this software.",
            "Start the gateway once; it brings the file up to date.",
        )


def _unreadable(path: Path) -> StorageUnusable:
    return StorageUnusable(
        f"{path} cannot be read by this user.", "Use the gateway's user, or sudo."
    )


def _prepare(connection: sqlite3.Connection, path: Path, quota_bytes: int) -> None:
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=1")
    connection.execute(f"PRAGMA wal_autocheckpoint={WAL_AUTOCHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit={PAGE_BYTES * WAL_AUTOCHECKPOINT_PAGES * 4}")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"malformed: {verdict}")
    _migrate(connection, path)
    connection.execute(f"PRAGMA max_page_count={quota_bytes // PAGE_BYTES}")


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = _version(connection, path)
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {statements} PRAGMA user_version={number}; COMMIT;"
        )


def used_share(connection: sqlite3.Connection, path: Path) -> float:
    """Return how much of its quota the file uses, from 0 to 1; free pages count as unused."""
    with explained(path):
        used, free, most = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "max_page_count")
        )
    return float((used - free) / most)


def _version(connection: sqlite3.Connection, path: Path) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StorageUnusable(
            f"{path} was written by a newer version of this software.", "Upgrade the gateway."
        )
    return int(version)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the block in one write transaction: durable when it ends, undone when it raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        # A failed COMMIT and an error in the block both leave the transaction open.
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's and the system's errors into ours, which say what to do."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _explain(path, error) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise full(path) from error
        raise StorageUnusable(
            f"{path} cannot be opened: {error.strerror}.", "Check the folder and its owner."
        ) from error


def full(path: Path) -> StorageFull:
    """Return the error of a file that may not, or cannot, grow."""
    return StorageFull(
        f"The outbox {path} is at its quota or the disk is full.",
        "Free disk space, or restore the link to the server so that it can drain.",
    )


def _explain(path: Path, error: sqlite3.DatabaseError) -> StorageUnusable | StorageFull:
    text = str(error)
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return full(path)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StorageUnusable(
                f"{path} is locked by another process.", "Stop the other gateway process."
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return StorageUnusable(
                f"{path} cannot be written ({text}).",
                "Mount the data folder for writing and check its owner.",
            )
        case sqlite3.SQLITE_IOERR if _is_disk_full(path):
            # So it reads where the file beside the database could not be made.
            return full(path)
        case sqlite3.SQLITE_IOERR:
            return StorageUnusable(
                f"The disk failed under {path} ({text}).", "Restart; replace the card if it recurs."
            )
        case _:
            return StorageUnusable(
                f"{path} is damaged or not an outbox ({text}).",
                "Keep a copy for rescue, move it away and restart the gateway.",
            )


def _is_disk_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < DISK_FREE_MIN_BYTES
    except OSError:
        return False
