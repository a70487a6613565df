"""TaiDoc's frames, and records of three of them.

The questions are those that public programs send, byte for byte; the answers are made by hand from
the layouts that devices/gatt/taidoc.py names, sums included.
"""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import gatt
from devices.errors import DecodeError
from devices.gatt import taidoc, taidoc_record
from devices.gatt.taidoc import CHARACTERISTIC, Command, Frame
from tests.devices.gatt.fix_values import fields, measurement, reason, values

# advmeds-bluetooth-lib, TaiDoc*Variable.java and ForaD40bVariable.java; Ultron-esp32BLE, foraBP.c;
# TransafeRx.iOS, Fora_TNG_BP_Commands.swift.
QUESTIONS = {
    Command.RECORD_VALUE: "51 26 00 00 00 00 A3 1A",
    Command.RECORD_TIME: "51 25 00 00 00 00 A3 19",
    Command.RECORD_COUNT: "51 2B 00 00 00 00 A3 1F",
    Command.MODEL: "51 24 00 00 00 00 A3 18",
    Command.TURN_OFF: "51 50 00 00 00 00 A3 44",
    Command.READY: "51 54 00 00 00 00 A3 48",
}
CUFF = "51 24 28 31 00 00 A5 73"  # TD-3128
DUO = "51 24 61 32 00 00 A5 AD"  # TD-3261
THERMOMETER = "51 24 41 12 00 00 A5 6D"  # TD-1241
METER = "51 24 77 42 00 00 A5 D3"  # TD-4277
OXIMETER = "51 24 55 82 00 00 A5 F1"  # TD-8255
NOON = "51 25 CF 30 1E 0C A5 44"  # 15 June 2024, 12:30
PRESSURE = "51 26 80 64 52 46 A5 98"  # 128, 100, 82, 70
FEVER = "51 26 81 01 F0 00 A5 8E"  # 385 tenths
SUGAR = "51 26 68 00 00 40 A5 C4"  # 104, before a meal


def record(model: str, stamp: str, value: str) -> str:
    return (bytes.fromhex(model) + bytes.fromhex(stamp) + bytes.fromhex(value)).hex()


def stamped(minute: int, hour: int) -> str:
    """Return NOON's answer with other bytes for minute and hour."""
    head = bytes.fromhex("5125CF30") + bytes((minute, hour, 0xA5))
    return (head + bytes((sum(head) & 0xFF,))).hex()


def valued(*body: int) -> str:
    head = bytes.fromhex("5126") + bytes(body) + b"\xa5"
    return (head + bytes((sum(head) & 0xFF,))).hex()


@pytest.mark.parametrize(("command", "raw"), QUESTIONS.items())
def test_questions_are_those_that_others_send(command: Command, raw: str) -> None:
    assert taidoc.encode_frame(Frame(command)) == bytes.fromhex(raw)
    assert fields(CHARACTERISTIC, raw) == {
        "command": command.name.lower(),
        "command_code": command.value,
        "is_answer": False,
        "body": "00000000",
    }


def test_a_frame_is_no_measurement_whatever_it_says() -> None:
    assert fields(CHARACTERISTIC, CUFF)["model"] == "3128"
    assert fields(CHARACTERISTIC, NOON)["record_time"] == "2024-06-15T12:30:00"
    assert fields(CHARACTERISTIC, "51 23 CF 30 1E 0C A5 42")["time"] == "2024-06-15T12:30:00"
    assert fields(CHARACTERISTIC, "51 33 CF 30 1E 0C A5 52")["set_to"] == "2024-06-15T12:30:00"
    assert fields(CHARACTERISTIC, "51 2B 2C 01 00 00 A5 4E")["count"] == 300
    assert "record_time" not in fields(CHARACTERISTIC, PRESSURE)
    unknown = fields(CHARACTERISTIC, "51 99 00 00 00 00 A5 8F")
    assert (unknown["command"], unknown["command_code"]) == (None, 0x99)


def test_pressure_of_a_cuff() -> None:
    one = measurement(CHARACTERISTIC, record(CUFF, NOON, PRESSURE))
    assert one.kind == "blood_pressure"
    assert {sample.code: sample.value for sample in one.samples} == {
        "150021": 128.0,
        "150022": 82.0,
        "150023": 100.0,
        "149546": 70.0,
    }
    assert one.device_time == datetime(2024, 6, 15, 12, 30)  # noqa: DTZ001 - a device's
    assert (one.flags, one.context, one.sequence_number) == ((), {}, None)


@pytest.mark.parametrize(
    ("minute", "hour", "flags", "context"),
    [
        (0x1E | 0x40, 0x0C, ("irregular_pulse",), {}),
        (0x1E, 0x0C | 0x20, (), {}),  # a fast or slow pulse: the number says so
        (0x1E, 0x0C | 0x40, ("irregular_pulse",), {}),
        (0x1E, 0x0C | 0x60, ("irregular_pulse",), {}),  # no name for it: that is a diagnosis
        (0x1E, 0x0C | 0x80, (), {"average": "yes"}),
        (0x1E | 0xC0, 0x0C | 0xE0, ("irregular_pulse",), {"average": "yes"}),
    ],
)
def test_bits_beside_the_time_of_a_pressure(
    minute: int, hour: int, flags: tuple[str, ...], context: dict[str, str]
) -> None:
    one = measurement(CHARACTERISTIC, record(CUFF, stamped(minute, hour), PRESSURE))
    assert (one.flags, dict(one.context)) == (flags, context)
    assert str(one.device_time) == "2024-06-15 12:30:00"


