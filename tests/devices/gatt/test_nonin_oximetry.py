"""Nonin's frames, made by hand from the layout, and the spot-check that two of them make."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import gatt
from devices.errors import DecodeError
from devices.gatt import nonin_oximetry as nonin
from devices.gatt.nonin_oximetry import CHARACTERISTIC, Frame
from tests.devices.gatt.fix_values import fields, measurement, reason

# Status 0x55: in step, SmartPoint, finger in place, encrypted. 2.8 V, 3.21 %, second 258, 97 %, 72.
SECOND = "0A 55 1C 0141 0102 61 0048"
NEXT = "0A 55 1C 0142 0103 60 0049"
# Searching, nothing to say yet.
SEARCHING = "0A 59 1C 0000 0101 7F 01FF"


def test_a_frame_is_a_value_in_passing() -> None:
    assert fields(CHARACTERISTIC, SECOND) == {
        "spo2_percent": 97,
        "pulse_bpm": 72,
        "amplitude_percent": 3.21,
        "counter_s": 258,
        "battery_volt": 2.8,
        "is_qualified": True,
        "status": 0x55,
    }
    searching = fields(CHARACTERISTIC, SEARCHING)
    assert (searching["spo2_percent"], searching["pulse_bpm"]) == (None, None)
    assert searching["is_qualified"] is False


def test_two_qualified_seconds_are_a_spot_check() -> None:
    one = measurement(CHARACTERISTIC, SECOND + NEXT)
    assert one.kind == "pulse_oximetry"
    assert {sample.code: sample.value for sample in one.samples} == {
        "150456": 96.0,
        "149530": 73.0,
        "150448": 3.22,
    }
    assert (one.device_time, one.sequence_number, one.flags) == (None, None, ())


def test_a_fast_pulse_has_two_bytes() -> None:
    fast = SECOND.replace("0048", "0104") + NEXT.replace("0049", "0105")
    assert measurement(CHARACTERISTIC, fast).samples[1].value == 261.0


def test_the_counter_begins_anew() -> None:
    raw = SECOND.replace("0102", "FFFF") + NEXT.replace("0103", "0000")
    assert measurement(CHARACTERISTIC, raw).samples[0].value == 96.0


@pytest.mark.parametrize(
    ("status", "flags"),
    [
        ("57", ("low_perfusion",)),
        ("75", ("device_battery_low",)),
        ("D5", ("unknown_status",)),
        ("14", ()),
        ("F7", ("low_perfusion", "device_battery_low", "unknown_status")),
    ],
)
def test_what_a_qualified_second_still_says(status: str, flags: tuple[str, ...]) -> None:
    one = measurement(CHARACTERISTIC, SECOND + NEXT.replace(" 55 ", f" {status} "))
    assert one.flags == flags


@pytest.mark.parametrize(
    "later",
    [
        NEXT.replace("0103", "0104"),  # a second is missing
        NEXT.replace("0103", "0102"),  # the same one twice
        NEXT.replace(" 55 ", " 51 "),  # not qualified
        NEXT.replace(" 55 ", " 5D "),  # searching again
        NEXT.replace(" 55 ", " 45 "),  # the finger slipped
        NEXT.replace(" 60 ", " 7F "),
        NEXT.replace("0049", "01FF"),
    ],
)
def test_two_seconds_that_are_no_spot_check(later: str) -> None:
    assert reason(CHARACTERISTIC, SECOND + later) == "reserved_value"


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("", "truncated"),
        (SECOND[:-2], "truncated"),
        (SECOND + "00", "trailing_bytes"),
        ("0B 55 1C 0141 0102 61 0048 00", "bad_size"),
        (SECOND + "0B" + NEXT[2:], "bad_size"),
        (SECOND + NEXT[:-2], "trailing_bytes"),
    ],
)
def test_what_is_refused(raw: str, why: str) -> None:
    assert reason(CHARACTERISTIC, raw) == why


FRAMES = st.builds(
    Frame,
    st.none() | st.integers(0, 100),
    st.none() | st.integers(0, 325),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFF),
    st.integers(0, 0xFFFF).map(lambda hundredths: hundredths / 100),
    st.integers(0, 0xFF),
)


@given(FRAMES)
def test_frames_come_back(frame: Frame) -> None:
    assert nonin.read_frame(nonin.encode(frame)) == frame


@given(FRAMES, st.integers(0, 0xFFFF))
def test_a_spot_check_is_only_what_is_qualified_and_next(frame: Frame, counter_s: int) -> None:
    later = replace(frame, counter_s=counter_s)
    is_next = (counter_s - frame.counter_s) % 0x10000 == 1
    raw = nonin.encode(frame) + nonin.encode(later)
    if is_next and frame.is_qualified:
        assert isinstance(gatt.decode(CHARACTERISTIC, raw), gatt.Reading)
    else:
        with pytest.raises(DecodeError):
            gatt.decode(CHARACTERISTIC, raw)


def test_a_spot_check_of_one_frame() -> None:
    raw = nonin.encode_spot_check(Frame(97, 72, 0, amplitude_percent=3.5))
    assert raw[:7].hex() == "0a551c015effff"
    assert isinstance(gatt.decode(CHARACTERISTIC, raw), gatt.Reading)
