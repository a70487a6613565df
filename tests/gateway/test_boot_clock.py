"""A Pi that starts without the time, measures, and learns the time later."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from devices import wire
from devices.gatt import date_time
from gateway.answers import Answers
from gateway.boot_clock import BootClock
from gateway.clock import is_synchronised
from gateway.rows import Draft
from tests.gateway.fix_home import CUFF, STOCKHOLM, Home, cuff_value, make_home

YEAR = timedelta(days=365)
MS = timedelta(milliseconds=1)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = make_home(tmp_path / "outbox.sqlite3")
    home.clock.quality, home.clock.wrong = "none", -YEAR
    yield home
    home.outbox.close()


@pytest.fixture
def boot_clock(home: Home) -> BootClock:
    return watch(home)


def watch(home: Home) -> BootClock:
    return BootClock(outbox=home.outbox, clock=home.clock.read, zone=STOCKHOLM, bell=home.bell)


def learn_the_time(home: Home) -> None:
    home.clock.quality, home.clock.wrong = "ntp", timedelta(0)


def rows(home: Home) -> list[wire.Item]:
    found = home.outbox.connection.execute("SELECT item FROM outbox ORDER BY rowid").fetchall()
    return [wire.decode_item(bytes(row["item"])) for row in found]


def send(home: Home) -> None:
    now_ms = home.clock.read().mono_ms
    fresh = home.outbox.fresh(now_ms=now_ms, limit=99)
    home.outbox.mark_sent(fresh, msg="m", now_ms=now_ms, next_try_ms=[now_ms] * len(fresh))


def is_close(moment: datetime | None, expected: datetime) -> bool:
    return moment is not None and abs(moment - expected) < timedelta(seconds=2)


def test_rows_that_have_not_left_are_stamped_anew(home: Home, boot_clock: BootClock) -> None:
    then = home.clock.read().utc - home.clock.wrong
    home.measure(150)
    (before,) = rows(home)
    assert (before.tq, before.gw_q) == ("estimated", "none")
    home.clock.push(3600)
    assert boot_clock.look() == 0
    learn_the_time(home)
    assert boot_clock.look() == 1
    (item,) = rows(home)
    assert (item.tq, item.gw_q) == ("corrected", "estimated")
    assert is_close(item.t, then)
    assert is_close(item.gw_t, then)
    assert (item.uid, item.seq, item.mono_ms, item.samples) == (
        before.uid,
        before.seq,
        before.mono_ms,
        before.samples,
    )
    stamped, written = home.outbox.connection.execute(
        "SELECT stamped_t, written_t FROM outbox"
    ).fetchone()
    assert datetime.fromisoformat(stamped) == before.gw_t
    assert datetime.fromisoformat(written) == item.gw_t
    assert home.bell.is_set()
    # All had stayed at home: the server need not be told.
    assert boot_clock.look() == 0
    assert len(rows(home)) == 1


def test_rows_that_have_left_keep_their_bytes_and_one_clock_item_goes(
    home: Home, boot_clock: BootClock
) -> None:
    then = home.clock.read().utc - home.clock.wrong
    home.measure(150)
    send(home)
    home.measure(151)
    sent = rows(home)[0]
    home.clock.push(60)
    learn_the_time(home)
    assert boot_clock.look() == 2
    left, stayed, clock = rows(home)
    assert left == sent
    assert stayed.tq == "corrected"
    assert clock.type == "clock"
    assert wire.fault_of(clock) is None
    assert (clock.boot, clock.q) == (home.outbox.boot, "ntp")
    # The server's sum: utc - (mono_ms of the item - mono_ms of the row).
    assert clock.utc is not None
    assert clock.mono_ms is not None
    assert left.mono_ms is not None
    assert is_close(clock.utc - (clock.mono_ms - left.mono_ms) * MS, then)


def test_one_clock_item_for_a_boot_however_often_the_time_is_lost(home: Home) -> None:
    for _ in range(2):
        home.measure(150)
        send(home)
        learn_the_time(home)
        watch(home).look()
        home.clock.quality = "estimated"
    boot_clock = watch(home)
    for _ in range(3):
        home.clock.quality = "estimated"
        boot_clock.look()
        home.clock.quality = "ntp"
        boot_clock.look()
    assert [item.type for item in rows(home)] == ["value", "clock", "value"]


def test_a_clock_that_was_right_from_the_start_changes_nothing(tmp_path: Path) -> None:
    home = make_home(tmp_path / "right.sqlite3")
    boot_clock = watch(home)
    boot_clock.look()
    home.measure(150)
    send(home)
    (before,) = rows(home)
    home.clock.quality = "estimated"
    assert boot_clock.look() == 0
    learn_the_time(home)
    assert boot_clock.look() == 0
    assert rows(home) == [before]
    home.outbox.close()


def test_the_devices_own_time_is_weighed_again(home: Home, boot_clock: BootClock) -> None:
    """Against a clock that was a year behind it looked wrong; it was right all the time."""
    measured = (home.clock.read().utc - home.clock.wrong - timedelta(hours=8)).replace(
        microsecond=0
    )
    home.measure(150, measured.astimezone(STOCKHOLM).replace(tzinfo=None))
    assert rows(home)[0].tq == "estimated"
    learn_the_time(home)
    boot_clock.look()
    (item,) = rows(home)
    assert (item.t, item.tq) == (measured, "device")


def test_a_device_time_believed_by_mistake_is_corrected_too(
    home: Home, boot_clock: BootClock
) -> None:
    """Both clocks stood a year behind: they agreed, and were wrong."""
    then = home.clock.read().utc - home.clock.wrong
    home.measure(150, home.clock.read().utc.astimezone(STOCKHOLM).replace(tzinfo=None))
    assert rows(home)[0].tq == "device"
    learn_the_time(home)
    boot_clock.look()
    (item,) = rows(home)
    assert item.tq == "corrected"
    assert is_close(item.t, then)


def test_a_pair_of_clocks_read_in_the_link_keeps_its_distance(
    home: Home, boot_clock: BootClock
) -> None:
    then = home.clock.read().utc - home.clock.wrong - timedelta(minutes=2)
    local = home.clock.read().utc.astimezone(STOCKHOLM).replace(tzinfo=None, microsecond=0)
    wrong = local - timedelta(days=100)
    home.journal.append(dev=CUFF, model="m", characteristic="2A08", raw=date_time.encode(wrong))
    home.measure(150, wrong - timedelta(minutes=2))
    assert rows(home)[0].tq == "estimated"
    learn_the_time(home)
    boot_clock.look()
    (item,) = rows(home)
    assert item.tq == "corrected"
    assert is_close(item.t, then)
    # The distance itself was taken from a wrong clock: values that come now do not use it.
    home.measure(151, wrong)
    assert rows(home)[1].tq == "gateway"


def test_journal_taken_after_the_time_was_learnt_is_stamped_rightly(
    home: Home, boot_clock: BootClock
) -> None:
    then, before = home.clock.read().utc - home.clock.wrong, home.clock.read().utc
    home.journal.append(dev=CUFF, model="m", characteristic="2A35", raw=cuff_value(150))
    home.clock.push(30)
    learn_the_time(home)
    boot_clock.look()
    home.intake.take_all()
    (item,) = rows(home)
    assert (item.gw_q, item.tq) == ("estimated", "estimated")
    assert is_close(item.t, then)
    (stamped,) = home.outbox.connection.execute("SELECT stamped_t FROM outbox").fetchone()
    assert abs(datetime.fromisoformat(stamped) - before) < timedelta(seconds=2)


def test_an_earlier_boot_that_never_learnt_the_time_stays_estimated(
    home: Home, tmp_path: Path
) -> None:
    home.measure(150)
    (before,) = rows(home)
    home.journal.append(dev=CUFF, model="m", characteristic="2A35", raw=cuff_value(151))
    home.outbox.close()
    later = make_home(tmp_path / "outbox.sqlite3", "22222222-2222-4222-8222-222222222222")
    assert watch(later).look() == 0
    later.intake.take_all()
    assert rows(later)[0] == before
    assert [(item.tq, item.gw_q) for item in rows(later)] == [("estimated", "none")] * 2
    later.outbox.close()


def test_an_ack_at_an_unknown_time_starts_its_week_when_the_time_is_known(
    home: Home, boot_clock: BootClock
) -> None:
    answers = Answers(
        outbox=home.outbox,
        gateway="gw-1",
        key=None,
        clock=home.clock.read,
        jitter=lambda: 0.0,
    )
    home.measure(150)
    home.measure(151)
    send(home)
    nack = wire.Nack(2, "unknown_kind", "never")
    ack = wire.Ack(v=1, msg="m", boot=home.outbox.boot, stored=((1, 1),), nack=(nack,))
    answers.take("ack", wire.encode(ack))
    now = home.clock.read().utc - home.clock.wrong
    assert home.outbox.discard_acked(now) == 0
    learn_the_time(home)
    boot_clock.look()
    assert home.outbox.discard_acked(now + timedelta(days=7) - timedelta(seconds=9)) == 0
    assert home.outbox.discard_acked(now + timedelta(days=7, minutes=1)) == 2


def test_items_without_a_stamp_and_unreadable_ones_stay_as_they_are(
    home: Home, boot_clock: BootClock
) -> None:
    reading = home.clock.read()
    strange = wire.Item(seq=0, uid="0" * 32, type="undecodable", gw_q="none")
    stamped = wire.Item(
        seq=0,
        uid="0" * 32,
        type="undecodable",
        gw_t=reading.utc,
        gw_q="none",
        mono_ms=1,
    )
    for item in (strange, wire.Item(seq=0, uid="0" * 32, gw_q="none", raw="0"), stamped):
        home.outbox.append(Draft(item), reading)
    home.outbox.append(
        Draft(wire.Item(seq=0, uid="0" * 32, type="event", why="y" * 70_000, gw_q="none")),
        reading,
    )
    query = "SELECT item FROM outbox ORDER BY rowid"
    before = [row["item"] for row in home.outbox.connection.execute(query).fetchall()]
    learn_the_time(home)
    boot_clock.look()
    after = [row["item"] for row in home.outbox.connection.execute(query).fetchall()]
    assert [old == new for old, new in zip(before, after, strict=True)] == [
        True,
        True,
        False,
        True,
    ]
    moved = wire.decode_item(after[2])
    assert (moved.t, moved.gw_q) == (None, "estimated")


def test_a_full_outbox_is_corrected_when_there_is_room(tmp_path: Path) -> None:
    home = make_home(tmp_path / "small.sqlite3", quota_bytes=512 * 1024)
    home.clock.quality, home.clock.wrong = "none", -YEAR
    home.measure(150)
    send(home)
    draft = Draft(wire.Item(seq=0, uid="0" * 32, type="event", why="z" * 400))
    while not home.outbox.is_nearly_full():
        home.outbox.append(draft, home.clock.read())
    connection, boot_clock = home.outbox.connection, watch(home)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages}")
    learn_the_time(home)
    assert boot_clock.look() == 0
    assert "clock" not in [item.type for item in rows(home)]
    connection.execute(f"PRAGMA max_page_count={pages * 4}")
    boot_clock.look()
    assert [item.type for item in rows(home)].count("clock") == 1
    home.outbox.close()


def test_the_c_library_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    is_synchronised()
    monkeypatch.setattr(ctypes, "CDLL", None)
    assert is_synchronised() in (True, False)
