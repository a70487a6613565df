"""Battery Level (0x2A19): one byte, per cent; 101 to 255 are reserved (Battery Service 1.1)."""

from __future__ import annotations

from decimal import Decimal

from devices.errors import DecodeError
from devices.gatt.reading import Reader, sample
from devices.kinds import KINDS
from devices.measurement import Measurement

CHARACTERISTIC = "2A19"
_KIND = KINDS["battery"]
_FULL = 100


def decode(raw: bytes) -> Measurement:
    """Return the device's battery as a measurement of kind ``battery``."""
    reader = Reader(raw)
    percent = reader.unsigned(1, "battery level")
    reader.end()
    if percent > _FULL:
        raise DecodeError("reserved_value", f"battery level {percent}")
    samples = (sample(_KIND.named("battery"), Decimal(percent)),)
    return Measurement(_KIND.name, samples, CHARACTERISTIC, raw)


def encode(percent: int) -> bytes:
    """Return the byte for ``percent`` from 0 to 100."""
    assert 0 <= percent <= _FULL, "a battery level is a percentage"
    return bytes((percent,))
