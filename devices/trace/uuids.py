"""UUIDs as they stand in attributes, and what they are called."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from uuid import UUID

from devices import gatt
from devices.errors import DecodeError

SHORT_BYTES, LONG_BYTES = 2, 16
_SERVICES = {
    "1800": "generic access",
    "1801": "generic attributes",
    "1805": "current time",
    "1808": "glucose",
    "1809": "health thermometer",
    "180A": "device information",
    "180D": "heart rate",
    "180F": "battery",
    "1810": "blood pressure",
    "181B": "body composition",
    "181C": "user data",
    "181D": "weight scale",
    "181E": "bond management",
    "181F": "continuous glucose monitoring",
    "1822": "pulse oximeter",
    "1840": "generic health sensor",
}
_OTHERS = {
    "2A00": "device name",
    "2A01": "appearance",
    "2A04": "preferred connection parameters",
    "2A05": "service changed",
    "2AA6": "central address resolution",
    "2902": "subscription",
}


def uuid_of(raw: bytes) -> str:
    """Return the UUID in 2 or 16 little-endian bytes as it travels; DecodeError for another size.

    Four upper-case digits of the SIG's, else 36 lower-case characters.
    """
    if len(raw) == SHORT_BYTES:
        return f"{int.from_bytes(raw, 'little'):04X}"
    if len(raw) != LONG_BYTES:
        raise DecodeError("bad_uuid", f"{len(raw)} bytes")
    return gatt.short_uuid(str(UUID(bytes=raw[::-1])))


def service_name(uuid: str) -> str:
    """Return what a service is called, empty where it is a maker's own."""
    return _SERVICES.get(uuid, "")


def characteristic_name(uuid: str) -> str:
    """Return what a characteristic or descriptor is called, empty where it is not known."""
    decoder: Callable[..., object] | None = gatt.CHARACTERISTICS.get(uuid)
    if decoder is None:
        return _OTHERS.get(uuid, "")
    plain = decoder.func if isinstance(decoder, partial) else decoder
    return plain.__module__.rpartition(".")[2].replace("_", " ")
