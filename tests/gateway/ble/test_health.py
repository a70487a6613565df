"""Deaf, quiet and absent are three things."""

from datetime import UTC, datetime

from gateway.ble.health import DEAF_S, DEVICES_MAX, STRETCHES_MIN, RadioHealth

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def lively(stretches: int) -> tuple[RadioHealth, float]:
    """A radio that heard something in each of so many stretches, and the time after them."""
    health = RadioHealth()
    health.started(0.0)
    now_s = 0.0
    for _ in range(stretches):
        health.heard(now_s + 1)
        now_s += DEAF_S
        assert not health.judge(now_s)
    return health, now_s


def test_before_the_first_scan_there_is_no_radio() -> None:
    health = RadioHealth()
    assert health.state() == "absent"
    assert health.last_adv_s(10.0) is None
    assert not health.judge(1000.0)
    health.paused(5.0)


def test_a_quiet_home_is_not_deaf_but_scans_anew() -> None:
    health = RadioHealth()
    health.started(0.0)
    assert [health.judge(n * DEAF_S) for n in range(1, 9)] == [True] * 8
    assert health.state() == "ok"
    assert health.resets == 0


def test_silence_where_something_was_usual_is_deafness() -> None:
    health, now_s = lively(STRETCHES_MIN)
    assert not health.judge(now_s + DEAF_S - 1)
    assert health.judge(now_s + DEAF_S)
    assert health.state() == "deaf"
    assert health.resets == 1
    assert health.last_adv_s(now_s + DEAF_S) == 2 * DEAF_S - 1
    assert health.judge(now_s + 2 * DEAF_S)
    assert health.resets == 2, "deafness does not become usual"
    health.heard(now_s + 2 * DEAF_S + 1)
    assert health.state() == "ok"


def test_too_little_is_known_after_a_short_time() -> None:
    health, now_s = lively(STRETCHES_MIN - 1)
    assert health.judge(now_s + DEAF_S)
    assert health.state() == "ok"


def test_time_spent_on_a_link_is_no_silence() -> None:
    health, now_s = lively(STRETCHES_MIN)
    health.paused(60.0)
    assert not health.judge(now_s + DEAF_S)
    assert health.judge(now_s + DEAF_S + 60)


def test_a_scan_started_again_does_not_begin_the_silence_anew() -> None:
    health, now_s = lively(STRETCHES_MIN)
    health.started(now_s + 100)
    assert health.judge(now_s + DEAF_S)


def test_an_absent_radio_is_not_deaf() -> None:
    health, now_s = lively(STRETCHES_MIN)
    health.judge(now_s + DEAF_S)
    health.absent()
    assert health.state() == "absent"
    health.started(now_s + 1000)
    assert health.state() == "ok"


def test_the_last_known_clock_error_is_kept_and_the_list_is_bounded() -> None:
    health = RadioHealth()
    health.ended("ble-1", "device_hung_up", NOON, 12.0)
    health.ended("ble-1", "device_hung_up", NOON, None)
    assert health.devices["ble-1"].clock_offset_s == 12.0
    health.ended("ble-2", "no_link", NOON, None)
    assert "ble-2" not in health.devices
    assert health.endings == {"device_hung_up": 2, "no_link": 1}
    for n in range(DEVICES_MAX):
        health.ended(f"ble-x{n}", "quiet", NOON, None)
    assert len(health.devices) == DEVICES_MAX
    assert "ble-1" not in health.devices
