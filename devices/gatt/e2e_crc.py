"""End-to-end CRC of the CGM Service: sixteen bits after the fields they cover.

CRC-CCITT with 0xFFFF to start with, bits and result from the least significant on (the catalogue of
parametrised CRCs calls it CRC-16/MCRF4XX). Whether a value has one is said in another
characteristic, CGM Feature; here the length tells: two bytes after the last field can be nothing
else. One that is wrong refuses the value.
"""

from __future__ import annotations

from devices.errors import DecodeError
from devices.gatt.reading import Reader

LENGTH = 2
_POLYNOMIAL = 0x8408  # x^16 + x^12 + x^5 + 1, bits reversed


def crc16(covered: bytes) -> int:
    """Return the CRC over ``covered``."""
    crc = 0xFFFF
    for byte in covered:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
    return crc


def take_crc(reader: Reader) -> bool:
    """Take the CRC, if one is left, and nothing after it; return whether there was one.

    DecodeError where it is not the CRC over all bytes before it.
    """
    if not reader.left:
        return False
    expected = crc16(reader.taken)
    told = reader.unsigned(LENGTH, "E2E-CRC")
    reader.end()
    if told != expected:
        raise DecodeError("bad_crc", f"E2E-CRC 0x{told:04X}, computed 0x{expected:04X}")
    return True


def with_crc(covered: bytes) -> bytes:
    """Return ``covered`` with its CRC behind it."""
    return covered + crc16(covered).to_bytes(LENGTH, "little")
