"""Values of a glucose sensor: minutes become a time through the start of their session."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devices.gatt import cgm, cgm_session_start, cgm_status
from devices.gatt.cgm import CgmRecord
from devices.gatt.cgm_session_start import SessionStart
from gateway.clock import ClockReading
from gateway.measured import session_time
from tests.gateway.fix_home import STOCKHOLM, Home, make_home, written_items

SENSOR = "ble-c0ffee00000c"
DAY_MIN = 1440


def ago(home: Home, **back: float) -> datetime:
    """Local time so long ago, to the second."""
    now = home.clock.read().utc - timedelta(**back)
    return now.astimezone(STOCKHOLM).replace(tzinfo=None, microsecond=0)


def tell_start(home: Home, start: datetime | None, zone: int | None = None) -> None:
    raw = cgm_session_start.encode(SessionStart(start, zone, 0 if zone is not None else None))
    home.journal.append(dev=SENSOR, model="cgm", characteristic="2AAA", raw=raw)


def tell(home: Home, *minutes: int, mg_dl: float = 108) -> None:
    raw = cgm.encode([CgmRecord(mg_dl, minute) for minute in minutes])
    home.journal.append(dev=SENSOR, model="cgm", characteristic="2AA7", raw=raw)
    home.intake.take_all()


def test_minutes_are_counted_from_the_start_of_the_session(home: Home) -> None:
    start = ago(home, days=3)
    tell_start(home, start)
    tell(home, 3 * DAY_MIN - 30, 3 * DAY_MIN - 25)
    assert [item.dev_t for item in written_items(home)] == [
        start + timedelta(minutes=3 * DAY_MIN - 30),
        start + timedelta(minutes=3 * DAY_MIN - 25),
    ]
    first, second = written_items(home)
    assert first.t is not None
    assert second.t is not None
    assert (first.tq, second.t - first.t) == ("device", timedelta(minutes=5))
    assert abs(home.clock.read().utc - timedelta(minutes=30) - first.t) < timedelta(seconds=30)


def test_the_start_outlives_a_restart(tmp_path: Path, home: Home) -> None:
    start = ago(home, days=1)
    tell_start(home, start)
    home.intake.take_all()
    home.outbox.close()
    again = make_home(tmp_path / "outbox.sqlite3")
    tell(again, 60)
    (item,) = written_items(again)
    assert item.dev_t == start + timedelta(hours=1)
    again.outbox.close()


def test_a_start_of_another_link_is_believed_only_for_a_value_of_just_now(home: Home) -> None:
    tell_start(home, ago(home, days=1))
    home.intake.take_all()
    home.clock.push(3600)
    tell(home, DAY_MIN + 60)
    tell(home, 60)
    live, stored = written_items(home)
    assert live.tq == "device"
    assert live.dev_t is not None
    # It may be minute 60 of another session: that it came in now is all that is known.
    assert (stored.dev_t, stored.t, stored.tq) == (None, stored.gw_t, "gateway")


@pytest.mark.parametrize("start", ["none", "unknown", "year 9999"])
def test_without_a_start_a_value_has_no_time_of_the_sensors(home: Home, start: str) -> None:
    if start == "unknown":
        tell_start(home, None)
    if start == "year 9999":
        tell_start(home, datetime(9999, 12, 31, 23, 0))  # noqa: DTZ001 - a sensor's local time
    tell(home, 90)
    (item,) = written_items(home)
    assert (item.dev_t, item.tq, item.ctx) == (None, "gateway", {"time_offset_min": 90})


def test_a_start_read_just_after_an_early_value_counts(home: Home) -> None:
    raw = cgm.encode([CgmRecord(108, 60)])
    home.journal.append(dev=SENSOR, model="cgm", characteristic="2AA7", raw=raw)
    home.clock.push(2)
    start = ago(home, days=1)
    tell_start(home, start)
    home.intake.take_all()
    assert written_items(home)[0].dev_t == start + timedelta(minutes=60)


def test_the_sensors_own_zone_is_heeded(home: Home) -> None:
    """Seven hours before UTC, as somebody may have set it on a journey."""
    begun = (home.clock.read().utc - timedelta(hours=2)).replace(microsecond=0)
    tell_start(home, (begun - timedelta(hours=7)).replace(tzinfo=None), zone=-7 * 60)
    tell(home, 60)
    (item,) = written_items(home)
    assert item.t == begun + timedelta(hours=1)


def test_a_night_in_which_the_clocks_change_moves_no_minute() -> None:
    start = cgm_session_start.encode(
        SessionStart(datetime(2026, 10, 24, 12, 0), None, None)  # noqa: DTZ001 - local
    )
    now = datetime(2026, 10, 26, 10, 5, tzinfo=UTC)
    time = session_time(start, 2 * DAY_MIN, ClockReading(now, "ntp", 1), STOCKHOLM)
    assert time is not None
    # 48 hours after noon in summer time it is eleven in winter time.
    assert time.local == datetime(2026, 10, 26, 11, 0)  # noqa: DTZ001 - local
    assert time.is_just_now


@pytest.mark.parametrize("wrong_min", [-43, -1, 0, 1, 43, 60 * 24 * 400])
def test_a_start_that_is_wrong_is_corrected_by_the_minute_that_it_says_is_now(
    home: Home, wrong_min: int
) -> None:
    start = ago(home, days=1) + timedelta(minutes=wrong_min)
    tell_start(home, start)
    raw = cgm_status.encode(DAY_MIN, 0)
    home.journal.append(dev=SENSOR, model="cgm", characteristic="2AA9", raw=raw)
    tell(home, DAY_MIN - 30)
    (item,) = written_items(home)
    assert item.t is not None
    assert abs(home.clock.read().utc - timedelta(minutes=30) - item.t) < timedelta(minutes=2)
    assert item.tq == ("device" if abs(wrong_min) <= 1 else "corrected")
    assert item.dev_t == start + timedelta(minutes=DAY_MIN - 30)


def test_no_minutes_are_no_time() -> None:
    start = cgm_session_start.encode(
        SessionStart(datetime(2026, 10, 24, 12, 0), None, None)  # noqa: DTZ001 - local
    )
    now = ClockReading(datetime(2026, 10, 26, 10, tzinfo=UTC), "ntp", 1)
    assert session_time(start, None, now, STOCKHOLM) is None


def test_a_minute_of_now_without_a_start_corrects_nothing(home: Home) -> None:
    raw = cgm_status.encode(DAY_MIN, 0)
    home.journal.append(dev=SENSOR, model="cgm", characteristic="2AA9", raw=raw)
    tell(home, DAY_MIN)
    assert written_items(home)[0].tq == "gateway"


def test_a_replay_is_the_same_record_and_the_same_bytes_of_another_session_are_not(
    home: Home,
) -> None:
    tell_start(home, ago(home, days=2))
    tell(home, 60, 65)
    tell(home, 60, 65)
    assert len(written_items(home)) == 2
    assert home.outbox.counts().duplicates == 2
    # A new sensor says the same of its own minutes 60 and 65.
    tell_start(home, ago(home, hours=4))
    tell(home, 60, 65)
    assert len(written_items(home)) == 4
    assert len({item.uid for item in written_items(home)}) == 4
    assert not any("possible_repeat" in item.flags for item in written_items(home))


def test_however_records_are_packed_each_is_one(home: Home) -> None:
    """Live first, then from the memory with others, then all in one value."""
    tell_start(home, ago(home, hours=4))
    tell(home, 65)
    tell(home, 60, 65)
    tell(home, 60, 65, 70)
    minutes = [item.ctx["time_offset_min"] for item in written_items(home)]
    assert minutes == [65, 60, 70]
    for item in written_items(home):
        assert item.raw is not None
        (alone,) = cgm.decode(bytes.fromhex(item.raw)).measurements
        assert alone.context == item.ctx


def test_a_stopped_session_and_a_failed_sensor_are_seen_at_the_value(home: Home) -> None:
    tell_start(home, ago(home, hours=2))
    raw = cgm.encode([CgmRecord(108, 60, status=1)])
    home.journal.append(dev=SENSOR, model="cgm", characteristic="2AA7", raw=raw)
    home.intake.take_all()
    (item,) = written_items(home)
    assert "session_stopped" in item.flags
