"""Blood Pressure Feature (0x2A49; GATT Specification Supplement): what a cuff can do, 16 bits."""

from __future__ import annotations

from devices.gatt.reading import Fields, Reader, feature_names

CHARACTERISTIC = "2A49"
LENGTH = 2

FEATURES = {
    0: "body_movement_detection",
    1: "cuff_fit_detection",
    2: "irregular_pulse_detection",
    3: "pulse_rate_range_detection",
    4: "measurement_position_detection",
    5: "multiple_bonds",
    6: "e2e_crc",
    7: "user_data_service",
    8: "user_facing_time",
}
"""Names by bit; bits 9 to 15 are reserved."""


def decode(raw: bytes) -> Fields:
    """Return ``features``: names, and ``unknown_feature`` where a reserved bit is set."""
    reader = Reader(raw)
    word = reader.unsigned(LENGTH, "blood pressure feature")
    reader.end()
    return Fields(CHARACTERISTIC, {"features": feature_names(word, FEATURES)})


def encode(features: int) -> bytes:
    """Return the bytes for the bit field ``features``."""
    return features.to_bytes(LENGTH, "little")
