"""The seven characteristics. The source of the bytes stands beside each vector.

"By hand" means written field by field from the layout in the Bluetooth GATT Specification
Supplement (flags, then fields, little-endian) and IEEE 11073-20601 for the floats; no vector comes
from our encoder.
"""

from datetime import datetime

import pytest

from devices import gatt
from devices.errors import DecodeError
from devices.measurement import Absent, AsSent, Measurement


def measurement(uuid: str, raw: str) -> Measurement:
    decoded = gatt.decode(uuid, bytes.fromhex(raw))
    assert isinstance(decoded, gatt.Reading)
    return decoded.measurements[0]


def values(uuid: str, raw: str) -> dict[str, float | None]:
    return {sample.code: sample.value for sample in measurement(uuid, raw).samples}


def fields(uuid: str, raw: str) -> dict[str, object]:
    decoded = gatt.decode(uuid, bytes.fromhex(raw))
    assert isinstance(decoded, gatt.Fields)
    return dict(decoded.fields)


# Blood pressure, 2A35 ----------------------------------------------------------------------------

BP_PLAIN = "00 7800 5000 5D00"  # by hand: 120/80, mean 93 mmHg
# Nordic, BloodPressureMeasurementParserTest with all fields: 121/81/106, kPa by its flags.
BP_NORDIC = "1F 7900 5100 6A00 E407 05 15 0A 1E 2D 4800 01 0600"
BP_CUFF = "1E 8000 5200 6300 EA07 0B 16 07 0C 00 4800 01 0400"  # by hand: what an A&D cuff sends


def test_blood_pressure_plain() -> None:
    pressure = measurement("2A35", BP_PLAIN)
    assert values("2A35", BP_PLAIN) == {"150021": 120.0, "150022": 80.0, "150023": 93.0}
    assert pressure.kind == "blood_pressure"
    assert pressure.device_time is None
    assert (pressure.flags, pressure.context) == ((), {})
    assert pressure.raw == bytes.fromhex(BP_PLAIN)


def test_blood_pressure_all_fields() -> None:
    pressure = measurement("2A35", BP_CUFF)
    assert values("2A35", BP_CUFF) == {
        "150021": 128.0,
        "150022": 82.0,
        "150023": 99.0,
        "149546": 72.0,
    }
    assert pressure.device_time == datetime.fromisoformat("2026-11-22T07:12:00")
    assert pressure.flags == ("irregular_pulse",)
    assert pressure.context == {"user_index": 1}


def test_kilopascal_is_converted_once_and_kept_as_sent() -> None:
    pressure = measurement("2A35", BP_NORDIC)
    # 121 kPa / 133.322 Pa (UCUM) = 907.577…; nonsense as a pressure, right as arithmetic.
    assert pressure.samples[0].value == pytest.approx(907.58)
    assert pressure.samples[0].as_sent == AsSent(121.0, "kPa")
    assert pressure.samples[3].value == 72.0
    assert pressure.samples[3].as_sent is None
    assert pressure.device_time == datetime.fromisoformat("2020-05-21T10:30:45")
    assert pressure.flags == ("cuff_loose", "irregular_pulse")


def test_kilopascal_of_a_real_pressure() -> None:
    # By hand: 16.0/10.7/12.4 kPa as SFLOAT with exponent -1.
    got = values("2A35", "01 A0F0 6BF0 7CF0")
    assert got == {"150021": 120.01, "150022": 80.26, "150023": 93.01}


@pytest.mark.parametrize(
    ("word", "absent"),
    [
        ("FF07", Absent.NAN),
        ("0008", Absent.NRES),
        ("FE07", Absent.POSITIVE_INFINITY),
        ("0208", Absent.NEGATIVE_INFINITY),
        ("0108", Absent.RESERVED),
    ],
)
def test_a_special_value_is_absence_with_its_reason(word: str, absent: Absent) -> None:
    pressure = measurement("2A35", f"00 {word} 5000 {word}")  # by hand
    assert pressure.samples[0].value is None
    assert pressure.samples[0].absent is absent
    assert pressure.samples[0].unit == "mm[Hg]"
    assert pressure.flags == ()


