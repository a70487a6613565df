"""Values that come every second: what becomes an item, what is counted instead."""

from __future__ import annotations

from pathlib import Path

from devices.gatt import heart_rate, plx_continuous
from devices.gatt.heart_rate import HeartRate
from devices.gatt.plx_continuous import Continuous
from devices.measurement import Absent
from gateway.live import Why, judge, read_live
from tests.gateway.fix_home import Home, make_home, written_items

OXIMETER, CHEST = "ble-c0ffee00005f", "ble-c0ffee000037"
EARLY_ESTIMATE = 1 << 6


def oximetry(spo2: float | Absent, pulse: float | Absent = 70, status: int | None = None) -> bytes:
    return plx_continuous.encode(Continuous((spo2, pulse), status=status))


def tell(home: Home, raw: bytes, *, characteristic: str = "2A5F", seconds: float = 1) -> None:
    dev = OXIMETER if characteristic == "2A5F" else CHEST
    home.journal.append(dev=dev, model="live", characteristic=characteristic, raw=raw)
    home.intake.take_all()
    home.clock.push(seconds)


def spo2(home: Home) -> list[float | None]:
    return [item.samples[0].value for item in written_items(home)]


def test_an_hour_at_rest_is_a_value_each_fifteen_seconds_and_none_is_lost_uncounted(
    home: Home,
) -> None:
    for _ in range(300):
        tell(home, oximetry(96))
    kept = written_items(home)
    assert len(kept) == 300 // 15
    assert "values_left_out" not in kept[0].ctx
    assert {item.ctx["values_left_out"] for item in kept[1:]} == {14}
    assert home.outbox.counts().journal == 0


def test_a_fall_is_seen_at_once_and_down_to_its_bottom(home: Home) -> None:
    for value in (96, 96, 97, 95, 93, 88, 87.9, 88, 93, 96, 98):
        tell(home, oximetry(value))
    assert spo2(home) == [96, 95, 93, 88, 87.9, 98]
    assert written_items(home)[1].ctx["values_left_out"] == 2


def test_a_pulse_that_leaps_is_seen_at_once(home: Home) -> None:
    for pulse in (70, 72, 74, 75, 79, 66, 65):
        tell(home, oximetry(96, pulse))
    assert [item.samples[1].value for item in written_items(home)] == [70, 75, 65]


def test_a_value_that_is_only_estimated_keeps_its_flag_and_is_told_at_once(home: Home) -> None:
    tell(home, oximetry(96))
    tell(home, oximetry(96, status=EARLY_ESTIMATE))
    tell(home, oximetry(96, status=EARLY_ESTIMATE))
    tell(home, oximetry(96))
    assert [item.flags for item in written_items(home)] == [(), ("early_estimate",)]


def test_a_sensor_without_a_finger_says_so_each_ten_minutes(home: Home) -> None:
    tell(home, oximetry(96))
    for _ in range(700):
        tell(home, oximetry(Absent.NAN, Absent.NAN))
    tell(home, oximetry(95))
    kept = written_items(home)
    assert [item.type for item in kept] == ["value", "event", "event", "value"]
    assert kept[1].event == "measurement_failed"


def test_intervals_that_are_left_out_are_counted(home: Home) -> None:
    for _ in range(31):
        raw = heart_rate.encode(HeartRate(60, rr_1024ths_s=(1024, 1000)))
        tell(home, raw, characteristic="2A37")
    first, second, third = written_items(home)
    assert first.ctx["rr_count"] == 2
    for item in (second, third):
        assert (item.ctx["values_left_out"], item.ctx["rr_left_out"]) == (14, 28)


def test_what_was_left_out_before_a_restart_is_told_after_it(tmp_path: Path, home: Home) -> None:
    for _ in range(3):
        tell(home, oximetry(96))
    home.outbox.close()
    other_boot = "22222222-2222-4222-8222-222222222222"
    again = make_home(tmp_path / "outbox.sqlite3", kernel_boot=other_boot)
    tell(again, oximetry(96))
    assert written_items(again)[-1].ctx["values_left_out"] == 2
    again.outbox.close()


def test_two_devices_are_told_apart(home: Home) -> None:
    tell(home, oximetry(96))
    tell(home, heart_rate.encode(HeartRate(60)), characteristic="2A37")
    tell(home, oximetry(96))
    assert len(written_items(home)) == 2
    boot = home.outbox.boot
    assert read_live(home.outbox.connection, OXIMETER, "2A37", boot) is None


def test_a_value_that_cannot_be_read_is_quarantined_as_any_other(home: Home) -> None:
    tell(home, b"\xff")
    assert [item.type for item in written_items(home)] == ["undecodable"]


def test_the_reason_is_said() -> None:
    at_rest = plx_continuous.decode(oximetry(96))
    why, live = judge(None, at_rest, now_ms=1_000)
    assert why is Why.FIRST
    assert judge(live, at_rest, now_ms=15_999)[0] is None
    assert judge(live, at_rest, now_ms=16_000)[0] is Why.TIME
    assert judge(live, at_rest, now_ms=999)[0] is Why.FIRST, "a clock that began anew"
    assert judge(live, plx_continuous.decode(oximetry(94)), now_ms=2_000)[0] is Why.OUTSIDE
    poor = plx_continuous.decode(oximetry(96, status=1 << 13))
    assert judge(live, poor, now_ms=2_000)[0] is Why.FLAGS
    no_pulse_before = judge(None, plx_continuous.decode(oximetry(96, Absent.NAN)), now_ms=0)[1]
    assert judge(no_pulse_before, at_rest, now_ms=1)[0] is Why.OUTSIDE
