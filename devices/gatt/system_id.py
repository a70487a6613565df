"""System ID (0x2A23; GATT Specification Supplement): an EUI-64, the last byte first."""

from __future__ import annotations

from devices.gatt.reading import Fields, Reader

CHARACTERISTIC = "2A23"
LENGTH = 8
_OUI_DIGITS = 6


def decode(raw: bytes) -> Fields:
    """Return ``system_id``, sixteen upper-case digits, and its parts ``oui`` and ``device``."""
    reader = Reader(raw)
    digits = reader.take(LENGTH, "system ID")[::-1].hex().upper()
    reader.end()
    return Fields(
        CHARACTERISTIC,
        {"system_id": digits, "oui": digits[:_OUI_DIGITS], "device": digits[_OUI_DIGITS:]},
    )


def encode(system_id: str) -> bytes:
    """Return the eight bytes for sixteen hexadecimal digits."""
    raw = bytes.fromhex(system_id)[::-1]
    assert len(raw) == LENGTH, "a system ID has 64 bits"
    return raw
