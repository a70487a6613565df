"""Temperature Type (0x2A1D; GATT Specification Supplement): where it always measures."""

from __future__ import annotations

from devices.gatt.reading import Fields, Reader, choice
from devices.gatt.temperature import SITES

CHARACTERISTIC = "2A1D"
_NAMES = dict(enumerate(SITES, start=1))


def decode(raw: bytes) -> Fields:
    """Return ``site``, one of :data:`temperature.SITES`; DecodeError for a reserved number."""
    reader = Reader(raw)
    number = reader.unsigned(1, "temperature type")
    reader.end()
    return Fields(CHARACTERISTIC, {"site": choice(number, _NAMES, "temperature type")})


def encode(site: str) -> bytes:
    """Return the byte for ``site``."""
    return bytes((SITES.index(site) + 1,))