def test_three_nan_are_a_failed_measurement() -> None:
    assert measurement("2A35", "00 FF07 FF07 FF07").flags == ("measurement_failed",)


@pytest.mark.parametrize(
    ("status", "flags"),
    [
        ("0000", ()),
        ("0100", ("movement",)),
        ("0200", ("cuff_loose",)),
        ("0800", ("pulse_rate_high",)),
        ("1000", ("pulse_rate_low",)),
        ("1800", ("unknown_status",)),  # both at once is reserved
        ("1880", ("unknown_status",)),
        ("2000", ("improper_position",)),
        (
            "2780",
            ("movement", "cuff_loose", "irregular_pulse", "improper_position", "unknown_status"),
        ),
        ("4000", ("unknown_status",)),
    ],
)
def test_blood_pressure_status(status: str, flags: tuple[str, ...]) -> None:
    assert measurement("2A35", f"10 7800 5000 5D00 {status}").flags == flags


def test_user_255_is_nobody() -> None:
    assert measurement("2A35", "08 7800 5000 5D00 FF").context == {}
    assert measurement("2A35", "08 7800 5000 5D00 00").context == {"user_index": 0}


@pytest.mark.parametrize(
    ("stamp", "flag"),
    [
        ("0000 0B 16 07 0C 00", "device_time_unknown"),  # year 0
        ("EA07 00 16 07 0C 00", "device_time_unknown"),  # month 0
        ("EA07 0B 00 07 0C 00", "device_time_unknown"),  # day 0
        ("EA07 02 1F 07 0C 00", "device_time_invalid"),  # 31 February
        ("EA07 0B 16 18 0C 00", "device_time_invalid"),  # 24 o'clock
        ("FFFF FF FF FF FF FF", "device_time_invalid"),
    ],
)
def test_a_clock_that_says_nothing_loses_no_measurement(stamp: str, flag: str) -> None:
    pressure = measurement("2A35", f"02 7800 5000 5D00 {stamp}")
    assert pressure.device_time is None
    assert pressure.flags == (flag,)
    assert pressure.samples[0].value == 120.0


# Temperature, 2A1C ------------------------------------------------------------------------------


def test_temperature_of_a_capture() -> None:
    # Polar BLE SDK, BleHtsClientTest: 27.20 °C and 27.21 °C.
    assert values("2A1C", "00 A00A00FE") == {"150364": 27.2}
    assert values("2A1C", "00 A10A00FE") == {"150364": 27.21}


def test_temperature_with_time_and_site() -> None:
    fever = measurement(
        "2A1C", "06 710E00FE E407 05 15 0A 1E 2D 03"
    )  # Nordic's value; type by hand
    assert fever.samples[0].value == 36.97
    assert fever.device_time == datetime.fromisoformat("2020-05-21T10:30:45")
    assert fever.context == {"site": "ear"}


def test_fahrenheit_is_converted_once() -> None:
    fever = measurement("2A1C", "01 D20300FF")  # by hand: 978 * 10^-1 = 97.8 °F
    assert fever.samples[0].value == 36.56
    assert fever.samples[0].as_sent == AsSent(97.8, "[degF]")


def test_an_unknown_site_keeps_the_temperature() -> None:
    for number in ("00", "0A", "FF"):
        fever = measurement("2A1C", f"04 6C0100FF {number}")
        assert fever.flags == ("unknown_site",)
        assert fever.context == {}


def test_no_temperature() -> None:
    failed = measurement("2A1C", "00 FFFF7F00")  # by hand: FLOAT NaN
    assert failed.flags == ("measurement_failed",)
    assert failed.samples[0].absent is Absent.NAN


# Weight, 2A9D -----------------------------------------------------------------------------------


def test_weight_in_kilograms() -> None:
    assert values("2A9D", "00 303E") == {"188736": 79.6}  # by hand: 15920 * 0.005 kg


