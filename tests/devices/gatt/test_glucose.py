"""Glucose meters: measurement, context, features.

"By hand": written from the tables of the Bluetooth GATT Specification Supplement; mmol/L computed
with 180.156 g/mol, which the IUPAC's abridged atomic weights give for C6H12O6.
"""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.gatt import glucose, glucose_context, glucose_feature
from devices.gatt.glucose import Glucose
from devices.gatt.glucose_context import GlucoseContext
from devices.gatt.glucose_sample import LOCATIONS, TYPES
from devices.measurement import Absent, AsSent
from tests.devices.gatt.fix_values import (
    fields,
    measurement,
    reads_only_its_flags,
    reason,
    refuses_every_other_length,
)

# Nordic Android-BLE-Library, GlucoseMeasurementDataCallbackTest.
NORDIC = "1B 0100 E307 02 1B 0B 0A 1E FBFF 1E00 12 0501"
# By hand: no. 7, 2026-11-22 07:12:00, 100 mg/dL as 100e-5 kg/L, capillary whole blood, finger.
MASS = "02 0700 EA07 0B 16 07 0C 00 64B0 11"
# By hand: as above and 60 minutes, 5.5 mmol/L as 55e-4 mol/L.
MOLES = "07 0800 EA07 0B 16 07 0C 00 3C00 37C0 11"


def test_a_value_of_a_test_suite() -> None:
    value = measurement("2A18", NORDIC)
    assert value.kind == "glucose"
    assert value.sequence_number == 1
    assert value.device_time == datetime.fromisoformat("2019-02-27T11:05:30")  # 11:10:30 less 5 min
    # Nordic's 30 kg/L is more than any blood holds, but right as arithmetic.
    assert value.samples[0].value == pytest.approx(166_522.347)
    assert value.samples[0].as_sent == AsSent(30.0, "kg/L")
    assert value.flags == (
        "device_battery_low",
        "sample_size_insufficient",
        "temperature_too_low",
    )
    assert value.context == {
        "time_offset_min": -5,
        "sample_type": "capillary_plasma",
        "sample_location": "finger",
        "context_follows": "yes",
    }


def test_mass_and_moles() -> None:
    mass = measurement("2A18", MASS).samples[0]
    assert (mass.code, mass.value, mass.unit) == ("160184", 5.551, "mmol/L")
    assert mass.as_sent == AsSent(0.001, "kg/L")
    moles = measurement("2A18", MOLES)
    assert moles.samples[0].value == 5.5
    assert moles.samples[0].as_sent == AsSent(0.0055, "mol/L")
    assert moles.device_time == datetime.fromisoformat("2026-11-22T08:12:00")
    assert moles.sequence_number == 8


def test_control_solution_is_no_blood() -> None:
    for both in ("1A", "42"):
        value = measurement("2A18", f"02 0700 EA07 0B 16 07 0C 00 64B0 {both}")
        assert "control_solution" in value.flags


def test_an_unknown_sample_keeps_the_value() -> None:
    value = measurement("2A18", "02 0700 EA07 0B 16 07 0C 00 64B0 00")
    assert value.flags == ("unknown_sample_type", "unknown_sample_location")
    assert value.context == {}
    assert value.samples[0].value == 5.551
    unsaid = measurement("2A18", "02 0700 EA07 0B 16 07 0C 00 64B0 F9")
    assert unsaid.flags == ()
    assert unsaid.context["sample_location"] == "not_available"


