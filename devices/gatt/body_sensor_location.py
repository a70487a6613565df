"""Body Sensor Location (0x2A38; GATT Specification Supplement): where the heart sensor sits."""

from __future__ import annotations

from devices.gatt.reading import Fields, Reader, choice

CHARACTERISTIC = "2A38"

LOCATIONS = ("other", "chest", "wrist", "finger", "hand", "earlobe", "foot")
"""Places, numbered from 0."""

_NAMES = dict(enumerate(LOCATIONS))


def decode(raw: bytes) -> Fields:
    """Return ``location``, one of LOCATIONS; DecodeError for a reserved number."""
    reader = Reader(raw)
    number = reader.unsigned(1, "sensor location")
    reader.end()
    return Fields(CHARACTERISTIC, {"location": choice(number, _NAMES, "sensor location")})


def encode(location: str) -> bytes:
    """Return the byte for ``location``."""
    return bytes((LOCATIONS.index(location),))