def test_weight_with_everything() -> None:
    heavy = measurement("2A9D", "0E 303E EA07 0B 16 07 0C 00 02 FA00 A406")  # by hand
    assert {s.code: s.value for s in heavy.samples} == {
        "188736": 79.6,
        "188752": 25.0,
        "188740": 170.0,
    }
    assert heavy.samples[2].as_sent == AsSent(1.7, "m")
    assert heavy.context == {"user_index": 2}
    assert heavy.device_time == datetime.fromisoformat("2026-11-22T07:12:00")


def test_weight_in_pounds() -> None:
    # By hand: 17550 * 0.01 lb = 175.5 lb = 79.605 kg; height 669 * 0.1 in = 66.9 in = 169.93 cm.
    heavy = measurement("2A9D", "09 8E44 FA00 9D02")
    assert heavy.samples[0].value == 79.605
    assert heavy.samples[0].as_sent == AsSent(175.5, "[lb_av]")
    assert heavy.samples[2].value == 169.93
    assert heavy.samples[2].as_sent == AsSent(66.9, "[in_i]")


def test_a_weighing_that_failed() -> None:
    failed = measurement("2A9D", "00 FFFF")
    assert failed.samples[0].absent is Absent.NAN
    assert failed.flags == ("measurement_failed",)


# Oximetry, 2A5E ---------------------------------------------------------------------------------

# Stanford Spezi, PLXTests.testSpotCheckMeasurementCoding.
PLX_SPEZI = bytes(
    [15, 172, 243, 190, 245, 232, 7, 11, 29, 23, 8, 57, 32, 64, 34, 0, 0, 102, 227]
).hex()


def test_spot_check_with_everything() -> None:
    spot = measurement("2A5E", PLX_SPEZI)
    assert {s.code: s.value for s in spot.samples} == {
        "150456": 94.0,
        "149530": 147.0,
        "150448": 8.7,
    }
    assert spot.device_time == datetime.fromisoformat("2024-11-29T23:08:57")
    assert spot.flags == (
        "measurement_ongoing",
        "questionable_measurement",
        "equipment_malfunction",
        "low_perfusion",
    )


def test_spot_check_plain() -> None:
    assert values("2A5E", "00 6100 4800") == {"150456": 97.0, "149530": 72.0}  # by hand


def test_spot_check_says_what_is_doubtful() -> None:
    # By hand: clock not set, a time stamp of year 0, reserved bits in both status fields.
    spot = measurement("2A5E", "17 6100 4800 0000 01 01 00 00 00 0100 000001")
    assert spot.flags == ("device_time_unknown", "unknown_status", "device_clock_not_set")
    assert measurement("2A5E", "00 FF07 FF07").flags == ("measurement_failed",)


# Battery and clocks -----------------------------------------------------------------------------


def test_battery() -> None:
    assert values("2A19", "64") == {"67996": 100.0}


def test_clocks() -> None:
    assert fields("2A08", "EA07 0B 16 07 0C 00") == {"time": "2026-11-22T07:12:00"}
    assert fields("2A08", "0000 00 00 00 00 00") == {"time": None}
    # By hand: Sunday, 128/256 s, external reference and daylight saving; bit 7 is reserved.
    assert fields("2A2B", "EA07 0B 16 07 0C 00 07 80 8A") == {
        "time": "2026-11-22T07:12:00",
        "day_of_week": 7,
        "fractions_256": 128,
        "adjust_reason": ["external_reference", "daylight_saving"],
        "flags": [],
    }
    unset = fields("2A2B", "0000 00 00 00 00 00 00 00 00")
    assert (unset["time"], unset["day_of_week"], unset["flags"]) == (None, None, [])


@pytest.mark.parametrize("day", ["08", "FF"])
def test_a_clock_whose_day_of_week_is_reserved_is_a_clock(day: str) -> None:
    assert fields("2A2B", f"EA07 0B 16 07 0C 00 {day} FF 00") == {
        "time": "2026-11-22T07:12:00",
        "day_of_week": None,
        "fractions_256": 255,
        "adjust_reason": [],
        "flags": ["unknown_day_of_week"],
    }


