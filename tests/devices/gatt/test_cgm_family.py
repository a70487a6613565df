"""Continuous glucose monitors. "Nordic": Android-BLE-Library, the tests of ``callback/cgm``.

Their CRCs come from that library too; "by hand" is written from the tables of the GATT
Specification Supplement.
"""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import gatt
from devices.errors import DecodeError
from devices.gatt import cgm, cgm_feature, cgm_ops, cgm_session_run, cgm_session_start, cgm_status
from devices.gatt.cgm import CgmRecord
from devices.gatt.cgm_ops import Calibration, Op
from devices.gatt.cgm_session_start import SessionStart
from devices.gatt.e2e_crc import crc16
from devices.measurement import Absent, AsSent
from tests.devices.gatt.fix_values import fields, measurement, measurements, reason

# Nordic, ContinuousGlucoseMeasurementDataCallbackTest "full", "small", "double", "crcError".
FULL = "0F E3 D2E4 0500 02 14 FF 02F0 E5F3 8E3F"
SMALL = "06 00 0C10 0600"
DOUBLE = "06 00 0C10 0500 06 00 0C10 0600"
WRONG_CRC = "08 00 0C10 0600 586F"
RIGHT_CRC = "08 00 0C10 0600 596F"  # what the same test says was computed


def test_the_crc() -> None:
    # The check value of CRC-16/MCRF4XX, and Nordic's CRC16Test.
    assert crc16(b"123456789") == 0x6F91
    assert crc16(b"A") == 0x5C0A
    assert crc16(bytes.fromhex("58251F98")) == 0x07F1


def test_a_record_with_everything() -> None:
    record = measurement("2AA7", FULL)
    assert record.kind == "cgm"
    # 12.34 mg/dL / 18.0156
    assert (record.samples[0].code, record.samples[0].value) == ("160212", 0.685)
    assert record.samples[0].as_sent == AsSent(12.34, "mg/dL")
    assert record.flags == (
        "device_battery_low",
        "calibration_recommended",
        "temperature_too_high",
        "below_patient_low",
        "above_patient_high",
        "below_hypo",
        "above_hyper",
        "rate_of_decrease_exceeded",
        "rate_of_increase_exceeded",
        "result_too_low",
        "result_too_high",
    )
    assert record.context == {
        "time_offset_min": 5,
        "trend_mmol_l_min": 0.0111,  # 0.2 mg/dL a minute
        "quality_percent": 99.7,
    }
    assert (record.device_time, record.sequence_number) == (None, None)


def test_several_records_in_one_value() -> None:
    first, second = measurements("2AA7", DOUBLE)
    assert [one.context["time_offset_min"] for one in (first, second)] == [5, 6]
    assert [one.samples[0].value for one in (first, second)] == [6.661, 6.661]  # 120 mg/dL
    three = measurements("2AA7", SMALL + FULL + RIGHT_CRC)
    assert [one.context["time_offset_min"] for one in three] == [6, 5, 6]


def test_each_octet_has_its_flag() -> None:
    # By hand: status, calibration and temperature, warning; each alone.
    assert measurement("2AA7", "07 80 0C10 0600 01").flags == ("session_stopped",)
    assert measurement("2AA7", "07 40 0C10 0600 08").flags == ("calibration_required",)
    assert measurement("2AA7", "07 20 0C10 0600 04").flags == ("below_hypo",)
    assert measurement("2AA7", "07 20 0C10 0600 00").flags == ()
    assert measurement("2AA7", "07 80 0C10 0600 40").flags == ("unknown_status",)


@pytest.mark.parametrize(
    ("raw", "absent", "flags"),
    [
        ("06 00 FF07 0600", Absent.NAN, ("measurement_failed",)),
        ("06 00 0008 0600", Absent.NRES, ("measurement_failed",)),
        ("06 00 FE07 0600", Absent.POSITIVE_INFINITY, ()),
        ("07 20 FF07 0600 80", Absent.POSITIVE_INFINITY, ("result_too_high",)),
        ("07 20 0008 0600 40", Absent.NEGATIVE_INFINITY, ("result_too_low",)),
    ],
)
def test_no_number(raw: str, absent: Absent, flags: tuple[str, ...]) -> None:
    record = measurement("2AA7", raw)
    assert record.samples[0].absent is absent
    assert record.flags == flags


