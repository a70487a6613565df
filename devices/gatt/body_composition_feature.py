"""Body Composition Feature (0x2A9B; GATT Specification Supplement): what a scale can do, 32 bits.

Eleven bits, then the resolutions as in the Weight Scale Feature, from bit 11 on.
"""

from __future__ import annotations

from devices.gatt.reading import Fields, Reader
from devices.gatt.weight_feature import resolution_bits, scale_features

CHARACTERISTIC = "2A9B"
LENGTH = 4
_RESOLUTIONS_AT = 11

FEATURES = {
    0: "time",
    1: "multiple_users",
    2: "basal_metabolism",
    3: "muscle",
    4: "muscle_mass",
    5: "fat_free_mass",
    6: "soft_lean_mass",
    7: "body_water_mass",
    8: "impedance",
    9: "weight",
    10: "height",
}
"""Names by bit; bits 18 to 31 are reserved."""


def decode(raw: bytes) -> Fields:
    """Return ``features`` and the resolutions, None where not specified or reserved."""
    reader = Reader(raw)
    word = reader.unsigned(LENGTH, "body composition feature")
    reader.end()
    return Fields(CHARACTERISTIC, scale_features(word, FEATURES, _RESOLUTIONS_AT))


def encode(features: int, *, weight: int = 0, height: int = 0) -> bytes:
    """Return the bytes for the feature bits and the two numbers of the resolution tables."""
    return (features | resolution_bits(weight, height, _RESOLUTIONS_AT)).to_bytes(LENGTH, "little")
