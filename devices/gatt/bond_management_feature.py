"""Bond Management Features (0x2AA5; the SIG's XML): which bonds a device can be made to forget.

Three bytes: for each op code of the control point a bit that it is supported and one that it wants
an authorisation code, then "identify yourself". The last bit of the last byte says that another
byte follows, and so on; nothing is known of those.
"""

from __future__ import annotations

from devices.gatt.bond_management import Op
from devices.gatt.reading import Fields, Reader

CHARACTERISTIC = "2AA5"
LENGTH = 3
_MORE = 1 << 7
_IDENTIFY = 2 * len(Op)
_KNOWN_BITS = _IDENTIFY + 1
_EXTENSION = 1 << 23


def decode(raw: bytes) -> Fields:
    """Return ``features`` and ``authorisation_required``, names of op codes."""
    reader = Reader(raw)
    octets = bytearray(reader.take(LENGTH, "bond management features"))
    while octets[-1] & _MORE:
        octets += reader.take(1, "feature extension")
    reader.end()
    word = int.from_bytes(octets, "little")
    names = [op.name.lower() for op in Op]
    features = [name for at, name in enumerate(names) if word >> 2 * at & 1]
    if word >> _IDENTIFY & 1:
        features.append("identify_yourself")
    if (word & ~_EXTENSION) >> _KNOWN_BITS:
        features.append("unknown_feature")
    required = [name for at, name in enumerate(names) if word >> 2 * at + 1 & 1]
    return Fields(CHARACTERISTIC, {"features": features, "authorisation_required": required})


def encode(features: int) -> bytes:
    """Return the bytes for the bit field ``features`` of 23 bits."""
    assert features < _EXTENSION, "no extension has been defined"
    return features.to_bytes(LENGTH, "little")
