"""Glucose Feature (0x2A51; GATT Specification Supplement): what a meter can tell, 16 bits."""

from __future__ import annotations

from devices.gatt.reading import Fields, Reader, feature_names

CHARACTERISTIC = "2A51"
LENGTH = 2

FEATURES = {
    0: "low_battery_detection",
    1: "sensor_malfunction_detection",
    2: "sample_size_detection",
    3: "strip_insertion_error_detection",
    4: "strip_type_error_detection",
    5: "result_high_low_detection",
    6: "temperature_high_low_detection",
    7: "read_interrupt_detection",
    8: "general_device_fault",
    9: "time_fault",
    10: "multiple_bonds",
}
"""Names by bit; bits 11 to 15 are reserved."""


def decode(raw: bytes) -> Fields:
    """Return ``features``: names, and ``unknown_feature`` where a reserved bit is set."""
    reader = Reader(raw)
    word = reader.unsigned(LENGTH, "glucose feature")
    reader.end()
    return Fields(CHARACTERISTIC, {"features": feature_names(word, FEATURES)})


def encode(features: int) -> bytes:
    """Return the bytes for the bit field ``features``."""
    return features.to_bytes(LENGTH, "little")