def test_a_missing_trend_has_its_reason() -> None:
    record = measurement("2AA7", "0A 03 0C10 0600 FF07 0008")
    assert record.context == {
        "time_offset_min": 6,
        "trend_mmol_l_min": "nan",
        "quality_percent": "nres",
    }


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("", "truncated"),
        (WRONG_CRC, "bad_crc"),
        ("00", "bad_size"),
        ("05 00 0C10 06", "bad_size"),
        (SMALL + "05", "bad_size"),
        (SMALL + "06", "truncated"),
        (SMALL + "FF", "truncated"),
        ("06 01 0C10 0600", "truncated"),  # a trend that its size has no room for
        ("07 00 0C10 0600 00", "truncated"),  # half a CRC
        ("09 00 0C10 0600 596F 00", "trailing_bytes"),
        ("06 04 0C10 0600", "reserved_flags"),
        ("06 08 0C10 0600", "reserved_flags"),
        ("06 10 0C10 0600", "reserved_flags"),
        ("06 E3 0C10 06", "truncated"),  # Nordic, "tooShort"
        ("07 E3 0C10 0600 00", "truncated"),  # Nordic, "onInvalidDataReceived"
    ],
)
def test_refused(raw: str, why: str) -> None:
    assert reason("2AA7", raw) == why


@pytest.mark.parametrize("raw", [FULL, SMALL, RIGHT_CRC])
def test_every_truncated_length(raw: str) -> None:
    whole = bytes.fromhex(raw)
    for end in range(len(whole)):
        assert reason("2AA7", whole[:end]) == "truncated"
    assert reason("2AA7", whole + bytes(513)) == "too_long"


def test_every_combination_of_flags_with_and_without_crc() -> None:
    sizes = {0: 2, 1: 2, 5: 1, 6: 1, 7: 1}
    for flags in range(256):
        rest = sum(size for bit, size in sizes.items() if flags >> bit & 1)
        size = 6 + rest
        whole = bytes((size, flags)) + bytes(size - 2)
        secured = bytes((size + 2, flags)) + bytes(size - 2)
        secured += crc16(secured).to_bytes(2, "little")
        if flags & ~0xE3:
            assert reason("2AA7", whole) == reason("2AA7", secured) == "reserved_flags"
        else:
            gatt.decode("2AA7", whole)
            gatt.decode("2AA7", secured)
            broken = secured[:2] + b"\1" + secured[3:]
            assert reason("2AA7", broken) == "bad_crc"


# Feature, status, session -----------------------------------------------------------------------


def test_feature() -> None:
    # Nordic, CGMFeatureDataCallbackTest.
    expected = {
        "features": [
            name for bit, name in cgm_feature.FEATURES.items() if 0b11001111001101110 >> bit & 1
        ],
        "sample_type": "arterial_plasma",
        "sample_location": "finger",
        "flags": [],
    }
    assert fields("2AA8", "6E9E01 16 8AC1") == expected
    assert reason("2AA8", "6E9E01 16 AFBE") == "bad_crc"
    expected["features"] = [name for name in expected["features"] if name != "e2e_crc"]
    assert fields("2AA8", "6E8E01 16 FFFF") == expected
    # Nordic refuses another value than 0xFFFF; the supplement allows any.
    assert fields("2AA8", "6E8E01 16 AFBE") == expected
    assert fields("2AA8", "000080 59 FFFF") == {
        "features": ["unknown_feature"],
        "sample_type": "interstitial_fluid",
        "sample_location": "subcutaneous_tissue",
        "flags": [],
    }
    for raw in ("6E9E01 16 8AC1", "6E8E01 16 FFFF"):
        whole = bytes.fromhex(raw)
        for end in range(len(whole)):
            assert reason("2AA8", whole[:end]) == "truncated"
        assert reason("2AA8", whole + b"\0") == "trailing_bytes"


def test_status() -> None:
    # Nordic, CGMStatusDataCallbackTest.
    everything = fields("2AA9", "0500 3F3FFF A7E0")
    assert everything == {
        "time_offset_min": 5,
        "status": list(cgm.STATUS.values()),
        "e2e_crc": True,
    }
    assert fields("2AA9", "0600 010101") == {
        "time_offset_min": 6,
        "status": ["session_stopped", "time_synchronisation_required", "below_patient_low"],
        "e2e_crc": False,
    }
    assert reason("2AA9", "0600 010101 A7E0") == "bad_crc"
    assert reason("2AA9", "0600 010101 01") == "truncated"


def test_session_start() -> None:
    # Nordic, CGMSessionStartTimeDataCallbackTest; the zone is in quarters of an hour.
    assert fields("2AAA", "E207 04 18 0D 08 18 08 04 E0C2") == {
        "session_start": "2018-04-24T13:08:24",
        "zone_min": 120,
        "dst_min": 60,
        "e2e_crc": True,
    }
    assert fields("2AAA", "0000 04 18 0D 08 18 80 FF") == {
        "session_start": None,
        "zone_min": None,
        "dst_min": None,
        "e2e_crc": False,
    }
    assert reason("2AAA", "E207 04 18 0D 08 18 08 04 E0C3") == "bad_crc"
    assert reason("2AAA", "E207 04 18 0D 08 18 08 04 E0") == "truncated"
    assert reason("2AAA", "E207 02 1E 0D 08 18 08 04") == "invalid_time"
    assert reason("2AAA", "E207 04 18 0D 08 18 39 04") == "reserved_value"
    assert reason("2AAA", "E207 04 18 0D 08 18 08 05") == "reserved_value"


