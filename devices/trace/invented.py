"""Invented numbers in the place of a person's, in bytes of the same layout.

What makes a device's habit stays: which fields it sends, its unit, its status bits, what it could
not measure. A layout without an entry here becomes zeros of the same length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from devices.errors import DecodeError
from devices.gatt import (
    blood_pressure,
    glucose,
    heart_rate,
    plx,
    record_access,
    temperature,
    weight,
)
from devices.kinds import KINDS
from devices.measurement import Absent, Measurement

FIRST = datetime(2026, 1, 1, 8, 0)  # noqa: DTZ001 - a device has no zone
STEP = timedelta(minutes=7)
PERSON, NOBODY = 1, 0xFF
# As every device of its kind has them; the n-th value is a little higher.
_NUMBERS: Mapping[str, float] = MappingProxyType(
    {
        "systolic": 128,
        "diastolic": 82,
        "mean": 97,
        "pulse": 68,
        "temperature": 36.8,
        "weight": 74.2,
        "spo2": 97,
        "heart_rate": 68,
        "perfusion_index": 4.0,
    }
)
_SAID_BY_NOBODY = frozenset({record_access.CHARACTERISTIC, "2A19"})


def invented(uuid: str, raw: bytes, number: int) -> bytes:
    """Return what a device like this would have sent as its ``number``-th value."""
    if uuid in _SAID_BY_NOBODY:
        return raw
    make = _MAKERS.get(uuid)
    if make is None:
        return bytes(len(raw))
    try:
        return make(raw, number)
    except (DecodeError, ValueError, OverflowError):
        return bytes(len(raw))


def _pressure(raw: bytes, number: int) -> bytes:
    one, flags = blood_pressure.decode(raw), raw[0]
    is_metric = bool(flags & 1)

    def pressure(name: str) -> float | Absent:
        told = _told(one, name, number)
        return told if isinstance(told, Absent) or not is_metric else round(told / 7.5, 1)

    value = blood_pressure.BloodPressure(
        pressure("systolic"),
        pressure("diastolic"),
        pressure("mean"),
        in_kilopascal=is_metric,
        time=_time(number) if flags & 2 else None,
        pulse_bpm=_told(one, "pulse", number) if flags & 4 else None,
        user=_user(one) if flags & 8 else None,
        status=int.from_bytes(raw[-2:], "little") if flags & 16 else None,
    )
    return blood_pressure.encode(value)


def _temperature(raw: bytes, number: int) -> bytes:
    one, flags = temperature.decode(raw), raw[0]
    degrees = _told(one, "temperature", number)
    if flags & 1 and not isinstance(degrees, Absent):
        degrees = round(degrees * 9 / 5 + 32, 1)
    value = temperature.Temperature(
        degrees,
        in_fahrenheit=bool(flags & 1),
        time=_time(number) if flags & 2 else None,
    )
    made = temperature.encode(value)
    # The place where it was taken is the last byte, and says nothing of the person.
    return bytes((made[0] | flags & 4,)) + made[1:] + (raw[-1:] if flags & 4 else b"")


def _weight(raw: bytes, number: int) -> bytes:
    one, flags = weight.decode(raw), raw[0]
    is_imperial = bool(flags & 1)
    kilograms = _told(one, "weight", number)
    if is_imperial and not isinstance(kilograms, Absent):
        kilograms = round(kilograms * 2.2046, 1)
    value = weight.Weight(
        kilograms,
        is_imperial=is_imperial,
        time=_time(number) if flags & 2 else None,
        user=_user(one) if flags & 4 else None,
        bmi=24.5 if flags & 8 else None,
        height=(68.5 if is_imperial else 1.74) if flags & 8 else None,
    )
    return weight.encode(value)


def _spot_check(raw: bytes, number: int) -> bytes:
    one, flags = plx.decode(raw), raw[0]
    at = 5 + (7 if flags & 1 else 0)
    status = int.from_bytes(raw[at : at + 2], "little") if flags & 2 else None
    at += 2 if flags & 2 else 0
    sensor = int.from_bytes(raw[at : at + 3], "little") if flags & 4 else None
    value = plx.SpotCheck(
        _told(one, "spo2", 0),
        _told(one, "pulse", number),
        time=_time(number) if flags & 1 else None,
        status=status,
        sensor_status=sensor,
        amplitude_percent=_told(one, "perfusion_index", 0) if flags & 8 else None,
        clock_not_set=bool(flags & 16),
    )
    return plx.encode(value)


def _glucose(raw: bytes, number: int) -> bytes:
    one, flags = glucose.decode(raw), raw[0]
    in_moles, has_number = bool(flags & 4), bool(flags & 2)
    concentration: float | Absent | None = None
    if has_number:
        sample = one.samples[0]
        concentration = sample.absent or (0.0055 if in_moles else 0.00099)
    value = glucose.Glucose(
        number,
        _time(number),
        concentration=concentration,
        in_moles=in_moles,
        sample_type=str(one.context.get("sample_type", "capillary_plasma")),
        sample_location=str(one.context.get("sample_location", "finger")),
        time_offset_min=0 if flags & 1 else None,
        status=int.from_bytes(raw[-2:], "little") if flags & 8 else None,
        context_follows=bool(flags & 16),
    )
    return glucose.encode(value)


def _heart_rate(raw: bytes, number: int) -> bytes:
    one, flags = heart_rate.decode(raw), raw[0]
    count = one.context.get("rr_count", 0)
    value = heart_rate.HeartRate(
        int(_NUMBERS["heart_rate"] + number % 3),
        has_contact=bool(flags & 2) if flags & 4 else None,
        energy_kj=100 if flags & 8 else None,
        rr_1024ths_s=[900] * int(count),
    )
    made = heart_rate.encode(value)
    # A sensor that gives its rate two bytes does so whatever the rate.
    return bytes((made[0] | 1, made[1], 0)) + made[2:] if flags & 1 else made


_MAKERS: Mapping[str, Callable[[bytes, int], bytes]] = MappingProxyType(
    {
        "2A35": _pressure,
        "2A36": _pressure,
        "2A1C": _temperature,
        "2A9D": _weight,
        "2A5E": _spot_check,
        "2A18": _glucose,
        "2A37": _heart_rate,
    }
)


def _told(one: Measurement, name: str, number: int) -> float | Absent:
    """Return an invented number of that name, absent where the device had none either."""
    code = KINDS[one.kind].named(name).code
    sample = next((sample for sample in one.samples if sample.code == code), None)
    if sample is None or sample.absent is not None:
        return Absent.NAN if sample is None or sample.absent is None else sample.absent
    return _NUMBERS[name] + number % 5


def _time(number: int) -> datetime:
    return FIRST + STEP * number


def _user(one: Measurement) -> int:
    return PERSON if "user_index" in one.context else NOBODY
