"""Encoders: against bytes from elsewhere first, then there and back with every field."""

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from devices.gatt import (
    battery,
    blood_pressure,
    current_time,
    date_time,
    plx,
    temperature,
    weight,
)
from devices.measurement import Absent

TIMES = st.none() | st.datetimes(
    datetime.fromisoformat("1582-01-01"), datetime.fromisoformat("9999-12-31")
).map(lambda time: time.replace(microsecond=0))
WHOLE = st.integers(0, 300) | st.sampled_from(Absent)
USERS = st.none() | st.integers(0, 254)


def value_of(number: float | Absent | None) -> float | None:
    return None if number is None or isinstance(number, Absent) else float(number)


def test_known_bytes() -> None:
    # The same vectors, by hand or from elsewhere, as in test_gatt.
    cuff = blood_pressure.BloodPressure(
        128,
        82,
        99,
        time=datetime.fromisoformat("2026-11-22T07:12:00"),
        pulse_bpm=72,
        user=1,
        status=blood_pressure.IRREGULAR_PULSE,
    )
    expected = bytes.fromhex("1E800052006300EA070B16070C004800010400")
    assert blood_pressure.encode(cuff) == expected
    assert temperature.encode(temperature.Temperature(27.21)) == bytes.fromhex("00A10A00FE")
    scale = weight.Weight(
        79.6, time=datetime.fromisoformat("2026-11-22T07:12:00"), user=2, bmi=25, height=1.7
    )
    assert weight.encode(scale) == bytes.fromhex("0E303EEA070B16070C0002FA00A406")
    pounds = weight.Weight(175.5, is_imperial=True, bmi=25, height=66.9)
    assert weight.encode(pounds) == bytes.fromhex("098E44FA009D02")
    assert weight.encode(weight.Weight(Absent.NAN)) == bytes.fromhex("00FFFF")
    assert plx.encode(plx.SpotCheck(97, 72)) == bytes.fromhex("0061004800")
    assert battery.encode(100) == b"\x64"
    assert date_time.encode(None) == bytes(7)
    moment = datetime.fromisoformat("2026-11-22T07:12:00.500000")
    raw = bytes.fromhex("EA070B16070C0007800A")
    assert current_time.encode(moment, adjust_reason=0b1010) == raw
    assert current_time.read(raw) == moment


@given(WHOLE, WHOLE, WHOLE, TIMES, st.none() | WHOLE, USERS, st.none() | st.integers(0, 0x3F))
def test_blood_pressure_there_and_back(
    systolic: float | Absent,
    diastolic: float | Absent,
    mean: float | Absent,
    time: datetime | None,
    pulse: float | Absent | None,
    user: int | None,
    status: int | None,
) -> None:
    sent = blood_pressure.BloodPressure(
        systolic, diastolic, mean, time=time, pulse_bpm=pulse, user=user, status=status
    )
    got = blood_pressure.decode(blood_pressure.encode(sent))
    numbers = [systolic, diastolic, mean] + ([] if pulse is None else [pulse])
    assert [s.value for s in got.samples] == [value_of(n) for n in numbers]
    assert got.device_time == time
    assert got.context == ({} if user is None else {"user_index": user})


def test_kilopascal_there_and_back() -> None:
    sent = blood_pressure.BloodPressure(16.0, 10.7, 12.4, in_kilopascal=True)
    got = blood_pressure.decode(blood_pressure.encode(sent))
    assert [s.as_sent.value for s in got.samples if s.as_sent] == [16.0, 10.7, 12.4]


@given(st.integers(300, 450), st.booleans(), TIMES, st.none() | st.sampled_from(temperature.SITES))
def test_temperature_there_and_back(
    tenths: int, in_fahrenheit: bool, time: datetime | None, site: str | None
) -> None:
    sent = temperature.Temperature(tenths / 10, in_fahrenheit, time, site)
    got = temperature.decode(temperature.encode(sent))
    sample = got.samples[0]
    assert (sample.as_sent.value if sample.as_sent else sample.value) == tenths / 10
    assert got.device_time == time
    assert got.context.get("site") == site


@given(st.integers(0, 0xFFFE), st.booleans(), TIMES, USERS)
def test_weight_there_and_back(
    steps: int, is_imperial: bool, time: datetime | None, user: int | None
) -> None:
    step = 0.01 if is_imperial else 0.005
    sent = weight.Weight(round(steps * step, 3), is_imperial, time, user)
    raw = weight.encode(sent)
    assert int.from_bytes(raw[1:3], "little") == steps
    assert weight.decode(raw).device_time == time


@given(
    WHOLE,
    WHOLE,
    TIMES,
    st.none() | st.integers(0, 0xFFFF),
    st.none() | st.integers(0, 0xFFFFFF),
    st.none() | WHOLE,
    st.booleans(),
)
def test_spot_check_there_and_back(
    spo2: float | Absent,
    pulse: float | Absent,
    time: datetime | None,
    status: int | None,
    sensor: int | None,
    amplitude: float | Absent | None,
    clock_not_set: bool,
) -> None:
    sent = plx.SpotCheck(spo2, pulse, time, status, sensor, amplitude, clock_not_set)
    got = plx.decode(plx.encode(sent))
    numbers = [spo2, pulse] + ([] if amplitude is None else [amplitude])
    assert [s.value for s in got.samples] == [value_of(n) for n in numbers]
    assert got.device_time == time
    assert ("device_clock_not_set" in got.flags) == clock_not_set


@given(TIMES)
def test_clock_there_and_back(time: datetime | None) -> None:
    assert date_time.read(date_time.encode(time)) == time