def test_session_run_time() -> None:
    # Nordic, CGMSessionRunTimeDataCallbackTest.
    assert fields("2AAB", "0200 08C3") == {"run_time_h": 2, "e2e_crc": True}
    assert fields("2AAB", "0200") == {"run_time_h": 2, "e2e_crc": False}
    assert reason("2AAB", "0200 09C3") == "bad_crc"
    assert reason("2AAB", "0200 01") == "truncated"


@pytest.mark.parametrize(
    ("uuid", "raw", "plain_bytes"),
    [
        ("2AA9", "0500 3F3FFF A7E0", 5),
        ("2AAA", "E207 04 18 0D 08 18 08 04 E0C2", 9),
        ("2AAB", "0200 08C3", 2),
        ("2AAC", "1C 02 01 3C3B", 3),
        ("2AAC", "06 0120 0A00 32 1400 0100 04 BFB2", 11),
        ("2AAC", "0C 0BC0 34BE", 3),
    ],
)
def test_every_length_but_two_is_refused(uuid: str, raw: str, plain_bytes: int) -> None:
    whole = bytes.fromhex(raw)
    gatt.decode(uuid, whole)
    for end in range(len(whole)):
        if end == plain_bytes:
            gatt.decode(uuid, whole[:end])
        else:
            assert reason(uuid, whole[:end]) == "truncated"
    assert reason(uuid, whole + b"\0") == "trailing_bytes"
    assert reason(uuid, whole + bytes(513)) == "too_long"


# Specific Ops Control Point ---------------------------------------------------------------------


def level(mg_dl: float, mmol_l: float) -> dict[str, object]:
    return {
        "value": mmol_l,
        "unit": "mmol/L",
        "absent": None,
        "as_sent": {"value": mg_dl, "unit": "mg/dL"},
    }


def rate(mg_dl_min: float, mmol_l_min: float) -> dict[str, object]:
    return {
        "value": mmol_l_min,
        "unit": "mmol/L/min",
        "absent": None,
        "as_sent": {"value": mg_dl_min, "unit": "mg/dL/min"},
    }


RESPONSE = {"op": "response", "request": "get_interval", "request_code": 2}
CALIBRATION = {
    "concentration": level(100.0, 5.551),
    "time_min": 10,
    "sample_type": "capillary_plasma",
    "sample_location": "earlobe",
    "next_time_min": 20,
    "record_number": 1,
    "status": ["pending"],
    "flags": [],
}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        # Nordic, CGMSpecificOpsControlPointDataCallbackTest.
        ("1C 02 01", {**RESPONSE, "result": "success", "result_code": 1}),
        ("1C 02 02", {**RESPONSE, "result": "op_not_supported", "result_code": 2}),
        ("06 0120 0A00 32 1400 0100 04", {"op": "calibration", "calibration": CALIBRATION}),
        ("09 0CF0", {"op": "high_level", "level": level(1.2, 0.067)}),
        ("0F 0100", {"op": "hypo_level", "level": level(1.0, 0.056)}),
        ("12 0A20", {"op": "hyper_level", "level": level(1000.0, 55.507)}),
        ("15 0110", {"op": "decrease_rate", "rate": rate(10.0, 0.5551)}),
        ("18 0A40", {"op": "increase_rate", "rate": rate(100_000.0, 5550.7449)}),
        ("03 0B", {"op": "interval", "interval_min": 11}),
        # By hand.
        ("03 0B00", {"op": "interval", "interval_min": 11}),
        ("01 05", {"op": "set_interval", "interval_min": 5}),
        ("02", {"op": "get_interval"}),
        ("05 FFFF", {"op": "get_calibration", "record_number": 65535}),
        ("0A 4600", {"op": "set_low_level", "level": level(70.0, 3.886)}),
        ("1A", {"op": "start_session"}),
        (
            "1C FE 06",
            {
                "op": "response",
                "request": None,
                "request_code": 254,
                "result": None,
                "result_code": 6,
            },
        ),
    ],
)
def test_ops(raw: str, expected: dict[str, object]) -> None:
    assert fields("2AAC", raw) == {**expected, "e2e_crc": False}


