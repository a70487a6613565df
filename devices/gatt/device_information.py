"""The strings of the Device Information Service (0x2A24 to 0x2A29; GATT Specification Supplement).

UTF-8, without an end mark; the zero bytes that many devices append anyway are cut off.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from devices.errors import DecodeError
from devices.gatt.reading import Fields, Reader

NAMES: Mapping[str, str] = MappingProxyType(
    {
        "2A24": "model_number",
        "2A25": "serial_number",
        "2A26": "firmware_revision",
        "2A27": "hardware_revision",
        "2A28": "software_revision",
        "2A29": "manufacturer_name",
    }
)
"""What each characteristic of the service tells."""


def decode(raw: bytes, characteristic: str) -> Fields:
    """Return the text under the name of ``characteristic``; DecodeError where it is not UTF-8."""
    reader = Reader(raw)
    try:
        text = reader.take(reader.left, "text").decode()
    except UnicodeDecodeError as error:
        raise DecodeError("bad_text", f"not UTF-8 at byte {error.start}") from error
    return Fields(characteristic, {NAMES[characteristic]: text.rstrip("\0")})


def encode(text: str) -> bytes:
    """Return the bytes of ``text``."""
    return text.encode()
