"""PLX Spot-Check Measurement (0x2A5E; Pulse Oximeter Service 1.0.1, section 3.2).

Flags (1 byte: time stamp, measurement status, sensor status, pulse amplitude, clock not set), SpO2
and pulse (SFLOAT each), then the optional fields. The pulse amplitude index is a percentage and
becomes the perfusion index. Every status bit becomes a flag; which of them an alarm must heed is
not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from devices.gatt import date_time
from devices.gatt.reading import Reader, bit_names
from devices.kinds import KINDS
from devices.measurement import Absent, Measurement
from devices.medfloat import encode_sfloat

CHARACTERISTIC = "2A5E"
_KIND = KINDS["pulse_oximetry"]
_TIME, _STATUS, _SENSOR, _AMPLITUDE, _CLOCK_NOT_SET = (1 << bit for bit in range(5))

MEASUREMENT_STATUS = {
    5: "measurement_ongoing",
    6: "early_estimate",
    7: "validated",
    8: "fully_qualified",
    9: "from_storage",
    10: "demonstration",
    11: "testing",
    12: "calibrating",
    13: "measurement_unavailable",
    14: "questionable_measurement",
    15: "invalid_measurement",
}
"""Flags by bit of the measurement status; bits 0 to 4 are reserved."""

SENSOR_STATUS = {
    0: "extended_display_update",
    1: "equipment_malfunction",
    2: "signal_irregularity",
    3: "inadequate_signal",
    4: "poor_signal",
    5: "low_perfusion",
    6: "erratic_signal",
    7: "nonpulsatile_signal",
    8: "questionable_pulse",
    9: "signal_analysis_ongoing",
    10: "sensor_interference",
    11: "sensor_unconnected_to_user",
    12: "unknown_sensor",
    13: "sensor_displaced",
    14: "sensor_malfunction",
    15: "sensor_disconnected",
}
"""Flags by bit of the device and sensor status; bits 16 to 23 are reserved."""


@dataclass(frozen=True, slots=True)
class SpotCheck:
    """What an oximeter says: SpO2 in per cent, pulse per minute, pulse amplitude index in per cent.

    None leaves an optional field out. ``status`` and ``sensor_status`` are the bit fields.
    """

    spo2_percent: float | Absent
    pulse_bpm: float | Absent
    time: datetime | None = None
    status: int | None = None
    sensor_status: int | None = None
    amplitude_percent: float | Absent | None = None
    clock_not_set: bool = False


def decode(raw: bytes) -> Measurement:
    """Return the spot-check in ``raw``; DecodeError where it cannot be read."""
    reader = Reader(raw)
    flags = reader.flags(known=0b11111)
    samples = [reader.sfloat_sample(_KIND.named(name)) for name in ("spo2", "pulse")]
    notes: list[str] = []
    if all(reading.value is None for reading in samples):
        notes.append("measurement_failed")
    time = None
    if flags & _TIME:
        time, doubts = date_time.take_stamp(reader)
        notes += doubts
    if flags & _STATUS:
        notes += bit_names(reader.unsigned(2, "measurement status"), MEASUREMENT_STATUS)
    if flags & _SENSOR:
        notes += bit_names(reader.unsigned(3, "sensor status"), SENSOR_STATUS)
    if flags & _AMPLITUDE:
        samples.append(reader.sfloat_sample(_KIND.named("perfusion_index")))
    if flags & _CLOCK_NOT_SET:
        notes.append("device_clock_not_set")
    reader.end()
    return Measurement(
        _KIND.name,
        tuple(samples),
        CHARACTERISTIC,
        raw,
        device_time=time,
        flags=tuple(dict.fromkeys(notes)),
    )


def encode(value: SpotCheck) -> bytes:
    """Return the bytes an oximeter would send for ``value``; ValueError where it does not fit."""
    flags = _CLOCK_NOT_SET if value.clock_not_set else 0
    body = encode_sfloat(value.spo2_percent).to_bytes(2, "little")
    body += encode_sfloat(value.pulse_bpm).to_bytes(2, "little")
    if value.time is not None:
        flags |= _TIME
        body += date_time.encode(value.time)
    if value.status is not None:
        flags |= _STATUS
        body += value.status.to_bytes(2, "little")
    if value.sensor_status is not None:
        flags |= _SENSOR
        body += value.sensor_status.to_bytes(3, "little")
    if value.amplitude_percent is not None:
        flags |= _AMPLITUDE
        body += encode_sfloat(value.amplitude_percent).to_bytes(2, "little")
    return bytes((flags,)) + body