def test_ops_with_crc() -> None:
    # Nordic again.
    for raw in ("1C 02 01 3C3B", "1C 02 02 A709", "06 0120 0A00 32 1400 0100 04 BFB2"):
        assert fields("2AAC", raw)["e2e_crc"] is True
    assert fields("2AAC", "0C 0BC0 34BE")["level"] == level(0.0011, 0.0)
    assert fields("2AAC", "03 0A 8A75") == {"op": "interval", "interval_min": 10, "e2e_crc": True}
    assert reason("2AAC", "1C 02 02 A701") == "bad_crc"
    assert reason("2AAC", "06 0A 01") == "truncated"


def test_every_op_code() -> None:
    for number in range(256):
        if 1 <= number <= 28:
            raw = next(raw for raw in _growing(number) if _reads(raw))
            assert fields("2AAC", raw.hex())["op"] == Op(number).name.lower()
        else:
            assert reason("2AAC", bytes((number,)) + bytes(10)) == "reserved_value"


def _growing(number: int) -> Iterator[bytes]:
    return (bytes((number,)) + bytes(size) for size in range(12))


def _reads(raw: bytes) -> bool:
    try:
        gatt.decode("2AAC", raw)
    except DecodeError:
        return False
    return True


# Encoders ---------------------------------------------------------------------------------------


def test_known_bytes_encoded() -> None:
    full = CgmRecord(12.34, 5, 0xFF1402, 0.2, 99.7, has_crc=True)
    assert cgm.encode([full]) == bytes.fromhex(FULL)
    two = cgm.encode([CgmRecord(120, 5), CgmRecord(120, 6)])
    assert two == bytes.fromhex("06 00 7800 0500 06 00 7800 0600")
    encoded = cgm_feature.encode(0b11001111001101110, "arterial_plasma", "finger")
    assert encoded == bytes.fromhex("6E9E01 16 8AC1")
    plain = cgm_feature.encode(0b11000111001101110, "arterial_plasma", "finger")
    assert plain == bytes.fromhex("6E8E01 16 FFFF")
    assert cgm_status.encode(5, 0xFF3F3F, has_crc=True) == bytes.fromhex("0500 3F3FFF A7E0")
    assert cgm_status.encode(6, 0x010101) == bytes.fromhex("0600 010101")
    start, has_crc = cgm_session_start.read(bytes.fromhex("E207 04 18 0D 08 18 08 04 E0C2"))
    assert cgm_session_start.encode(start, has_crc=has_crc) == bytes.fromhex(
        "E207 04 18 0D 08 18 08 04 E0C2"
    )
    unset = SessionStart(None, None, None)
    assert cgm_session_start.encode(unset) == bytes.fromhex("0000 00 00 00 00 00 80 FF")
    assert cgm_session_run.encode(2, has_crc=True) == bytes.fromhex("0200 08C3")
    assert cgm_session_run.encode(2) == bytes.fromhex("0200")


def test_ops_encoded() -> None:
    assert cgm_ops.encode(Op.GET_INTERVAL) == bytes.fromhex("02")
    assert cgm_ops.encode(Op.INTERVAL, 10, has_crc=True) == bytes.fromhex("03 0A 8A75")
    assert cgm_ops.encode(Op.GET_CALIBRATION, 0xFFFF) == bytes.fromhex("05 FFFF")
    assert cgm_ops.encode(Op.HYPO_LEVEL, 1) == bytes.fromhex("0F 0100")
    assert cgm_ops.encode(Op.HIGH_LEVEL, 1.2) == bytes.fromhex("09 0CF0")
    assert cgm_ops.encode(Op.SET_INCREASE_RATE, Absent.NAN) == bytes.fromhex("16 FF07")
    assert cgm_ops.encode(Op.RESPONSE, (2, 1), has_crc=True) == bytes.fromhex("1C 02 01 3C3B")
    made = Calibration(100, 10, "capillary_plasma", "earlobe", 20, 1, 0b100)
    assert cgm_ops.encode(Op.CALIBRATION, made) == bytes.fromhex("06 6400 0A00 32 1400 0100 04")


@given(
    st.lists(
        st.builds(
            CgmRecord,
            st.integers(20, 600),
            st.integers(0, 0xFFFF),
            st.integers(0, 0xFFFFFF),
            st.none() | st.integers(-20, 20),
            st.none() | st.integers(0, 100),
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_there_and_back(records: list[CgmRecord]) -> None:
    decoded = cgm.decode(cgm.encode(records)).measurements
    assert [one.context["time_offset_min"] for one in decoded] == [
        record.time_offset_min for record in records
    ]
    assert [one.samples[0].as_sent for one in decoded] == [
        AsSent(float(record.concentration_mg_dl), "mg/dL") for record in records
    ]
