"""Bond Management Control Point (0x2AA4; the SIG's XML, Bond Management Service 1.0).

Written by a collector to make a device forget bonds: an op code and, where the device wants one, an
authorisation code of any length.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from devices.gatt.reading import Fields, Reader, choice

CHARACTERISTIC = "2AA4"


class Op(IntEnum):
    """Which bonds to delete: whose, and of BR/EDR and LE, of BR/EDR or of LE."""

    DELETE_REQUESTING = 1
    DELETE_REQUESTING_BREDR = 2
    DELETE_REQUESTING_LE = 3
    DELETE_ALL = 4
    DELETE_ALL_BREDR = 5
    DELETE_ALL_LE = 6
    DELETE_ALL_BUT_ACTIVE = 7
    DELETE_ALL_BUT_ACTIVE_BREDR = 8
    DELETE_ALL_BUT_ACTIVE_LE = 9


_OPS = {op.value: op.name.lower() for op in Op}


@dataclass(frozen=True, slots=True)
class BondRequest:
    """What a collector writes; ``authorisation`` is empty where the device wants none."""

    op: Op
    authorisation: bytes = b""


def read(raw: bytes) -> BondRequest:
    """Return the request in ``raw``; DecodeError for a reserved op code."""
    reader = Reader(raw)
    number = reader.unsigned(1, "op code")
    choice(number, _OPS, "op code")
    return BondRequest(Op(number), reader.take(reader.left, "authorisation code"))


def decode(raw: bytes) -> Fields:
    """Return ``op`` and ``has_authorisation``; the code itself is a secret."""
    request = read(raw)
    return Fields(
        CHARACTERISTIC,
        {"op": request.op.name.lower(), "has_authorisation": bool(request.authorisation)},
    )


def encode(value: BondRequest) -> bytes:
    """Return the bytes of ``value``."""
    return bytes((value.op,)) + value.authorisation
