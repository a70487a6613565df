"""CGM Feature (0x2AA8; GATT Specification Supplement): what a sensor can do and where it sits.

Features (24 bits), type and place of the sample, and always two bytes of E2E-CRC. They count only
where the features say so; else they hold any value, mostly 0xFFFF.
"""

from __future__ import annotations

from devices.gatt.e2e_crc import take_crc, with_crc
from devices.gatt.glucose_sample import encode_sample, take_sample
from devices.gatt.reading import Fields, Reader, feature_names

CHARACTERISTIC = "2AA8"
E2E_CRC = 1 << 12
_NO_CRC = b"\xff\xff"

FEATURES = {
    0: "calibration",
    1: "patient_high_low_alerts",
    2: "hypo_alerts",
    3: "hyper_alerts",
    4: "rate_alerts",
    5: "device_specific_alert",
    6: "sensor_malfunction_detection",
    7: "temperature_high_low_detection",
    8: "result_high_low_detection",
    9: "low_battery_detection",
    10: "sensor_type_error_detection",
    11: "general_device_fault",
    12: "e2e_crc",
    13: "multiple_bonds",
    14: "multiple_sessions",
    15: "trend",
    16: "quality",
}
"""Names by bit; bits 17 to 23 are reserved."""


def decode(raw: bytes) -> Fields:
    """Return ``features``, ``sample_type`` and ``sample_location`` where named, and ``flags``."""
    reader = Reader(raw)
    word = reader.unsigned(3, "CGM feature")
    where, odd = take_sample(reader)
    if word & E2E_CRC and reader.left:
        take_crc(reader)
    else:
        reader.take(len(_NO_CRC), "E2E-CRC")
    reader.end()
    return Fields(
        CHARACTERISTIC,
        {"features": feature_names(word, FEATURES), **where, "flags": odd},
    )


def encode(features: int, sample_type: str, location: str) -> bytes:
    """Return the bytes for the bit field ``features`` and the names of type and place."""
    covered = features.to_bytes(3, "little") + encode_sample(sample_type, location)
    return with_crc(covered) if features & E2E_CRC else covered + _NO_CRC
