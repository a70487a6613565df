"""The outbox by itself: identity, numbers, states, quota, damage."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices import wire
from gateway.clock import ClockReading
from gateway.errors import StorageFull, StorageUnusable
from gateway.outbox import Outbox
from gateway.rows import Draft, Written
from gateway.storage import MIGRATIONS, open_for_reading
from tests.gateway.fix_home import CUFF, KERNEL_BOOT, Home, make_home

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LOCAL_NOON = datetime(2026, 11, 22, 13)  # noqa: DTZ001 - a device's local time


def at(seconds: float = 0) -> ClockReading:
    return ClockReading(NOON + timedelta(seconds=seconds), "ntp", int(1_000_000 + seconds * 1000))


def event(name: str = "pause") -> Draft:
    return Draft(wire.Item(seq=0, uid="0" * 32, type="event", event=name))


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox.sqlite3", KERNEL_BOOT)
    yield outbox
    outbox.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = make_home(tmp_path / "home.sqlite3")
    yield home
    home.outbox.close()


def send_all(outbox: Outbox, now_ms: int, msg: str = "m") -> None:
    rows = outbox.fresh(now_ms=now_ms, limit=1000)
    outbox.mark_sent(rows, msg=msg, now_ms=now_ms, next_try_ms=[now_ms + 10_000] * len(rows))


def test_file_is_durable_as_designed(outbox: Outbox) -> None:
    pragma = {
        name: outbox.connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "wal_autocheckpoint", "user_version")
    }
    assert pragma == {
        "journal_mode": "wal",
        "synchronous": 2,
        "wal_autocheckpoint": 16,
        "user_version": len(MIGRATIONS),
    }


def test_numbers_run_from_one_and_are_never_given_again(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    outbox = Outbox(path, KERNEL_BOOT)
    assert [outbox.append(event(), at()).seq for _ in range(3)] == [1, 2, 3]
    send_all(outbox, at().mono_ms)
    outbox.mark_stored(outbox.boot, [(1, 3)], at=NOON)
    assert outbox.discard_acked(NOON + timedelta(days=8)) == 3
    outbox.close()
    again = Outbox(path, KERNEL_BOOT)
    assert again.append(event(), at()).seq == 4
    again.close()


def test_boots_differ_by_outbox_and_by_boot(tmp_path: Path) -> None:
    boots = set()
    for file, kernel in (("a", KERNEL_BOOT), ("b", KERNEL_BOOT), ("a", "another")):
        outbox = Outbox(tmp_path / file, kernel)
        boots.add(outbox.boot)
        assert outbox.append(event(), at()).seq == 1
        outbox.close()
    assert len(boots) == 3


def test_row_left_in_the_journal_keeps_the_boot_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    first = make_home(path)
    first.journal.append(dev="ble-c0ffee000001", model="m", characteristic="2A19", raw=b"\x50")
    first.outbox.close()
    second = make_home(path, "another boot")
    second.intake.take_all()
    (row,) = second.outbox.backlog(now_ms=second.clock.read().mono_ms)
    assert (row.boot, row.seq) == (first.outbox.boot, 1)
    assert first.outbox.boot != second.outbox.boot
    second.outbox.close()


def test_replay_of_several_records_is_stored_once(home: Home) -> None:
    local = home.clock.read().utc.replace(tzinfo=None, microsecond=0)
    for _ in range(2):
        home.measure(150, local - timedelta(minutes=5))
        home.measure(151, local)
    counts = home.outbox.counts()
    assert (counts.waiting, counts.duplicates) == (2, 2)
    uids = [str(fields["uid"]) for name, fields in home.events if name == "queued"]
    assert len(set(uids)) == 2


def test_without_a_clock_a_repeat_is_kept_and_flagged(home: Home) -> None:
    home.measure(150)
    home.measure(150)
    rows = home.outbox.fresh(now_ms=home.clock.read().mono_ms, limit=9)
    items = [wire.decode_item(row.item) for row in rows]
    assert [item.flags for item in items] == [(), ("possible_repeat",)]
    assert items[0].uid != items[1].uid


def test_a_stopped_device_clock_identifies_nothing(home: Home) -> None:
    stopped = datetime(2020, 1, 1)  # noqa: DTZ001 - a device's local time
    for systolic in (150, 151, 151):
        home.measure(systolic, stopped)
    rows = home.outbox.fresh(now_ms=home.clock.read().mono_ms, limit=9)
    assert [wire.decode_item(row.item).flags for row in rows] == [(), (), ("possible_repeat",)]


def test_ack_ends_only_what_was_sent(outbox: Outbox) -> None:
    outbox.append(event(), at())
    send_all(outbox, at().mono_ms)
    outbox.append(event(), at())
    stored = outbox.mark_stored(outbox.boot, [(1, 10**9)], at=NOON)
    assert [row.seq for row in stored] == [1]
    assert outbox.mark_stored(outbox.boot, [(1, 1)], at=NOON) == ()
    assert outbox.mark_stored("another", [(1, 9)], at=NOON) == ()
    assert (outbox.counts().stored, outbox.counts().waiting) == (1, 1)


def test_lamp_does_not_go_out_when_sent_again(outbox: Outbox) -> None:
    outbox.append(event(), at())
    send_all(outbox, at().mono_ms, "m1")
    outbox.mark_left_home("m1")
    send_all(outbox, at(11).mono_ms, "m2")
    assert outbox.counts().left_home == 1


def test_acked_rows_stay_seven_days_and_open_ones_for_ever(outbox: Outbox) -> None:
    outbox.append(event(), at())
    send_all(outbox, at().mono_ms)
    outbox.mark_stored(outbox.boot, [(1, 1)], at=NOON)
    outbox.append(event(), at())
    assert outbox.discard_acked(NOON + timedelta(days=7)) == 0
    assert outbox.discard_acked(NOON + timedelta(days=7, seconds=1)) == 1
    assert outbox.discard_acked(NOON + timedelta(days=9000)) == 0
    assert outbox.counts().waiting == 1


def test_item_too_large_becomes_a_tombstone(outbox: Outbox) -> None:
    huge = Draft(wire.Item(seq=0, uid="0" * 32, type="event", event="x", why="y" * 70_000))
    outbox.append(huge, at())
    (row,) = outbox.fresh(now_ms=at().mono_ms, limit=9)
    item = wire.decode_item(row.item)
    assert (item.type, item.seq, item.uid) == ("tombstone", 1, row.uid)
    assert wire.fault_of(item) is None
    assert outbox.counts().tombstones == 1
    (original,) = outbox.connection.execute("SELECT original FROM outbox").fetchone()
    assert len(original) > 70_000


def test_backlog_fits_the_payload(outbox: Outbox) -> None:
    for _ in range(10):
        outbox.append(Draft(wire.Item(seq=0, uid="0" * 32, type="event", why="y" * 20_000)), at())
    rows = outbox.backlog(now_ms=at(700).mono_ms)
    assert [row.seq for row in rows] == [1, 2, 3]


def test_quota_refuses_aloud_and_loses_nothing(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "small.sqlite3", KERNEL_BOOT, quota_bytes=512 * 1024)
    written: list[Written] = []

    def fill() -> None:
        while True:
            draft = Draft(wire.Item(seq=0, uid="0" * 32, type="event", why="z" * 1000))
            written.append(outbox.append(draft, at()))

    with pytest.raises(StorageFull, match="quota"):
        fill()
    assert outbox.is_nearly_full()
    assert outbox.counts().waiting == len(written) > 50
    assert outbox.refused == 1
    # Marks, acks and deletes still work at the quota, and what is acked makes room.
    send_all(outbox, at().mono_ms)
    outbox.mark_stored(outbox.boot, [(1, len(written) - 1)], at=NOON)
    assert outbox.append(event(), at()).seq == len(written) + 1
    assert outbox.counts().waiting + outbox.counts().sent == 2
    assert outbox.connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    outbox.close()


def test_low_grade_values_are_refused_first(tmp_path: Path) -> None:
    home = make_home(tmp_path / "outbox.sqlite3", quota_bytes=512 * 1024)
    while not home.outbox.is_nearly_full():
        home.outbox.append(
            Draft(wire.Item(seq=0, uid="0" * 32, type="event", why="z" * 1000)), at()
        )
    before = home.outbox.counts().waiting
    home.journal.append(dev=CUFF, model="m", characteristic="2A19", raw=b"\x50")
    home.measure(150)
    assert home.outbox.counts().waiting == before + 1
    assert home.outbox.counts().journal == 0
    home.outbox.close()


def test_damage_and_strangers_are_told_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    path.write_bytes(b"this is no database at all" * 400)
    with pytest.raises(StorageUnusable, match="not an outbox"):
        Outbox(path, KERNEL_BOOT)


def test_torn_file_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    outbox = Outbox(path, KERNEL_BOOT)
    for _ in range(200):
        outbox.append(event("x" * 500), at())
    outbox.close()
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 20] = b"\xa5" * (4096 * 17)
    path.write_bytes(content)
    with pytest.raises(StorageUnusable, match="damaged"):
        Outbox(path, KERNEL_BOOT)


def test_locked_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "outbox.sqlite3"
    Outbox(path, KERNEL_BOOT).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr("gateway.storage.BUSY_TIMEOUT_S", 0.05)
    with pytest.raises(StorageUnusable, match="locked"):
        Outbox(path, KERNEL_BOOT)
    other.close()


def test_newer_version_is_told(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    outbox = Outbox(path, KERNEL_BOOT)
    outbox.connection.execute("PRAGMA user_version=999")
    outbox.close()
    with pytest.raises(StorageUnusable, match="newer"):
        Outbox(path, KERNEL_BOOT)


def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnusable, match="folder"):
        Outbox(tmp_path / "file" / "outbox.sqlite3", KERNEL_BOOT)
    with pytest.raises(StorageUnusable, match="no outbox"):
        open_for_reading(tmp_path / "none.sqlite3")


@settings(deadline=None)  # each step waits for the disk
@given(st.lists(st.sampled_from(["append", "send", "ack", "discard", "reopen"]), max_size=30))
def test_seq_is_never_reused_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    path = tmp_path_factory.mktemp("outbox") / "outbox.sqlite3"
    outbox, given_seqs = Outbox(path, KERNEL_BOOT), []
    for step in steps:
        match step:
            case "append":
                given_seqs.append(outbox.append(event(), at()).seq)
            case "send":
                send_all(outbox, at().mono_ms)
            case "ack":
                outbox.mark_stored(outbox.boot, [(1, 100)], at=NOON)
            case "discard":
                outbox.discard_acked(NOON + timedelta(days=30))
            case _:
                outbox.close()
                outbox = Outbox(path, KERNEL_BOOT)
    outbox.close()
    assert given_seqs == list(range(1, len(given_seqs) + 1))
