"""Heart rate and where the sensor sits.

"Nordic": Android-BLE-Library, HeartRateMeasurementDataCallbackTest and
BodySensorLocationDataCallbackTest.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.gatt import body_sensor_location, heart_rate
from devices.gatt.heart_rate import HeartRate
from tests.devices.gatt.fix_values import (
    fields,
    measurement,
    reason,
    refuses_every_other_length,
    values,
)

NARROW = "1E 55 3200 2100"  # Nordic, "uint8"
WIDE = "1F 0101 3201 0100 0201 FFFF"  # Nordic, "uint16"


def test_values_of_a_test_suite() -> None:
    assert values("2A37", "00 55") == {"147842": 85.0}
    lost = measurement("2A37", "04 FF")
    assert lost.samples[0].value == 255.0
    assert lost.flags == ("no_skin_contact",)
    narrow = measurement("2A37", NARROW)
    assert narrow.kind == "heart_rate"
    assert narrow.samples[0].value == 85.0
    assert narrow.flags == ()
    assert narrow.context == {"energy_kj": 50, "rr_count": 1, "rr_ms": "32.2"}
    wide = measurement("2A37", WIDE)
    assert wide.samples[0].value == 257.0
    # 1, 258 and 65535 of 1/1024 s
    assert wide.context == {"energy_kj": 306, "rr_count": 3, "rr_ms": "1.0 252.0 63999.0"}


def test_contact_that_cannot_be_told_is_none() -> None:
    assert measurement("2A37", "00 48").flags == ()
    assert measurement("2A37", "02 48").flags == ()
    assert measurement("2A37", "06 48").flags == ()


def test_many_intervals_keep_the_newest() -> None:
    raw = "10 48" + "0100" * 230 + "0004" * 25
    beat = measurement("2A37", raw)
    assert beat.context["rr_count"] == 255
    assert beat.context["rr_ms"] == " ".join(["1000.0"] * 25)
    longest = measurement("2A37", "10 48" + "FFFF" * 255).context["rr_ms"]
    assert isinstance(longest, str)
    assert len(longest) <= 200


def test_location() -> None:
    for number, place in enumerate(body_sensor_location.LOCATIONS):
        assert fields("2A38", f"{number:02X}") == {"location": place}
        assert body_sensor_location.encode(place) == bytes((number,))
    assert fields("2A38", "05") == {"location": "earlobe"}  # Nordic
    for number in range(7, 256):
        assert reason("2A38", bytes((number,))) == "reserved_value"


def test_lengths() -> None:
    for raw in ("00 55", "09 0101 3201"):
        refuses_every_other_length("2A37", raw)
    refuses_every_other_length("2A38", "01")
    whole = bytes.fromhex(WIDE)
    for end in range(len(whole)):
        if end in (7, 9):  # one or two intervals
            continue
        assert reason("2A37", whole[:end]) == "truncated"
    assert reason("2A37", whole + b"\0") == "truncated"  # half an interval
    assert reason("2A37", "17 0101") == "truncated"  # Nordic: intervals promised, none there
    assert reason("2A37", whole + bytes(513)) == "too_long"


@pytest.mark.parametrize("flags", range(16))
def test_every_combination_of_flags_without_intervals(flags: int) -> None:
    def build(other: int) -> bytes:
        return bytes((other,)) + bytes((2 if other & 1 else 1) + (2 if other & 8 else 0))

    raw = build(flags)
    refuses_every_other_length("2A37", raw.hex())
    with_one = bytes((flags | 16,)) + raw[1:] + b"\1\0"
    assert measurement("2A37", with_one.hex()).context["rr_count"] == 1


def test_reserved_flags() -> None:
    for flags in range(32, 256):
        assert reason("2A37", bytes((flags,)) + bytes(8)) == "reserved_flags"


def test_known_bytes_encoded() -> None:
    assert heart_rate.encode(HeartRate(85)) == bytes.fromhex("00 55")
    assert heart_rate.encode(HeartRate(255, has_contact=False)) == bytes.fromhex("04 FF")
    assert heart_rate.encode(HeartRate(85, True, 50, (33,))) == bytes.fromhex(NARROW)
    assert heart_rate.encode(HeartRate(257, True, 306, (1, 258, 65535))) == bytes.fromhex(WIDE)


@given(st.integers(0, 0xFFFF), st.lists(st.integers(0, 0xFFFF), max_size=20))
def test_there_and_back(rate: int, intervals: list[int]) -> None:
    got = heart_rate.decode(heart_rate.encode(HeartRate(rate, rr_1024ths_s=intervals)))
    assert got.samples[0].value == rate
    assert got.context.get("rr_count", 0) == len(intervals)
