"""Elapsed time and health observations.

"ST": the arrays in the GHS sensor application of STMicroelectronics' STM32Cube (ghs_app.c), which
name each byte; the segmentation header is that of its readme. Everything else by hand from the GATT
Specification Supplement (elapsed time) and the structures of Realtek's ghss header.
"""

from datetime import datetime

import pytest

from devices.gatt import elapsed_time
from devices.measurement import Absent, AsSent
from tests.devices.gatt.fix_values import (
    fields,
    measurement,
    measurements,
    reason,
    refuses_every_other_length,
)

# 0x292B9D72 = 690,724,210 s after 2000 = 7,994 days and 42,610 s: 2021-11-20T11:50:10 UTC.
ST_TIME = "22 729D2B290000 06 00"
ST_SPO2 = f"8B 01 1B00 6300 B84B0200 {ST_TIME} 01 01 3C4C0200 2002 62000000"
ST_PRESSURE = (
    f"03 07 3500 1300 044A0200 {ST_TIME} 40E20100 03 "
    "054A0200 01 200F 64000000 064A0200 01 200F 3C000000 074A0200 01 200F 50000000"
)
ST_BUNDLE = (
    f"03 FF 2F00 4200 {ST_TIME} 01 3C4C0200 02 "
    "01 0C00 0100 B84B0200 2002 62000000 01 0C00 0100 1A480200 A00A 62000000"
)


def test_elapsed_time_of_day() -> None:
    assert fields("2BF2", ST_TIME) == {
        "time": None,  # UTC without its offset is nobody's local time
        "utc": "2021-11-20T11:50:10Z",
        "ticks_us": None,
        "time_source": "cellular",
        "current_timeline": True,
    }
    # By hand: UTC and an offset of 4 quarters; local with an offset; local alone.
    utc = fields("2BF2", "32 729D2B290000 01 04")
    assert (utc["time"], utc["utc"]) == ("2021-11-20T12:50:10", "2021-11-20T11:50:10Z")
    local = fields("2BF2", "30 729D2B290000 04 FC")
    assert (local["time"], local["utc"]) == ("2021-11-20T11:50:10", "2021-11-20T12:50:10Z")
    alone = fields("2BF2", "00 729D2B290000 FF 04")
    assert (alone["time"], alone["utc"]) == ("2021-11-20T11:50:10", None)
    assert (alone["time_source"], alone["current_timeline"]) == (None, False)


@pytest.mark.parametrize(
    ("flags", "microseconds"), [(0, 1_000_000), (1, 100_000), (2, 1_000), (3, 100)]
)
def test_elapsed_ticks(flags: int, microseconds: int) -> None:
    got = fields("2BF2", f"{flags << 2 | 1:02X} 0A0000000000 00 00")
    assert got["ticks_us"] == 10 * microseconds
    assert (got["time"], got["utc"], got["time_source"]) == (None, None, None)


def test_elapsed_time_past_all_calendars() -> None:
    assert reason("2BF2", "00 FFFFFFFFFFFF 00 00") == "invalid_time"
    # Ticks of 100 microseconds keep 48 bits within reach: 325,781 days and 19,271.0655 s.
    assert fields("2BF2", "0C FFFFFFFFFFFF 00 00")["time"] == "2891-12-16T05:21:11.065500"
    # UTC just before the year 10,000, an hour behind local time.
    near = datetime.fromisoformat("9999-12-31T23:59:59") - datetime.fromisoformat("2000-01-01")
    seconds = int(near.total_seconds()).to_bytes(6, "little").hex()
    assert reason("2BF2", f"12 {seconds} 00 04") == "invalid_time"
    refuses_every_other_length("2BF2", ST_TIME)
    for flags in range(64, 256):
        assert reason("2BF2", bytes((flags,)) + bytes(8)) == "reserved_flags"


def test_a_number() -> None:
    spo2 = measurement("2B8B", ST_SPO2)
    assert spo2.kind == "pulse_oximetry"
    assert [(one.code, one.value, one.unit) for one in spo2.samples] == [("150456", 98.0, "%")]
    assert spo2.device_time is None
    assert spo2.flags == ("device_time_unknown",)
    assert spo2.context == {
        "time_source": "cellular",
        "utc": "2021-11-20T11:50:10Z",
        "user_index": 1,
        "supplemental": "150588",
    }
    assert spo2.sequence_number is None


def test_a_stored_number_has_its_record_number() -> None:
    stored = measurement("2BDD", ST_SPO2.replace("8B ", "03 07000000 "))
    assert stored.sequence_number == 7
    assert stored.samples[0].value == 98.0


def test_a_compound() -> None:
    pressure = measurement("2B8B", ST_PRESSURE)
    assert pressure.kind == "blood_pressure"
    assert [(one.code, one.value, one.unit) for one in pressure.samples] == [
        ("150021", 100.0, "mm[Hg]"),
        ("150022", 60.0, "mm[Hg]"),
        ("150023", 80.0, "mm[Hg]"),
    ]
    assert pressure.context["observation_id"] == 123456


def test_a_bundle() -> None:
    spo2, pulse = measurements("2B8B", ST_BUNDLE)
    assert [one.samples[0].code for one in (spo2, pulse)] == ["150456", "149530"]
    for one in (spo2, pulse):
        assert one.samples[0].value == 98.0
        assert one.context["utc"] == "2021-11-20T11:50:10Z"
        assert one.context["supplemental"] == "150588"


