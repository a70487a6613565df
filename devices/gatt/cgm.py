"""CGM Measurement (0x2AA7; Continuous Glucose Monitoring Service 1.0.2, section 3.1).

One value holds one or more records, each beginning with its own size: flags, concentration (mg/dL,
SFLOAT), minutes since the session began, then annunciation octets, trend, quality and perhaps an
E2E-CRC. The start of the session stands in another characteristic, so a record has no device time
of its own: the minutes stand in the context. They begin anew in each session and are therefore no
sequence number either; two equal records of two sessions are two measurements. Each measurement has
the bytes of its own record, a whole value by themselves: a sensor packs its memory as it likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from devices.errors import DecodeError
from devices.gatt.e2e_crc import take_crc, with_crc
from devices.gatt.glucose_sample import beyond_range, has_failed
from devices.gatt.reading import (
    MILLIGRAM_PER_DECILITRE,
    Reader,
    Reading,
    Unit,
    bit_names,
    sample,
)
from devices.kinds import KINDS
from devices.measurement import Absent, Measurement
from devices.medfloat import encode_sfloat

CHARACTERISTIC = "2AA7"
SHORTEST = 6
TREND = Unit("mg/dL/min", MILLIGRAM_PER_DECILITRE.times, Decimal(0), 4)
_KIND = KINDS["cgm"]
_TREND, _QUALITY = 1 << 0, 1 << 1
_OCTETS = (1 << 7, 1 << 6, 1 << 5)  # status, calibration and temperature, warning

STATUS = {
    0: "session_stopped",
    1: "device_battery_low",
    2: "sensor_type_incorrect",
    3: "sensor_malfunction",
    4: "device_specific_alert",
    5: "general_device_fault",
    8: "time_synchronisation_required",
    9: "calibration_not_allowed",
    10: "calibration_recommended",
    11: "calibration_required",
    12: "temperature_too_high",
    13: "temperature_too_low",
    16: "below_patient_low",
    17: "above_patient_high",
    18: "below_hypo",
    19: "above_hyper",
    20: "rate_of_decrease_exceeded",
    21: "rate_of_increase_exceeded",
    22: "result_too_low",
    23: "result_too_high",
}
"""Flags by bit of the sensor status annunciation; the other bits are reserved."""


@dataclass(frozen=True, slots=True)
class CgmRecord:
    """One record, as a sensor says it. None leaves an optional field out.

    ``status`` has 24 bits; each of its octets is sent where a bit in it is set.
    """

    concentration_mg_dl: float | Absent
    time_offset_min: int
    status: int = 0
    trend_mg_dl_min: float | Absent | None = None
    quality_percent: float | Absent | None = None
    has_crc: bool = False


def decode(raw: bytes) -> Reading:
    """Return the records in ``raw``; DecodeError where one of them cannot be read."""
    reader = Reader(raw)
    records = [_take_record(reader)]
    while reader.left:
        records.append(_take_record(reader))
    return Reading(tuple(records))


def encode(records: Sequence[CgmRecord]) -> bytes:
    """Return the bytes a sensor would send for ``records``; ValueError where one does not fit."""
    return b"".join(_encode_record(record) for record in records)


def _take_record(outer: Reader) -> Measurement:
    size = outer.unsigned(1, "size")
    if size < SHORTEST:
        raise DecodeError("bad_size", f"a record says it has {size} bytes; at least {SHORTEST}")
    raw = bytes((size,)) + outer.take(size - 1, "record")
    reader = Reader(raw)
    reader.take(1, "size")
    flags = reader.flags(known=0b11100011)
    concentration = reader.sfloat("glucose concentration")
    context: dict[str, str | int | float] = {"time_offset_min": reader.unsigned(2, "time offset")}
    octets = bytes(reader.unsigned(1, "status octet") if flags & bit else 0 for bit in _OCTETS)
    if flags & _TREND:
        trend = reader.sfloat("trend")
        context["trend_mmol_l_min"] = (
            TREND.convert(trend) if isinstance(trend, Decimal) else trend.value
        )
    if flags & _QUALITY:
        quality = reader.sfloat("quality")
        context["quality_percent"] = (
            float(quality) if isinstance(quality, Decimal) else quality.value
        )
    take_crc(reader)
    notes = list(bit_names(int.from_bytes(octets, "little"), STATUS))
    result = beyond_range(
        concentration, is_high="result_too_high" in notes, is_low="result_too_low" in notes
    )
    assert result is not None, "a record always has the field"
    if has_failed(result):
        notes.append("measurement_failed")
    return Measurement(
        _KIND.name,
        (sample(_KIND.named("glucose"), result, MILLIGRAM_PER_DECILITRE),),
        CHARACTERISTIC,
        raw,
        flags=tuple(notes),
        context=context,
    )


def _encode_record(record: CgmRecord) -> bytes:
    flags = 0
    body = encode_sfloat(record.concentration_mg_dl).to_bytes(2, "little")
    body += record.time_offset_min.to_bytes(2, "little")
    for bit, octet in zip(_OCTETS, record.status.to_bytes(3, "little"), strict=True):
        if octet:
            flags |= bit
            body += bytes((octet,))
    if record.trend_mg_dl_min is not None:
        flags |= _TREND
        body += encode_sfloat(record.trend_mg_dl_min).to_bytes(2, "little")
    if record.quality_percent is not None:
        flags |= _QUALITY
        body += encode_sfloat(record.quality_percent).to_bytes(2, "little")
    size = 2 + len(body) + (2 if record.has_crc else 0)
    whole = bytes((size, flags)) + body
    return with_crc(whole) if record.has_crc else whole
