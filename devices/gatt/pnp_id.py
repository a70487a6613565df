"""PnP ID (0x2A50; GATT Specification Supplement): who made the device, and which it is."""

from __future__ import annotations

from dataclasses import dataclass

from devices.gatt.reading import Fields, Reader

CHARACTERISTIC = "2A50"
_SOURCES = {1: "bluetooth_sig", 2: "usb_forum"}


@dataclass(frozen=True, slots=True)
class PnpId:
    """Numbers as sent. ``vendor_source`` says whose list ``vendor`` is from: 1 the SIG's, 2 USB."""

    vendor_source: int
    vendor: int
    product: int
    version: int


def read(raw: bytes) -> PnpId:
    """Return the numbers in ``raw``; DecodeError for another length."""
    reader = Reader(raw)
    found = PnpId(
        reader.unsigned(1, "vendor source"),
        reader.unsigned(2, "vendor"),
        reader.unsigned(2, "product"),
        reader.unsigned(2, "version"),
    )
    reader.end()
    return found


def decode(raw: bytes) -> Fields:
    """Return the numbers and the name of the source, None where that is reserved.

    A reserved source is no reason to lose the rest: it still tells one device from another.
    """
    found = read(raw)
    return Fields(
        CHARACTERISTIC,
        {
            "vendor_source": _SOURCES.get(found.vendor_source),
            "vendor_source_code": found.vendor_source,
            "vendor": found.vendor,
            "product": found.product,
            "version": found.version,
        },
    )


def encode(value: PnpId) -> bytes:
    """Return the seven bytes for ``value``."""
    numbers = (value.vendor, value.product, value.version)
    words = b"".join(number.to_bytes(2, "little") for number in numbers)
    return bytes((value.vendor_source,)) + words