def number(
    flags: str = "0100", before: str = "", unit: str = "A017", value: str = "700100FF"
) -> str:
    """Return a live body temperature of 36.8 °C, by hand, or what is asked for in its place."""
    body = bytes.fromhex(f"{flags} 5C4B0200 {before} {unit} {value}")
    return (bytes.fromhex("03 01") + len(body).to_bytes(2, "little") + body).hex()


def test_local_time_is_the_devices_claim() -> None:
    local = measurement("2B8B", number("0300", "20 729D2B290000 04 00"))
    assert local.samples[0].value == 36.8
    assert local.device_time == datetime.fromisoformat("2021-11-20T11:50:10")
    assert local.flags == ()
    assert local.context == {"time_source": "manual"}
    utc = measurement("2B8B", number("0300", "32 729D2B290000 01 04"))
    assert utc.device_time == datetime.fromisoformat("2021-11-20T12:50:10")


@pytest.mark.parametrize(
    ("stamp", "flag"),
    [
        ("00 729D2B290000 04 00", "other_timeline"),
        ("21 729D2B290000 04 00", "device_time_unknown"),
        ("20 FFFFFFFFFFFF 04 00", "device_time_invalid"),
    ],
)
def test_a_time_that_says_nothing_loses_no_value(stamp: str, flag: str) -> None:
    value = measurement("2B8B", number("0300", stamp))
    assert value.device_time is None
    assert value.flags == (flag,)
    assert value.samples[0].value == 36.8


def test_reserved_flags_of_a_time_are_refused() -> None:
    assert reason("2B8B", number("0300", "60 729D2B290000 04 00")) == "reserved_flags"


def test_everything_around_a_number() -> None:
    # Duration 10 s, questionable and early with a reserved bit, ID 5, patient 255, two lists.
    raw = number("BD01", "0A000000 2201 05000000 FF 01 07000000 02 08000000 09000000")
    value = measurement("2B8B", raw)
    assert value.context == {
        "measurement_duration_s": 10.0,
        "observation_id": 5,
        "derived_from": "7",
        "member_of": "8 9",
    }
    assert value.flags == ("questionable_measurement", "early_estimate", "unknown_status")
    unsure = measurement("2B8B", number("0500", "FFFF7F00"))
    assert unsure.context == {"measurement_duration_s": "nan"}


def test_long_lists_fit_an_item() -> None:
    raw = number("4100", "FF" + "FFFFFFFF" * 60)
    assert reason("2B8B", raw) == "truncated"
    listed = measurement("2B8B", number("4100", "64" + "FFFFFFFF" * 100)).context["supplemental"]
    assert isinstance(listed, str)
    assert len(listed) <= 200


def test_units() -> None:
    warm = measurement("2B8B", number(unit="4011", value="D20300FF"))
    assert warm.samples[0].value == 36.56
    assert warm.samples[0].as_sent == AsSent(97.8, "[degF]")
    missing = measurement("2B8B", number(value="FFFF7F00"))
    assert missing.samples[0].absent is Absent.NAN
    assert missing.flags == ("measurement_failed",)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (ST_SPO2.replace("8B ", "01 "), "segmented"),
        (ST_SPO2.replace("8B ", "02 "), "segmented"),
        (ST_SPO2.replace("8B ", "00 "), "segmented"),
        # ST: a string, a sample array, a status; real, but not in the catalogue.
        ("03 03 0700 0000 0300 4D616E", "unsupported_observation"),
        ("03 04 0200 0000", "unsupported_observation"),
        (
            "03 05 1400 8100 F0558000 01 40E20100 02 F0000300 AE010300",
            "unsupported_observation",
        ),
        ("03 08 0300 0000 00", "unsupported_observation"),
        ("03 FF 0300 0000 00", "unsupported_observation"),  # a bundle of nothing
        ("03 07 0300 0000 00", "unsupported_observation"),  # a compound of nothing
        ("03 01 0800 0000 2002 62000000", "unsupported_observation"),  # a number of nothing
        ("03 01 0C00 0100 FFFFFFFF 2002 62000000", "unsupported_observation"),
        (number(unit="2002"), "unsupported_observation"),
        (number(unit="FFFF"), "unsupported_observation"),
        (number("0102", "00"), "unsupported_observation"),  # attributes, layout not verified
        (number("0104"), "reserved_flags"),
        (
            "03 07 0C00 0000 02 B84B0200 02 2002 6200",
            "unsupported_observation",
        ),
        # SpO2 and temperature in one; systolic twice.
        (
            "03 07 1900 0000 02 B84B0200 01 2002 62000000 5C4B0200 01 A017 25000000",
            "unsupported_observation",
        ),
        (
            "03 07 1900 0000 02 054A0200 01 200F 64000000 054A0200 01 200F 64000000",
            "unsupported_observation",
        ),
        ("03 01 0D00 0100 5C4B0200 A017 700100FF 00", "trailing_bytes"),
        ("03 01 0B00 0100 5C4B0200 A017 700100", "truncated"),
        ("03 01 0C00 0100 5C4B0200 A017 700100FF 00", "trailing_bytes"),
    ],
)
def test_refused_as_a_whole(raw: str, why: str) -> None:
    assert reason("2B8B", raw) == why


@pytest.mark.parametrize(
    ("uuid", "raw"),
    [
        ("2B8B", ST_SPO2),
        ("2B8B", ST_PRESSURE),
        ("2B8B", ST_BUNDLE),
        ("2BDD", ST_SPO2.replace("8B ", "03 07000000 ")),
    ],
)
def test_every_other_length_is_refused(uuid: str, raw: str) -> None:
    refuses_every_other_length(uuid, raw)


def test_time_sources_are_those_of_the_supplement() -> None:
    assert sorted(elapsed_time.SOURCES) == list(range(8))
