"""Values that devices of the named families sent, as their owners published them."""

import pytest

from devices import gatt
from devices.measurement import Measurement
from tests.devices.gatt.fix_values import measurement, reason

# HEADS-project/ThingML-BLE, Documentation/AND_Medical_UA651BLE.md: one cuff, in the order it sent.
UA_651 = [
    "16 FF07 FF07 FF07 E107 01 0E 16 2C 04 FF07 0000",
    "16 FF07 FF07 FF07 E107 01 10 0B 1D 02 FF07 0000",
    "16 7D00 5000 6600 E107 01 10 0C 27 36 4000 0000",
    "16 8600 4D00 6400 E107 01 10 0D 00 18 3D00 0000",
]


def test_an_a_and_d_cuff_sends_failed_measurements_among_the_others() -> None:
    one = [measurement("2A35", raw) for raw in UA_651]
    assert ["measurement_failed" in value.flags for value in one] == [True, True, False, False]
    assert numbers(one[2]) == {"150021": 125.0, "150022": 80.0, "150023": 102.0, "149546": 64.0}
    assert numbers(one[3]) == {"150021": 134.0, "150022": 77.0, "150023": 100.0, "149546": 61.0}
    assert [str(value.device_time) for value in one[2:]] == [
        "2017-01-16 12:39:54",
        "2017-01-16 13:00:24",
    ]


# derdilla/blood-pressure-monitor-fl, app/test/…/ble_measurement_data_test.dart: a Beurer BM85, that
# showed 106/71 with pulse 63. Pulse and status have their bytes swapped, the user has no flag.
BM85 = [
    bytes([86, 106, 0, 71, 0, 0, 0, 234, 7, 8, 11, 18, 31, 0, 0, 63, 0, 0, 0]),
    bytes([86, 119, 0, 70, 0, 0, 0, 234, 7, 8, 11, 20, 57, 0, 0, 87, 1, 0, 64]),
    bytes([86, 118, 0, 80, 0, 0, 0, 234, 7, 8, 11, 20, 27, 0, 0, 60, 0, 0, 4]),
]


@pytest.mark.parametrize("raw", BM85)
def test_a_beurer_bm85_is_refused_and_never_read_askew(raw: bytes) -> None:
    assert reason("2A35", raw) == "reserved_flags"


def test_a_beurer_without_the_reserved_flag_would_be_refused_too() -> None:
    raw = bytes((BM85[0][0] & 0b11111,)) + BM85[0][1:]
    assert reason("2A35", raw) == "trailing_bytes"


def numbers(one: Measurement) -> dict[str, float | None]:
    assert isinstance(gatt.decode(one.characteristic, one.raw), gatt.Reading)
    return {sample.code: sample.value for sample in one.samples}
