"""User Index (0x2A9A; User Data Service): which of its users a device serves now."""

from __future__ import annotations

from devices.gatt.reading import USER_UNKNOWN, Fields, Reader

CHARACTERISTIC = "2A9A"


def decode(raw: bytes) -> Fields:
    """Return ``user_index``, or None where the device does not know its user."""
    reader = Reader(raw)
    user = reader.unsigned(1, "user index")
    reader.end()
    return Fields(CHARACTERISTIC, {"user_index": None if user == USER_UNKNOWN else user})


def encode(user: int | None) -> bytes:
    """Return the byte for ``user``; None is unknown."""
    return bytes((USER_UNKNOWN if user is None else user,))
