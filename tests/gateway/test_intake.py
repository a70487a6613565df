"""From journal rows to items: times, failed measurements, what cannot be decoded, batteries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from devices import wire
from devices.errors import DecodeError
from devices.gatt import blood_pressure, date_time
from devices.measurement import Absent
from gateway.clock import ClockReading
from gateway.health import Health
from gateway.intake import Intake
from gateway.measured import ClockPair, best_time
from tests.gateway.fix_home import CUFF, STOCKHOLM, Home, cuff_value, make_home, until

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = make_home(tmp_path / "outbox.sqlite3")
    yield home
    home.outbox.close()


def items(home: Home) -> list[wire.Item]:
    rows = home.outbox.fresh(now_ms=home.clock.read().mono_ms, limit=99)
    return [wire.decode_item(row.item) for row in rows]


def local(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001 - a device's local time


@pytest.mark.parametrize(
    ("device_time", "quality", "expected", "how"),
    [
        (local(2026, 11, 22, 12, 59), "ntp", NOON - timedelta(minutes=1), "device"),
        (local(2026, 11, 22, 13, 10), "ntp", NOON + timedelta(minutes=10), "device"),
        (local(2026, 11, 22, 13, 10, 1), "ntp", NOON, "gateway"),
        (local(2026, 10, 18, 14), "ntp", NOON - timedelta(days=35), "device"),
        (local(2026, 10, 18, 13, 59, 59), "ntp", NOON, "gateway"),
        (local(2019, 12, 31, 23), "ntp", NOON, "gateway"),
        (local(2027, 1, 20, 13), "none", NOON + timedelta(days=59), "device"),
        (local(2027, 1, 22, 13), "none", NOON, "estimated"),
        (None, "ntp", NOON, "gateway"),
        (None, "estimated", NOON, "estimated"),
    ],
)
def test_best_time(
    device_time: datetime | None,
    quality: wire.ClockQuality,
    expected: datetime,
    how: str,
) -> None:
    reading = ClockReading(NOON, quality, 1)
    assert best_time(device_time, reading, STOCKHOLM) == (expected, how)


def test_repeated_hour_in_autumn_takes_the_meaning_near_the_gateways_clock() -> None:
    device_time = local(2026, 10, 25, 2, 30)
    for utc_hour in (0, 1):
        now = datetime(2026, 10, 25, utc_hour, 31, tzinfo=UTC)
        moment, _ = best_time(device_time, ClockReading(now, "ntp", 1), STOCKHOLM)
        assert moment == now - timedelta(minutes=1)


def test_no_time_is_filled_from_another(home: Home) -> None:
    home.measure(150)
    (item,) = items(home)
    assert item.dev_t is None
    assert (item.t, item.tq) == (item.gw_t, "gateway")
    assert item.gw_q == "ntp"
    assert item.mono_ms is not None


def test_failed_measurement_is_an_event_with_its_bytes(home: Home) -> None:
    raw = blood_pressure.encode(
        blood_pressure.BloodPressure(systolic=Absent.NAN, diastolic=Absent.NAN, mean=Absent.NAN)
    )
    home.journal.append(dev=CUFF, model="m", characteristic="2A35", raw=raw)
    assert home.intake.take_all()
    (item,) = items(home)
    assert (item.type, item.event, item.raw) == ("event", "measurement_failed", raw.hex())
    assert wire.fault_of(item) is None


@pytest.mark.parametrize(
    ("characteristic", "raw"), [("2A35", b""), ("2A35", b"\x01\x02"), ("FFFF", b"\x00"), ("x", b"")]
)
def test_what_cannot_be_decoded_keeps_its_bytes(
    home: Home, characteristic: str, raw: bytes
) -> None:
    home.journal.append(dev=CUFF, model="m", characteristic=characteristic, raw=raw)
    home.measure(150)
    undecodable, value = items(home)
    assert (undecodable.type, undecodable.char) == ("undecodable", characteristic)
    assert (undecodable.raw or "") == raw.hex()
    assert value.type == "value"


def test_battery_is_an_item_and_stands_in_the_status(home: Home) -> None:
    for level in (80, 80, 79):
        home.journal.append(dev=CUFF, model="m", characteristic="2A19", raw=bytes((level,)))
    home.intake.take_all()
    assert [(item.kind, item.flags) for item in items(home)] == [("battery", ())] * 3
    health = Health(
        outbox=home.outbox, clock=home.clock.read, radio=None, data=home.outbox.path.parent
    )
    status = health.status("online", None)
    assert [(device.dev, device.battery) for device in status.devices] == [(CUFF, 79)]
    assert (status.outbox, status.radio.state) == (3, "absent")


def test_several_records_of_one_value_are_no_repeats_of_each_other(home: Home) -> None:
    # Two records of a glucose sensor in one value: neither has a time or a number of its own.
    raw = bytes.fromhex("06000C10050006000C100600")
    for expected in ((), ("possible_repeat",)):
        home.journal.append(dev=CUFF, model="m", characteristic="2AA7", raw=raw)
        home.intake.take_all()
        assert [item.flags for item in items(home)[-2:]] == [expected] * 2


def test_a_devices_clock_makes_no_item(home: Home) -> None:
    raw = bytes((0xEA, 0x07, 11, 22, 12, 0, 0))
    home.journal.append(dev=CUFF, model="m", characteristic="2A08", raw=raw)
    home.intake.take_all()
    assert items(home) == []
    assert home.outbox.counts().journal == 0


def test_wrong_device_clock_is_corrected_by_the_pair_read_in_the_same_link(home: Home) -> None:
    now = home.clock.read().utc
    wrong = now.astimezone(STOCKHOLM).replace(tzinfo=None, microsecond=0) - timedelta(hours=30)
    home.journal.append(dev=CUFF, model="m", characteristic="2A08", raw=date_time.encode(wrong))
    home.measure(150, wrong - timedelta(minutes=2))
    (item,) = items(home)
    assert item.tq == "corrected"
    assert item.t is not None
    assert abs(item.t - (now - timedelta(minutes=2))) < timedelta(seconds=2)
    assert item.dev_t == wrong - timedelta(minutes=2)
    # Two minutes later the pair is no longer this link's.
    home.clock.push(121)
    home.measure(151, wrong)
    assert items(home)[1].tq == "device"


@pytest.mark.parametrize("day", [0, 8, 255])
def test_a_day_of_the_week_that_cannot_be_costs_no_correction(home: Home, day: int) -> None:
    now = home.clock.read().utc
    wrong = now.astimezone(STOCKHOLM).replace(tzinfo=None, microsecond=0) - timedelta(hours=30)
    raw = date_time.encode(wrong) + bytes((day, 0, 0))
    home.journal.append(dev=CUFF, model="m", characteristic="2A2B", raw=raw)
    home.measure(150, wrong - timedelta(minutes=2))
    (item,) = items(home)
    assert (item.type, item.tq) == ("value", "corrected")
    assert item.t is not None
    assert abs(item.t - (now - timedelta(minutes=2))) < timedelta(seconds=2)


def test_a_pair_that_leads_nowhere_near_now_is_not_used() -> None:
    """A device that gave its time once and its value with another clock."""
    reading = ClockReading(NOON, "ntp", 1)
    pair = ClockPair(0, 1, may_be_set=True)
    assert best_time(local(2020, 1, 1), reading, STOCKHOLM, pair) == (NOON, "gateway")


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(minutes=-5), timedelta(days=3)])
def test_what_is_measured_after_the_clock_was_set_has_its_time(
    home: Home, ahead: timedelta
) -> None:
    """Two readings a minute apart: the second is stamped by the clock that the first link set."""
    now = home.clock.read().utc.astimezone(STOCKHOLM).replace(tzinfo=None, microsecond=0)
    raw = date_time.encode(now + ahead)
    home.journal.append(dev=CUFF, model="m", characteristic="2A08", raw=raw)
    home.measure(150, now + ahead - timedelta(seconds=20))
    home.push(60)
    home.measure(151, now + timedelta(seconds=50))
    first, second = items(home)
    assert first.t is not None
    assert first.gw_t is not None
    assert abs(first.gw_t - first.t - timedelta(seconds=20)) < timedelta(seconds=3)
    assert (first.tq, second.tq) == ("corrected", "device")
    assert second.t is not None
    assert second.gw_t is not None
    assert abs(second.gw_t - second.t - timedelta(seconds=10)) < timedelta(seconds=3)


@pytest.mark.parametrize("year", [1, 9999])
def test_times_that_no_calendar_has_cost_no_value(home: Home, year: int) -> None:
    raw = date_time.encode(local(9999 if year == 1 else 1, 12, 31, 23, 59))
    home.journal.append(dev=CUFF, model="m", characteristic="2A08", raw=raw)
    home.measure(150, local(year, 1, 1))
    (item,) = items(home)
    assert (item.t, item.tq) == (item.gw_t, "gateway")


class _NoZone(tzinfo):
    """A zone whose rules raise ``fault``: something between bytes and item that we did not expect.

    Only the time of a device that has a clock needs a zone.
    """

    def __init__(self, fault: Exception) -> None:
        self._fault = fault

    def utcoffset(self, _moment: datetime | None, /) -> timedelta:
        raise self._fault

    def dst(self, _moment: datetime | None, /) -> timedelta:
        raise self._fault

    def tzname(self, _moment: datetime | None, /) -> str:
        raise self._fault


@pytest.mark.parametrize(
    "fault",
    [
        ValueError("year -1 is out of range"),
        ZeroDivisionError("division by zero"),
        KeyError("no such code"),
        AssertionError("a value has a code"),
        TypeError("not a number"),
        AttributeError("no such field"),
        DecodeError("truncated", "in a place where nobody looks for it"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_row_at_which_our_code_fails_travels_as_its_bytes_and_stops_no_other(
    home: Home, fault: Exception
) -> None:
    events: list[str] = []
    intake = Intake(
        outbox=home.outbox,
        zone=_NoZone(fault),
        bell=home.journal.bell,
        uplink_bell=home.bell,
        on_event=lambda _name, fields: events.append(str(fields["type"])),
    )
    poison = cuff_value(150, local(2026, 11, 22, 12))
    for raw in (poison, cuff_value(151)):
        home.journal.append(dev=CUFF, model="m", characteristic="2A35", raw=raw)
    with capture_logs() as logs:
        assert intake.take_all()
    bytes_alone, value = items(home)
    assert (bytes_alone.type, bytes_alone.char, bytes_alone.raw) == (
        "undecodable",
        "2A35",
        poison.hex(),
    )
    assert bytes_alone.why == f"unexpected: {type(fault).__name__}: {fault}"
    assert (value.type, value.samples[0].value) == ("value", 151.0)
    assert home.outbox.counts().journal == 0
    assert events == ["undecodable", "value"]
    assert [one["exc_info"] for one in logs if one["event"] == "row_failed"] == [True]


async def test_a_full_outbox_is_tried_again_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.intake.RETRY_FULL_S", 0.02)
    home = make_home(tmp_path / "small.sqlite3")
    home.journal.append(dev=CUFF, model="m", characteristic="2A35", raw=cuff_value(150))
    connection = home.outbox.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages}")
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(home.intake.run(stop))
        await asyncio.sleep(0.05)
        assert home.outbox.counts().journal == 1
        connection.execute(f"PRAGMA max_page_count={pages * 9}")
        await until(lambda: home.outbox.counts().waiting == 1)
        stop.set()
        home.journal.bell.set()
    home.outbox.close()