# What is refused --------------------------------------------------------------------------------

COMPLETE = [
    ("2A35", BP_NORDIC),
    ("2A35", BP_PLAIN),
    ("2A1C", "07 710E00FE E407 05 15 0A 1E 2D 02"),
    ("2A9D", "0E 303E EA07 0B 16 07 0C 00 02 FA00 A406"),
    ("2A5E", PLX_SPEZI),
    ("2A19", "64"),
    ("2A08", "EA07 0B 16 07 0C 00"),
    ("2A2B", "EA07 0B 16 07 0C 00 07 80 00"),
]


@pytest.mark.parametrize(("uuid", "raw"), COMPLETE)
def test_every_length_but_the_right_one_is_refused(uuid: str, raw: str) -> None:
    whole = bytes.fromhex(raw)
    gatt.decode(uuid, whole)
    for end in range(len(whole)):
        with pytest.raises(DecodeError) as error:
            gatt.decode(uuid, whole[:end])
        assert error.value.reason == "truncated"
    with pytest.raises(DecodeError) as error:
        gatt.decode(uuid, whole + b"\0")
    assert error.value.reason == "trailing_bytes"
    with pytest.raises(DecodeError) as error:
        gatt.decode(uuid, whole + bytes(513))
    assert error.value.reason == "too_long"


@pytest.mark.parametrize(
    ("uuid", "raw", "reason"),
    [
        ("2A35", "20 7800 5000 5D00", "reserved_flags"),
        ("2A1C", "08 C409803F", "reserved_flags"),  # Nordic, HTSDataParserTest "invalid flag"
        ("2A9D", "10 303E", "reserved_flags"),
        ("2A5E", "20 6100 4800", "reserved_flags"),
        # A cuff in the field, flutter_blue issue 687: its own layout under the SIG's number.
        ("2A35", "FE 2027 0075 0055 005F 00E4 0709 1810 093A 6900 01", "reserved_flags"),
        # Nordic, HTSDataParserTest "all fields": one byte too many for its flags.
        ("2A1C", "06 710E00FE E407 05 15 0A 1E 2D 00 FE", "trailing_bytes"),
        ("2A19", "65", "reserved_value"),
        ("2A08", "EA07 02 1E 07 0C 00", "invalid_time"),
        ("2A2B", "EA07 0D 01 07 0C 00 01 00 00", "invalid_time"),
        ("2A39", "01", "unknown_characteristic"),
        ("23434101-1fe4-1eff-80cb-00ff78297d8b", "00", "unknown_characteristic"),
        ("", "00", "bad_uuid"),
        ("2A3", "00", "bad_uuid"),
        ("00002A35-0000-1000-8000-00805F9B34F", "00", "bad_uuid"),
        ("2A35\n", "00", "bad_uuid"),
    ],
)
def test_refused_with_a_reason(uuid: str, raw: str, reason: str) -> None:
    with pytest.raises(DecodeError) as error:
        gatt.decode(uuid, bytes.fromhex(raw))
    assert error.value.reason == reason
    assert error.value.detail
    assert reason in str(error.value)


@pytest.mark.parametrize(
    "uuid",
    [
        "2a35",
        "2A35",
        "00002a35-0000-1000-8000-00805f9b34fb",
        "00002A35-0000-1000-8000-00805F9B34FB",
        "00002a3500001000800000805F9B34FB",
    ],
)
def test_a_uuid_in_any_form(uuid: str) -> None:
    assert gatt.short_uuid(uuid) == "2A35"
    assert measurement(uuid, BP_PLAIN).characteristic == "2A35"


def test_a_vendor_uuid_keeps_its_length() -> None:
    vendor = "23434101-1FE4-1EFF-80CB-00FF78297D8B"
    assert gatt.short_uuid(vendor) == vendor.lower()
