"""PLX Features (0x2A60; Pulse Oximeter Service 1.0.1, section 3.4): what an oximeter can do.

Supported features (16 bits), of which bits 0 and 1 announce which bits of the measurement status
(16 bits) and of the device and sensor status (24 bits) it may ever set.
"""

from __future__ import annotations

from dataclasses import dataclass

from devices.gatt.plx import MEASUREMENT_STATUS, SENSOR_STATUS
from devices.gatt.reading import Fields, Reader, feature_names

CHARACTERISTIC = "2A60"
_STATUS, _SENSOR = 1 << 0, 1 << 1

FEATURES = {
    0: "measurement_status",
    1: "sensor_status",
    2: "stored_spot_checks",
    3: "spot_check_time",
    4: "fast",
    5: "slow",
    6: "pulse_amplitude_index",
    7: "multiple_bonds",
}
"""Names by bit; bits 8 to 15 are reserved."""


@dataclass(frozen=True, slots=True)
class PlxFeatures:
    """``features`` without its bits 0 and 1, and the status bits; None leaves those out."""

    features: int
    status: int | None = None
    sensor_status: int | None = None


def decode(raw: bytes) -> Fields:
    """Return ``features``, ``measurement_status`` and ``sensor_status`` (names, or None)."""
    reader = Reader(raw)
    word = reader.unsigned(2, "supported features")
    status = reader.unsigned(2, "measurement status support") if word & _STATUS else None
    sensor = reader.unsigned(3, "sensor status support") if word & _SENSOR else None
    reader.end()
    return Fields(
        CHARACTERISTIC,
        {
            "features": feature_names(word, FEATURES),
            "measurement_status": (
                None if status is None else feature_names(status, MEASUREMENT_STATUS)
            ),
            "sensor_status": None if sensor is None else feature_names(sensor, SENSOR_STATUS),
        },
    )


def encode(value: PlxFeatures) -> bytes:
    """Return the bytes for ``value``."""
    word = value.features & ~(_STATUS | _SENSOR)
    body = b""
    if value.status is not None:
        word |= _STATUS
        body += value.status.to_bytes(2, "little")
    if value.sensor_status is not None:
        word |= _SENSOR
        body += value.sensor_status.to_bytes(3, "little")
    return word.to_bytes(2, "little") + body
