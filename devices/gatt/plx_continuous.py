"""PLX Continuous Measurement (0x2A5F; Pulse Oximeter Service 1.0.1, section 3.3).

Flags (1 byte: fast, slow, measurement status, sensor status, pulse amplitude), SpO2 and pulse
(SFLOAT each), then the optional fields. It has no time stamp. The fast and slow averages stand in
the context, so that no rule takes them for readings of their own; a missing one by its reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from devices.gatt.plx import MEASUREMENT_STATUS, SENSOR_STATUS
from devices.gatt.reading import Reader, bit_names
from devices.kinds import KINDS
from devices.measurement import Absent, Measurement
from devices.medfloat import encode_sfloat

CHARACTERISTIC = "2A5F"
_KIND = KINDS["pulse_oximetry"]
_FAST, _SLOW, _STATUS, _SENSOR, _AMPLITUDE = (1 << bit for bit in range(5))
_SPEEDS = (("fast", _FAST), ("slow", _SLOW))

Pair = tuple[float | Absent, float | Absent]
"""SpO2 in per cent and pulse per minute."""


@dataclass(frozen=True, slots=True)
class Continuous:
    """What an oximeter says as it goes; None leaves an optional field out."""

    normal: Pair
    fast: Pair | None = None
    slow: Pair | None = None
    status: int | None = None
    sensor_status: int | None = None
    amplitude_percent: float | Absent | None = None


def decode(raw: bytes) -> Measurement:
    """Return the oximetry in ``raw``; DecodeError where it cannot be read."""
    reader = Reader(raw)
    flags = reader.flags(known=0b11111)
    samples = [reader.sfloat_sample(_KIND.named(name)) for name in ("spo2", "pulse")]
    notes: list[str] = []
    if all(reading.value is None for reading in samples):
        notes.append("measurement_failed")
    context: dict[str, str | int | float] = {}
    for speed, flag in _SPEEDS:
        if flags & flag:
            for name in (f"spo2_{speed}_percent", f"pulse_{speed}_bpm"):
                number = reader.sfloat(name)
                context[name] = float(number) if isinstance(number, Decimal) else number.value
    if flags & _STATUS:
        notes += bit_names(reader.unsigned(2, "measurement status"), MEASUREMENT_STATUS)
    if flags & _SENSOR:
        notes += bit_names(reader.unsigned(3, "sensor status"), SENSOR_STATUS)
    if flags & _AMPLITUDE:
        samples.append(reader.sfloat_sample(_KIND.named("perfusion_index")))
    reader.end()
    return Measurement(
        _KIND.name,
        tuple(samples),
        CHARACTERISTIC,
        raw,
        flags=tuple(dict.fromkeys(notes)),
        context=context,
    )


def encode(value: Continuous) -> bytes:
    """Return the bytes an oximeter would send for ``value``; ValueError where it does not fit."""
    flags = 0
    body = _pair(value.normal)
    for pair, flag in ((value.fast, _FAST), (value.slow, _SLOW)):
        if pair is not None:
            flags |= flag
            body += _pair(pair)
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


def _pair(pair: Pair) -> bytes:
    return b"".join(encode_sfloat(number).to_bytes(2, "little") for number in pair)
