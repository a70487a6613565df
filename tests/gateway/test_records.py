"""A device's replay after its rows are gone: recognised, or kept and marked, never stored twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from devices import wire
from gateway.identity import Record
from gateway.outbox import Outbox
from gateway.records import RECORDS_MAX, find_record, forget_records
from gateway.rows import Draft
from gateway.storage import MIGRATIONS
from tests.gateway.fix_home import CUFF, KERNEL_BOOT, STOCKHOLM, Home, make_home, written_items

DAY_S = 86_400


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = make_home(tmp_path / "outbox.sqlite3")
    yield home
    home.outbox.close()


def local_now(home: Home) -> datetime:
    return home.clock.read().utc.replace(tzinfo=None, microsecond=0)


def send(home: Home) -> int:
    """Send all rows, and return how many there were."""
    now_ms = home.clock.read().mono_ms
    rows = home.outbox.fresh(now_ms=now_ms, limit=99) or home.outbox.backlog(now_ms=now_ms)
    home.outbox.mark_sent(rows, msg="m", now_ms=now_ms, next_try_ms=[now_ms] * len(rows))
    return len(rows)


def store(home: Home) -> None:
    """Let the server store all rows, and let them go a week later."""
    send(home)
    home.outbox.mark_stored(home.outbox.boot, [(1, 99)], at=home.clock.read().utc)
    home.clock.push(7 * DAY_S + 1)
    assert home.outbox.discard_acked(home.clock.read().utc)
    assert home.outbox.counts().stored == 0


def queued(home: Home) -> list[wire.Item]:
    rows = home.outbox.connection.execute("SELECT item FROM outbox ORDER BY rowid").fetchall()
    return [wire.decode_item(bytes(row["item"])) for row in rows]


@pytest.mark.parametrize("days", [1, 27, 60, 390])
def test_memory_replayed_after_its_rows_are_gone_is_known(home: Home, days: int) -> None:
    then = local_now(home)
    for systolic, minutes in ((150, 5), (151, 0)):
        home.measure(systolic, then - timedelta(minutes=minutes))
    first = [fields for name, fields in home.events if name == "queued"]
    store(home)
    home.clock.push(days * DAY_S)
    for systolic, minutes in ((150, 5), (151, 0)):
        home.measure(systolic, then - timedelta(minutes=minutes))
    assert queued(home) == []
    assert home.outbox.counts().duplicates == 2
    again = [fields for name, fields in home.events if name == "queued"][2:]
    assert [fields["duplicate"] for fields in again] == [True, True]
    assert [fields["uid"] for fields in again] == [fields["uid"] for fields in first]


def test_numbered_record_is_known_whatever_its_time(home: Home) -> None:
    long_ago = datetime(2000, 1, 1)  # noqa: DTZ001 - a device's local time
    record = Record(CUFF, "2A18", b"\x2a", device_time=long_ago, sequence_number=42)
    draft = Draft(wire.Item(seq=0, uid="0" * 32, type="event"), record)
    first = home.outbox.append(draft, home.clock.read())
    store(home)
    again = home.outbox.append(draft, home.clock.read())
    assert (again.uid, again.seq, again.is_duplicate) == (first.uid, 1, True)
    assert queued(home) == []


def test_old_record_that_first_came_late_is_kept_again_and_marked(home: Home) -> None:
    """Its time was never near ours, so it may as well be a clock that was set back."""
    then = local_now(home) - timedelta(days=50)
    home.measure(150, then)
    home.measure(151, then + timedelta(minutes=5))
    store(home)
    home.measure(150, then)
    (item,) = queued(home)
    assert item.flags == ("possible_repeat",)
    assert item.uid == wire.row_uid(home.outbox.boot, item.seq)


def test_after_400_days_it_is_forgotten(home: Home) -> None:
    then = local_now(home)
    home.measure(150, then)
    store(home)
    connection = home.outbox.connection
    assert connection.execute("SELECT count(*) FROM record").fetchone()[0] == 1
    home.clock.push(392 * DAY_S)
    home.outbox.discard_acked(home.clock.read().utc)
    assert connection.execute("SELECT count(*) FROM record").fetchone()[0] == 1
    home.clock.push(DAY_S)
    home.outbox.discard_acked(home.clock.read().utc)
    assert connection.execute("SELECT count(*) FROM record").fetchone()[0] == 0


def test_row_uids_are_not_remembered_and_records_are_bounded(home: Home) -> None:
    home.measure(150)
    home.outbox.append(Draft(wire.Item(seq=0, uid="0" * 32, type="event")), home.clock.read())
    for minute in range(5):
        home.measure(120 + minute, local_now(home) + timedelta(seconds=minute))
    newest = str([fields["uid"] for name, fields in home.events if name == "queued"][-1])
    store(home)
    connection = home.outbox.connection
    assert connection.execute("SELECT count(*) FROM record").fetchone()[0] == 5
    assert RECORDS_MAX > 5
    connection.execute(
        "UPDATE record SET acked_t='2027-01-01T00:00:00.000Z' WHERE uid=?", (newest,)
    )
    forget_records(connection, now=home.clock.read().utc, most=1)
    assert [uid for (uid,) in connection.execute("SELECT uid FROM record")] == [newest]


def test_refused_record_is_offered_again_under_its_uid(home: Home) -> None:
    then = local_now(home)
    home.measure(150, then)
    send(home)
    home.outbox.mark_rejected(home.outbox.boot, 1, reason="unknown_kind", at=home.clock.read().utc)
    uid = queued(home)[0].uid
    home.clock.push(8 * DAY_S)
    assert home.outbox.discard_acked(home.clock.read().utc) == 1
    home.measure(150, then)
    (item,) = queued(home)
    assert (item.uid, item.seq) == (uid, 2)


def test_restored_server_gets_a_replay_of_what_it_may_lack(home: Home) -> None:
    before, then = home.clock.read().utc - timedelta(seconds=1), local_now(home)
    home.measure(150, then)
    uid = queued(home)[0].uid
    store(home)
    home.measure(150, then)
    assert queued(home) == []
    assert home.outbox.send_again_since(before) == ()
    home.measure(150, then)
    (item,) = queued(home)
    assert item.uid == uid
    # Stored anew and gone anew, it is known again.
    store(home)
    known = find_record(home.outbox.connection, uid)
    assert known is not None
    assert (known.is_stored, known.seq) == (True, item.seq)


def test_rows_that_make_room_are_remembered_and_records_make_room_last(tmp_path: Path) -> None:
    home = make_home(tmp_path / "small.sqlite3", quota_bytes=512 * 1024)
    then = local_now(home)
    home.measure(150, then)
    uid = queued(home)[0].uid
    send(home)
    home.outbox.mark_stored(home.outbox.boot, [(1, 1)], at=home.clock.read().utc)
    draft = Draft(wire.Item(seq=0, uid="0" * 32, type="event", why="z" * 1000))
    while not home.outbox.is_nearly_full():
        home.outbox.append(draft, home.clock.read())
    # The stored row made room; its record was the last thing to go.
    connection = home.outbox.connection
    assert home.outbox.counts().stored == 0
    assert find_record(connection, uid) is not None
    assert home.outbox.is_nearly_full()
    assert find_record(connection, uid) is None
    home.outbox.close()


def test_file_of_version_1_is_brought_up_with_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    old = sqlite3.connect(path, isolation_level=None)
    old.executescript(f"BEGIN; {MIGRATIONS[0]} PRAGMA user_version=1; COMMIT;")
    old.execute("INSERT INTO boot (boot, last_seq) VALUES ('b', 1)")
    old.execute(
        "INSERT INTO outbox (boot, seq, uid, type, item, written_t, mono_ms)"
        " VALUES ('b', 1, 'u', 'event', x'7b7d', '2026-01-01T00:00:00.000Z', 5)"
    )
    old.close()
    outbox = Outbox(path, KERNEL_BOOT)
    assert outbox.counts().waiting == 1
    assert outbox.connection.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
    outbox.close()


def test_what_came_while_the_times_went_back_is_marked_when_it_comes_again(home: Home) -> None:
    """A clock is set back an hour: what is measured then, several of it, and all of it once more.

    A time that did not move on proves nothing, so all is kept; but nobody must count it twice.
    """
    now = home.clock.read().utc.astimezone(STOCKHOLM).replace(tzinfo=None, microsecond=0)
    home.measure(150, now)
    later = [now - timedelta(minutes=60 - minute) for minute in (2, 1, 0)]
    for time in later * 2:
        home.push(1)
        home.measure(130, time)
    flags = [item.flags for item in written_items(home)]
    assert flags[:4] == [()] * 4
    assert [flag for flag in flags[4:] if flag != ("possible_repeat",)] == []