@pytest.mark.parametrize(
    ("raw", "absent", "flags"),
    [
        # High and low on the display, with and without the field, are results.
        ("08 0700 EA07 0B 16 07 0C 00 2000", Absent.POSITIVE_INFINITY, ("result_too_high",)),
        ("08 0700 EA07 0B 16 07 0C 00 4000", Absent.NEGATIVE_INFINITY, ("result_too_low",)),
        (
            "0A 0700 EA07 0B 16 07 0C 00 FF07 11 2000",
            Absent.POSITIVE_INFINITY,
            ("result_too_high",),
        ),
        ("02 0700 EA07 0B 16 07 0C 00 FE07 11", Absent.POSITIVE_INFINITY, ()),
        ("02 0700 EA07 0B 16 07 0C 00 0208 11", Absent.NEGATIVE_INFINITY, ()),
        # Both at once cannot be believed.
        (
            "0A 0700 EA07 0B 16 07 0C 00 FF07 11 6000",
            Absent.NAN,
            ("result_too_high", "result_too_low", "measurement_failed"),
        ),
        ("02 0700 EA07 0B 16 07 0C 00 0008 11", Absent.NRES, ("measurement_failed",)),
    ],
)
def test_no_number(raw: str, absent: Absent, flags: tuple[str, ...]) -> None:
    value = measurement("2A18", raw)
    assert [sample.absent for sample in value.samples] == [absent]
    assert value.flags == flags


def test_a_record_without_a_result_has_failed() -> None:
    value = measurement("2A18", "08 0700 EA07 0B 16 07 0C 00 0880")
    assert value.samples == ()
    assert value.flags == ("strip_insertion_error", "unknown_status", "measurement_failed")


def test_a_number_beside_too_high_stays() -> None:
    value = measurement("2A18", "0A 0700 EA07 0B 16 07 0C 00 64B0 11 2000")
    assert value.samples[0].value == 5.551
    assert value.flags == ("result_too_high",)


@pytest.mark.parametrize(
    ("time", "offset", "flag"),
    [
        ("EA07 0B 16 07 0C 00", "FF7F", "time_offset_out_of_range"),
        ("EA07 0B 16 07 0C 00", "0080", "time_offset_out_of_range"),
        ("0000 0B 16 07 0C 00", "0100", "device_time_unknown"),
        ("EA07 02 1F 07 0C 00", "0100", "device_time_invalid"),
        ("0F27 0C 1F 17 3B 00", "0100", "device_time_invalid"),  # past the year 9999
    ],
)
def test_a_time_that_cannot_be_loses_no_value(time: str, offset: str, flag: str) -> None:
    value = measurement("2A18", f"03 0700 {time} {offset} 64B0 11")
    assert value.device_time is None
    assert value.flags == (flag,)
    assert value.samples[0].value == 5.551


# Context ----------------------------------------------------------------------------------------

# Fields of Nordic's GlucoseMeasurementContextDataCallbackTest "full", written by hand with
# exponents that fit and without its reserved extended flags.
CONTEXT = "FF 0300 00 03 32D0 04 12 3C00 32 04 0FD0 59F1"


def test_context() -> None:
    assert fields("2A34", CONTEXT) == {
        "sequence_number": 3,
        "carbohydrate": "dinner",
        "carbohydrate_amount": {
            "value": 50.0,
            "unit": "g",
            "absent": None,
            "as_sent": {"value": 0.05, "unit": "kg"},
        },
        "meal": "casual",
        "tester": "professional",
        "health": "minor_issues",
        "exercise_duration_s": 60,
        "exercise_intensity_percent": 50,
        "medication": "long_acting_insulin",
        "medication_amount": {
            "value": 15.0,
            "unit": "mL",
            "absent": None,
            "as_sent": {"value": 0.015, "unit": "L"},
        },
        "hba1c": {"value": 34.5, "unit": "%", "absent": None},
        "flags": [],
    }


def test_context_that_says_little() -> None:
    assert fields("2A34", "00 0100") == {"sequence_number": 1, "flags": []}
    mass = fields("2A34", "10 0100 01 0CA0")
    assert mass["medication_amount"] == {
        "value": 12.0,
        "unit": "mg",
        "absent": None,
        "as_sent": {"value": 0.000012, "unit": "kg"},
    }


def test_context_that_cannot_be_named() -> None:
    got = fields("2A34", "1F 0100 00 FF07 06 64 FFFF 00 00 0000")
    assert got["flags"] == [
        "unknown_carbohydrate",
        "unknown_meal",
        "unknown_tester",
        "unknown_health",
        "exercise_duration_overrun",
        "unknown_medication",
    ]
    assert got["carbohydrate"] is None
    assert got["carbohydrate_amount"] == {"value": None, "unit": "g", "absent": "nan"}
    assert got["exercise_duration_s"] is None


