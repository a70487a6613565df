"""Intermediate Temperature (0x2A1E; GATT Specification Supplement): a thermometer while it works.

The layout of a temperature measurement. It is for a display and is **no measurement**: a value that
still rises must not pass for the result.
"""

from __future__ import annotations

from devices.gatt import temperature
from devices.gatt.reading import Fields, circumstances, sample_fields
from devices.gatt.temperature import Temperature

CHARACTERISTIC = "2A1E"


def decode(raw: bytes) -> Fields:
    """Return ``temperature``, ``device_time``, ``ctx`` with the site, and ``flags``."""
    same = temperature.decode(raw)
    return Fields(
        CHARACTERISTIC,
        {"temperature": sample_fields(same.samples[0]), **circumstances(same)},
    )


def encode(value: Temperature) -> bytes:
    """Return the bytes a thermometer would send for ``value``; ValueError where it does not fit."""
    return temperature.encode(value)
