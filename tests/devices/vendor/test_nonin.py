"""A spot-check for each finger, out of a frame a second."""

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import gatt
from devices.conversation.commands import Keep, Moment, Pause, WriteValue
from devices.gatt import nonin_oximetry
from devices.gatt.nonin_oximetry import CHARACTERISTIC, CONTROL_POINT, SEARCHING, Frame
from devices.vendor.exchange import Steps
from devices.vendor.makers import VENDORS, exchange
from devices.vendor.nonin import SpotCheck
from devices.vendor.taidoc import Reading

NOW = datetime(2026, 11, 22, 8, 15)  # noqa: DTZ001 - a device has no zone
GOOD = Frame(96, 71, 10, amplitude_percent=4.2)
EARLY = replace(GOOD, status=GOOD.status & ~nonin_oximetry.SMARTPOINT)
OUT = Frame(None, None, 0, status=SEARCHING)


def run(frames: list[Frame], oximeter: SpotCheck | None = None) -> list[Steps]:
    oximeter = oximeter or SpotCheck()
    assert oximeter.begin(Moment(0.0, NOW)) == (Pause(),), "it asks for nothing"
    heard = []
    for second, frame in enumerate(frames):
        raw = nonin_oximetry.encode(replace(frame, counter_s=second))
        heard.append(oximeter.heard(CHARACTERISTIC, raw, Moment(float(second), NOW)))
        assert oximeter.tick(Moment(second + 0.5, NOW)) == ()
    assert not oximeter.is_done
    return heard


def test_the_second_qualified_second_is_kept_and_the_oximeter_told() -> None:
    steps = run([OUT, EARLY, EARLY, GOOD, GOOD, GOOD])
    assert steps[:4] == [()] * 4
    assert steps[5] == ()
    keep, tell = steps[4]
    assert tell == WriteValue(CONTROL_POINT, bytes.fromhex("624E4D49"))
    assert isinstance(keep, Keep)
    decoded = gatt.decode(CHARACTERISTIC, keep.raw)
    assert isinstance(decoded, gatt.Reading)
    assert decoded.measurements[0].samples[0].value == 96.0


def test_another_finger_is_another_spot_check() -> None:
    steps = run([GOOD, GOOD, GOOD, OUT, OUT, EARLY, GOOD, GOOD])
    assert [bool(step) for step in steps] == [
        *(False, True, False, False, False, False, False, True)
    ]


def test_an_early_estimate_never_becomes_a_reading() -> None:
    assert not any(run([OUT, EARLY, EARLY, EARLY, OUT]))


def test_a_second_that_is_missing_or_spoilt_breaks_the_row() -> None:
    oximeter = SpotCheck()
    first = nonin_oximetry.encode(GOOD)
    assert oximeter.heard(CHARACTERISTIC, first, Moment(0.0, NOW)) == ()
    assert oximeter.heard(CHARACTERISTIC, b"\x0a", Moment(1.0, NOW)) == ()
    second = nonin_oximetry.encode(replace(GOOD, counter_s=11))
    assert oximeter.heard(CHARACTERISTIC, second, Moment(1.0, NOW)) == ()
    fourth = nonin_oximetry.encode(replace(GOOD, counter_s=13))
    assert oximeter.heard(CHARACTERISTIC, fourth, Moment(3.0, NOW)) == ()
    assert oximeter.heard("2A19", b"\x50", Moment(3.5, NOW)) == ()
    fifth = nonin_oximetry.encode(replace(GOOD, counter_s=14))
    assert oximeter.heard(CHARACTERISTIC, fifth, Moment(4.0, NOW))
    assert oximeter.written(CONTROL_POINT, False, Moment(4.1, NOW)) == ()


@given(st.lists(st.sampled_from([GOOD, EARLY, OUT]), max_size=40))
def test_there_is_never_more_than_one_for_a_finger(frames: list[Frame]) -> None:
    steps = run(frames)
    fingers = sum(
        frame is not OUT and (n == 0 or frames[n - 1] is OUT) for n, frame in enumerate(frames)
    )
    assert sum(bool(step) for step in steps) <= fingers


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_any_bytes_are_heard(frames: list[bytes]) -> None:
    oximeter = SpotCheck()
    for raw in frames:
        oximeter.heard(CHARACTERISTIC, raw, Moment(0.0, NOW))


def test_makers_by_name() -> None:
    assert {type(exchange(name)) for name in VENDORS} == {SpotCheck, Reading}
    assert exchange("taidoc", 7, b"seven") == Reading(7, b"seven")
    with pytest.raises(ValueError, match="abbott"):
        exchange("abbott")