@pytest.mark.parametrize("body", [(0, 100, 82, 70), (128, 100, 82, 0), (128, 100, 82, 3)])
def test_a_pressure_that_failed_has_no_numbers(body: tuple[int, ...]) -> None:
    one = measurement(CHARACTERISTIC, record(CUFF, NOON, valued(*body)))
    assert one.flags == ("measurement_failed",)
    assert [sample.value for sample in one.samples] == [None] * 4


def test_a_mean_of_zero_is_absent_and_the_rest_stands() -> None:
    got = values(CHARACTERISTIC, record(CUFF, NOON, valued(128, 0, 82, 70)))
    assert got == {"150021": 128.0, "150022": 82.0, "150023": None, "149546": 70.0}


def test_a_cuff_with_glucose_meter_says_which_it_was() -> None:
    pressure = record(DUO, stamped(0x1E | 0x80, 0x0C), valued(0x04, 0x01, 82, 70))
    assert values(CHARACTERISTIC, pressure) == {"150021": 260.0, "150022": 82.0, "149546": 70.0}
    glucose = measurement(CHARACTERISTIC, record(DUO, NOON, SUGAR))
    assert glucose.kind == "glucose"


def test_glucose_is_in_mg_dl_whatever_the_display_shows() -> None:
    one = measurement(CHARACTERISTIC, record(METER, NOON, SUGAR))
    (sample,) = one.samples
    assert sample.as_sent is not None
    assert (sample.as_sent.value, sample.as_sent.unit) == (104.0, "mg/dL")
    assert (sample.code, sample.unit, sample.value) == ("160184", "mmol/L", 5.773)
    assert dict(one.context) == {"meal": "before_meal"}


@pytest.mark.parametrize(
    ("last", "flags", "context"),
    [
        (0x00, (), {}),
        (0x80, (), {"meal": "after_meal"}),
        (0xC0, ("control_solution",), {}),
        (0x03, (), {}),  # the strip's code, which says nothing of the value
    ],
)
def test_what_stands_beside_a_glucose(
    last: int, flags: tuple[str, ...], context: dict[str, str]
) -> None:
    one = measurement(CHARACTERISTIC, record(METER, NOON, valued(104, 0, 7, last)))
    assert (one.flags, dict(one.context)) == (flags, context)


def test_a_glucose_that_failed_has_no_number() -> None:
    one = measurement(CHARACTERISTIC, record(METER, NOON, valued(0xFF, 0xFF, 0, 0)))
    assert (one.flags, one.samples[0].value) == (("measurement_failed",), None)


@pytest.mark.parametrize(
    ("mg_dl", "flags"),
    [
        (600, ()),
        (601, ("result_too_high",)),
        (20, ()),
        (19, ("result_too_low",)),
        (0, ("result_too_low",)),
    ],
)
def test_hi_and_lo_keep_their_numbers_so_that_they_alarm(
    mg_dl: int, flags: tuple[str, ...]
) -> None:
    body = (*mg_dl.to_bytes(2, "little"), 0, 0)
    one = measurement(CHARACTERISTIC, record(METER, NOON, valued(*body)))
    (sample,) = one.samples
    assert sample.as_sent is not None
    assert (sample.as_sent.value, one.flags) == (mg_dl, flags)


def test_a_meter_for_several_strips_tells_only_glucose() -> None:
    many = "51 24 16 42 00 00 A5 72"  # TD-4216
    assert measurement(CHARACTERISTIC, record(many, NOON, SUGAR)).kind == "glucose"
    ketones = record(many, NOON, valued(30, 0, 0, 7 << 2))
    assert reason(CHARACTERISTIC, ketones) == "unsupported_observation"


@pytest.mark.parametrize(
    ("word", "celsius"), [(385, 38.5), (364, 36.4), (3660, 36.6), (2999, 299.9), (0, None)]
)
def test_temperature_in_tenths_or_hundredths(word: int, celsius: float | None) -> None:
    body = (*word.to_bytes(2, "little"), 0, 0)
    got = values(CHARACTERISTIC, record(THERMOMETER, NOON, valued(*body)))
    assert got == {"150364": celsius}