def test_reserved_extended_flags() -> None:
    # Nordic ignores 0xB3 here; a field we do not know may follow, so we do not.
    assert reason("2A34", "80 0000 B3") == "reserved_flags"


# Features ---------------------------------------------------------------------------------------


def test_features() -> None:
    # Nordic Android-BLE-Library, GlucoseFeatureDataCallbackTest.
    assert fields("2A51", "F003") == {
        "features": list(glucose_feature.FEATURES.values())[4:10],
    }
    assert fields("2A51", "0108") == {"features": ["low_battery_detection", "unknown_feature"]}
    assert glucose_feature.encode(0x03F0) == bytes.fromhex("F003")


# Lengths, flags, encoders -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uuid", "raw"),
    [
        ("2A18", NORDIC),
        ("2A18", MASS),
        ("2A18", MOLES),
        ("2A34", CONTEXT),
        ("2A34", "00 0100"),
        ("2A51", "F003"),
    ],
)
def test_every_other_length_is_refused(uuid: str, raw: str) -> None:
    refuses_every_other_length(uuid, raw)


def test_nordic_calls_this_invalid_too() -> None:
    assert reason("2A18", "1B 0000 E207 04 1A 0B 09 1E 1E00 12 0501") == "truncated"


def test_every_combination_of_flags() -> None:
    sizes = {0: 2, 1: 3, 3: 2}

    def build(flags: int) -> bytes:
        rest = sum(size for bit, size in sizes.items() if flags >> bit & 1)
        return bytes((flags,)) + bytes(9 + rest)

    reads_only_its_flags("2A18", build, 1, 0b11111)


def test_every_combination_of_context_flags() -> None:
    sizes = {0: 3, 1: 1, 2: 1, 3: 3, 4: 3, 6: 2, 7: 1}

    def build(flags: int) -> bytes:
        rest = sum(size for bit, size in sizes.items() if flags >> bit & 1)
        return bytes((flags,)) + bytes(2 + rest)

    reads_only_its_flags("2A34", build, 1, 0xFF)


def test_known_bytes_encoded() -> None:
    moment = datetime.fromisoformat("2026-11-22T07:12:00")
    # 100e-5 is written as 1e-3, the same number.
    mass = Glucose(7, moment, 0.001, sample_type="capillary_whole_blood")
    assert glucose.encode(mass) == bytes.fromhex("02 0700 EA07 0B 16 07 0C 00 01D0 11")
    moles = Glucose(8, moment, 0.0055, True, "capillary_whole_blood", time_offset_min=60)
    assert glucose.encode(moles) == bytes.fromhex(MOLES)
    failed = Glucose(1, None, status=1 << 3, context_follows=True)
    assert glucose.encode(failed) == bytes.fromhex("18 0100 0000 00 00 00 00 00 0800")
    around = GlucoseContext(3, (3, 0.05), 4, (2, 1), (60, 50), (4, 0.015), True, 34.5)
    assert glucose_context.encode(around) == bytes.fromhex(
        "7F 0300 03 05E0 04 12 3C00 32 04 0FD0 59F1"
    )
    assert glucose_context.encode(GlucoseContext(1)) == bytes.fromhex("00 0100")


@given(
    st.integers(0, 0xFFFF),
    st.integers(-0x7FFF, 0x7FFE),
    st.integers(10, 600),
    st.booleans(),
    st.sampled_from(sorted(TYPES.values())),
    st.sampled_from(sorted(LOCATIONS.values())),
)
def test_there_and_back(
    number: int, offset_min: int, tenths: int, in_moles: bool, sample_type: str, place: str
) -> None:
    concentration = tenths / (10_000 if in_moles else 100_000)
    sent = Glucose(
        number,
        datetime.fromisoformat("2026-11-22T07:12:00"),
        concentration,
        in_moles,
        sample_type,
        place,
        offset_min,
    )
    got = glucose.decode(glucose.encode(sent))
    assert got.sequence_number == number
    assert got.samples[0].as_sent == AsSent(concentration, "mol/L" if in_moles else "kg/L")
    assert (got.context["sample_type"], got.context["sample_location"]) == (sample_type, place)
