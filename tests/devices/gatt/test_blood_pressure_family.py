"""Cuffs at work, what they can do, and the enhanced blood pressure.

"By hand": written field by field from the tables of the Bluetooth GATT Specification Supplement.
"""

from datetime import datetime

import pytest

from devices.gatt import (
    blood_pressure_feature,
    cuff_pressure,
    enhanced_blood_pressure,
    enhanced_cuff_pressure,
)
from devices.gatt.cuff_pressure import CuffPressure
from devices.gatt.enhanced_blood_pressure import Beside, EnhancedBloodPressure
from devices.gatt.enhanced_cuff_pressure import EnhancedCuffPressure
from devices.measurement import Absent, AsSent
from tests.devices.gatt.fix_values import (
    fields,
    measurement,
    reads_only_its_flags,
    reason,
    refuses_every_other_length,
    values,
)

# Nordic Android-BLE-Library, IntermediateCuffPressureDataCallbackTest "full", "some", "minimal".
CUFF_FULL = "1E 0400 0000 0000 0000 04 11 14 29 3B 3C00 01 2700"
CUFF_SOME = "15 6FF0 0000 0000 3C00 1200"
CUFF_MINIMAL = "00 D7F0 0000 0000"
# By hand. Base time 0x3277CB80 = 846,711,680 s since 2000 = 9,799 days and 78,080 s, which is
# 2026-10-30T21:41:20; the user facing time is an hour more.
ENHANCED = "7E 8000 5200 6300 80CB7732 4800 01 0400 90D97732"
ENHANCED_CUFF = "7E A500 80CB7732 4800 01 0400 90D97732"


def test_cuff_pressure_of_a_test_suite() -> None:
    assert fields("2A36", CUFF_FULL) == {
        "cuff_pressure": {"value": 4.0, "unit": "mm[Hg]", "absent": None},
        "pulse": {"value": 60.0, "unit": "/min", "absent": None},
        "device_time": None,  # its year is 0
        "ctx": {"user_index": 1},
        "flags": [
            "device_time_unknown",
            "movement",
            "cuff_loose",
            "irregular_pulse",
            "improper_position",
        ],
    }


def test_cuff_pressure_in_kilopascal() -> None:
    assert fields("2A36", CUFF_SOME)["cuff_pressure"] == {
        "value": 83.26,  # 11.1 kPa
        "unit": "mm[Hg]",
        "absent": None,
        "as_sent": {"value": 11.1, "unit": "kPa"},
    }
    assert fields("2A36", CUFF_SOME)["flags"] == ["cuff_loose", "pulse_rate_low"]


def test_cuff_pressure_alone() -> None:
    got = fields("2A36", CUFF_MINIMAL)
    assert got["cuff_pressure"] == {"value": 21.5, "unit": "mm[Hg]", "absent": None}
    assert got["pulse"] is None
    stamped = fields("2A36", "02 2800 FF07 FF07 EA07 0B 16 07 0C 00")  # by hand
    assert stamped["device_time"] == "2026-11-22T07:12:00"


def test_a_cuff_without_pressure_is_no_failed_measurement() -> None:
    got = fields("2A36", "00 FF07 FF07 FF07")  # by hand
    assert got["cuff_pressure"] == {"value": None, "unit": "mm[Hg]", "absent": "nan"}
    assert got["flags"] == []


def test_features() -> None:
    # Stanford Spezi, BloodPressureTests: all nine features are 0x1FF.
    names = list(blood_pressure_feature.FEATURES.values())
    assert fields("2A49", "FF01") == {"features": names}
    assert fields("2A49", "2480") == {
        "features": ["irregular_pulse_detection", "multiple_bonds", "unknown_feature"]
    }
    assert blood_pressure_feature.encode(0x1FF) == bytes.fromhex("FF01")


def test_enhanced_with_everything() -> None:
    pressure = measurement("2B34", ENHANCED)
    assert values("2B34", ENHANCED) == {
        "150021": 128.0,
        "150022": 82.0,
        "150023": 99.0,
        "149546": 72.0,
    }
    assert pressure.kind == "blood_pressure"
    assert pressure.device_time == datetime.fromisoformat("2026-10-30T22:41:20")
    assert pressure.flags == ("irregular_pulse",)
    assert pressure.context == {"user_index": 1, "base_time": "2026-10-30T21:41:20"}


def test_enhanced_plain_and_failed() -> None:
    assert values("2B34", "00 7800 5000 5D00") == {
        "150021": 120.0,
        "150022": 80.0,
        "150023": 93.0,
    }
    failed = measurement("2B34", "00 FF07 FF07 FF07")
    assert failed.flags == ("measurement_failed",)
    assert [sample.absent for sample in failed.samples] == [Absent.NAN] * 3