@pytest.mark.parametrize(
    ("minute_bits", "hour_bits", "context", "flags"),
    [
        (0, 0, {"site": "ear"}, ()),
        (1, 0, {"site": "forehead"}, ()),
        (2, 0, {"site": "rectum"}, ()),
        (3, 0, {"site": "armpit"}, ()),
        (2, 1, {}, ("unknown_site",)),  # a child's
        (3, 1, {}, ("unknown_site",)),
    ],
)
def test_where_a_temperature_was_taken(
    minute_bits: int, hour_bits: int, context: dict[str, str], flags: tuple[str, ...]
) -> None:
    stamp = stamped(minute_bits << 6 | 0x1E, hour_bits << 5 | 0x0C)
    one = measurement(CHARACTERISTIC, record(THERMOMETER, stamp, FEVER))
    assert (dict(one.context), one.flags) == (context, flags)


@pytest.mark.parametrize(("minute_bits", "what"), [(0, "object_surface"), (1, "room")])
def test_a_room_has_no_body_temperature(minute_bits: int, what: str) -> None:
    stamp = stamped(minute_bits << 6 | 0x1E, 0x20 | 0x0C)
    got = fields(CHARACTERISTIC, record(THERMOMETER, stamp, FEVER))
    assert got == {"temperature_of": what, "value": 38.5, "unit": "Cel"}


def test_a_thermometer_that_says_fahrenheit_is_refused() -> None:
    raw = record(THERMOMETER, stamped(0x1E, 0x80 | 0x0C), FEVER)
    assert reason(CHARACTERISTIC, raw) == "unsupported_unit"


@pytest.mark.parametrize(
    ("stamp", "doubt"),
    [
        ("51 25 00 00 00 00 A5 1B", "device_time_unknown"),
        ("51 25 5F 30 1E 0C A5 D4", "device_time_invalid"),  # 31 February
        ("51 25 CF 30 3C 0C A5 62", "device_time_invalid"),  # minute 60
        ("51 25 CF 30 1E 18 A5 50", "device_time_invalid"),  # hour 24
    ],
)
def test_a_time_that_cannot_be_does_not_lose_the_value(stamp: str, doubt: str) -> None:
    one = measurement(CHARACTERISTIC, record(CUFF, stamp, PRESSURE))
    assert (one.device_time, one.flags) == (None, (doubt,))
    assert one.samples[0].value == 128.0


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("", "truncated"),
        ("51 24 28 31 00 00 A5", "truncated"),
        (CUFF + "00", "truncated"),
        (record(CUFF, NOON, PRESSURE) + "00", "trailing_bytes"),
        (record(CUFF, NOON, PRESSURE)[:-2], "truncated"),
        ("51 24 28 31 00 00 A5 74", "bad_crc"),
        ("50 24 28 31 00 00 A5 72", "reserved_value"),
        ("51 24 28 31 00 00 A4 72", "reserved_value"),
        (record(NOON, CUFF, PRESSURE), "reserved_value"),
        (record("51 24 28 31 00 00 A3 71", NOON, PRESSURE), "reserved_value"),
        (record(OXIMETER, NOON, PRESSURE), "unknown_model"),
    ],
)
def test_what_is_refused(raw: str, why: str) -> None:
    assert reason(CHARACTERISTIC, raw) == why


@given(st.integers(0, 191), st.sampled_from([CUFF, DUO, THERMOMETER, METER]))
def test_a_turned_bit_never_makes_another_value(bit: int, model: str) -> None:
    """A sum finds every single turned bit, so a record with one is refused."""
    raw = bytearray(bytes.fromhex(record(model, NOON, PRESSURE)))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DecodeError):
        gatt.decode(CHARACTERISTIC, bytes(raw))


@given(st.integers(0, 23))
def test_every_shorter_length_is_refused_or_a_frame(length: int) -> None:
    raw = bytes.fromhex(record(CUFF, NOON, PRESSURE))[:length]
    if length == taidoc.FRAME_BYTES:
        assert isinstance(gatt.decode(CHARACTERISTIC, raw), gatt.Fields)
    else:
        assert reason(CHARACTERISTIC, raw) == "truncated"


TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2127, 12, 31))  # noqa: DTZ001 - a device's


@given(TIMES, st.integers(0, 3), st.integers(0, 7))
def test_times_come_back_to_the_minute(time: datetime, minute_bits: int, hour_bits: int) -> None:
    stamp = taidoc.read_stamp(taidoc.encode_stamp(time, minute_bits, hour_bits))
    assert stamp.time == time.replace(second=0, microsecond=0)
    assert (stamp.minute_bits, stamp.hour_bits) == (minute_bits, hour_bits)


@given(st.sampled_from(sorted(taidoc_record.LAYOUTS)), st.binary(min_size=4, max_size=4), TIMES)
def test_every_value_of_a_known_model_reads_or_has_a_reason(
    model: str, value: bytes, time: datetime
) -> None:
    raw = taidoc_record.encode(model, taidoc.encode_stamp(time), value)
    is_glucose = model.startswith("4") or model == "3261"
    if is_glucose and value[3] >> 2 & 0xF:
        assert reason(CHARACTERISTIC, raw) == "unsupported_observation"
    else:
        assert isinstance(gatt.decode(CHARACTERISTIC, raw), gatt.Reading)


def test_a_body_has_four_bytes() -> None:
    with pytest.raises(ValueError, match="four bytes"):
        taidoc.encode_frame(Frame(Command.MODEL, b"123"))