def test_enhanced_in_kilopascal() -> None:
    pressure = measurement("2B34", "01 A0F0 6BF0 7CF0")  # by hand, as in test_gatt
    assert pressure.samples[0].value == 120.01
    assert pressure.samples[0].as_sent == AsSent(16.0, "kPa")


def test_an_epoch_in_1900() -> None:
    # By hand: 0xEEAB4D00 = 4,004,203,776 s = 46,344 days and 82,176 s after 1900.
    pressure = measurement("2B34", "22 7800 5000 5D00 004DABEE 004DABEE")
    assert pressure.device_time == datetime.fromisoformat("2026-11-20T22:49:36")


def test_a_base_time_alone_is_flagged() -> None:
    pressure = measurement("2B34", "42 7800 5000 5D00 80CB7732")
    assert pressure.device_time == datetime.fromisoformat("2026-10-30T21:41:20")
    assert pressure.flags == ("base_time_only",)
    assert pressure.context == {}
    facing = measurement("2B34", "60 7800 5000 5D00 80CB7732")
    assert facing.flags == ()
    assert facing.device_time == datetime.fromisoformat("2026-10-30T21:41:20")


def test_enhanced_cuff_pressure() -> None:
    assert fields("2B35", ENHANCED_CUFF) == {
        "cuff_pressure": {"value": 165.0, "unit": "mm[Hg]", "absent": None},
        "pulse": {"value": 72.0, "unit": "/min", "absent": None},
        "device_time": "2026-10-30T22:41:20",
        "ctx": {"user_index": 1, "base_time": "2026-10-30T21:41:20"},
        "flags": ["irregular_pulse"],
    }
    plain = fields("2B35", "01 A0F0")
    assert plain["cuff_pressure"] == {
        "value": 120.01,
        "unit": "mm[Hg]",
        "absent": None,
        "as_sent": {"value": 16.0, "unit": "kPa"},
    }
    assert (plain["pulse"], plain["device_time"]) == (None, None)


@pytest.mark.parametrize(
    ("uuid", "raw"),
    [
        ("2A36", CUFF_FULL),
        ("2A36", CUFF_SOME),
        ("2A36", CUFF_MINIMAL),
        ("2A49", "FF01"),
        ("2B34", ENHANCED),
        ("2B35", ENHANCED_CUFF),
    ],
)
def test_every_other_length_is_refused(uuid: str, raw: str) -> None:
    refuses_every_other_length(uuid, raw)


@pytest.mark.parametrize(("uuid", "pressures"), [("2B34", 3), ("2B35", 1)])
def test_every_combination_of_enhanced_flags(uuid: str, pressures: int) -> None:
    sizes = {1: 4, 2: 2, 3: 1, 4: 2, 5: 4}

    def build(flags: int) -> bytes:
        rest = sum(size for bit, size in sizes.items() if flags >> bit & 1)
        return bytes((flags,)) + bytes.fromhex("7800") * pressures + bytes(rest)

    reads_only_its_flags(uuid, build, 1, 0x7F)


def test_every_combination_of_cuff_flags() -> None:
    sizes = {1: 7, 2: 2, 3: 1, 4: 2}

    def build(flags: int) -> bytes:
        rest = sum(size for bit, size in sizes.items() if flags >> bit & 1)
        return bytes((flags,)) + bytes.fromhex("2800 FF07 FF07") + bytes(rest)

    reads_only_its_flags("2A36", build, 1, 0x1F)


def test_nordic_calls_these_invalid_too() -> None:
    assert reason("2A36", "01 02 03 04 05 06") == "truncated"
    assert reason("2A36", "03 02 03 04 05 06 07") == "truncated"


def test_known_bytes_encoded() -> None:
    working = CuffPressure(40, time=datetime.fromisoformat("2026-11-22T07:12:00"))
    expected = bytes.fromhex("02 2800 FF07 FF07 EA07 0B 16 07 0C 00")
    assert cuff_pressure.encode(working) == expected
    beside = Beside(
        datetime.fromisoformat("2026-10-30T21:41:20"),
        72,
        1,
        4,
        datetime.fromisoformat("2026-10-30T22:41:20"),
    )
    full = EnhancedBloodPressure(128, 82, 99, beside=beside)
    assert enhanced_blood_pressure.encode(full) == bytes.fromhex(ENHANCED)
    kilopascal = EnhancedBloodPressure(16, 10.7, 12.4, True, Beside(since_1900=True))
    assert enhanced_blood_pressure.encode(kilopascal) == bytes.fromhex("01 1000 6BF0 7CF0")
    cuff = EnhancedCuffPressure(165, beside=beside)
    assert enhanced_cuff_pressure.encode(cuff) == bytes.fromhex(ENHANCED_CUFF)
    bare = EnhancedCuffPressure(Absent.NAN, in_kilopascal=True)
    assert enhanced_cuff_pressure.encode(bare) == bytes.fromhex("41 FF07")
