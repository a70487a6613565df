"""One message of the attribute protocol as a value (Bluetooth Core 5.4, Vol 3, Part F, 3.4)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from devices.trace.uuids import LONG_BYTES, SHORT_BYTES, uuid_of

# Opcodes of which one answer or request has two.
_MTU_GIVEN, _WRITE_ASKED, _INDICATED = 0x03, 0x12, 0x1D
_SHORT_INFO = 1


@dataclass(frozen=True, slots=True)
class Failed:
    """A request that was refused."""

    request: int
    handle: int
    code: int


@dataclass(frozen=True, slots=True)
class Mtu:
    """The longest message one side takes."""

    size_bytes: int
    is_answer: bool


@dataclass(frozen=True, slots=True)
class AskedByType:
    """A request for all attributes of a type, such as declarations of characteristics (2803)."""

    uuid: str


@dataclass(frozen=True, slots=True)
class GivenByType:
    """Attributes of the type that was asked for: handle and value."""

    found: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class GivenGroups:
    """Services: first and last handle, and UUID."""

    found: tuple[tuple[int, int, str], ...]


@dataclass(frozen=True, slots=True)
class GivenInfo:
    """Handles and what is there."""

    found: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class AskedRead:
    """A request to read, from ``offset`` on."""

    handle: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class GivenRead:
    """What was read, or its first part."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class AskedWrite:
    """A request to write; ``is_answered`` where the device must say that it did."""

    handle: int
    raw: bytes
    is_answered: bool = True


@dataclass(frozen=True, slots=True)
class Prepared:
    """A part of something longer that is to be written."""

    handle: int
    offset: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Execute:
    """Write the parts that were prepared, or forget them."""

    is_meant: bool


@dataclass(frozen=True, slots=True)
class Written:
    """What was asked to be written is."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A value that came unasked; ``is_indicated`` where the other side must confirm it."""

    handle: int
    raw: bytes
    is_indicated: bool


@dataclass(frozen=True, slots=True)
class Confirmed:
    """An indication has arrived: the device may forget the value."""


Message = (
    Failed
    | Mtu
    | AskedByType
    | GivenByType
    | GivenGroups
    | GivenInfo
    | AskedRead
    | GivenRead
    | AskedWrite
    | Prepared
    | Execute
    | Written
    | Sent
    | Confirmed
)


def message(raw: bytes) -> Message | None:
    """Return the message in ``raw``, None for one that tells nothing here.

    Raises struct.error or IndexError where it ends early, DecodeError for an impossible UUID.
    """
    opcode, body = raw[0], raw[1:]
    return _found(opcode, body) or _asked(opcode, body)


def _found(opcode: int, body: bytes) -> Message | None:
    match opcode:
        case 0x01:
            return Failed(*struct.unpack_from("<BHB", body))
        case 0x02 | 0x03:
            return Mtu(struct.unpack_from("<H", body)[0], opcode == _MTU_GIVEN)
        case 0x05:
            return _info(body)
        case 0x09:
            return GivenByType(tuple((_handle(one), one[2:]) for one in _each(body)))
        case 0x0B | 0x0D:
            return GivenRead(body)
        case 0x11:
            groups = ((_handle(one), _handle(one[2:]), uuid_of(one[4:])) for one in _each(body))
            return GivenGroups(tuple(groups))
        case 0x13 | 0x19:
            return Written()
        case 0x1B | 0x1D:
            return Sent(_handle(body), body[2:], opcode == _INDICATED)
        case 0x1E:
            return Confirmed()
        case _:
            return None


def _asked(opcode: int, body: bytes) -> Message | None:
    match opcode:
        case 0x08:
            return AskedByType(uuid_of(body[4:]))
        case 0x0A:
            return AskedRead(_handle(body))
        case 0x0C:
            return AskedRead(*struct.unpack_from("<HH", body))
        case 0x12 | 0x52:
            return AskedWrite(_handle(body), body[2:], opcode == _WRITE_ASKED)
        case 0x16:
            handle, offset = struct.unpack_from("<HH", body)
            return Prepared(handle, offset, body[4:])
        case 0x18:
            return Execute(bool(body[0]))
        case _:
            return None


def _info(body: bytes) -> GivenInfo:
    size = 2 + (SHORT_BYTES if body[0] == _SHORT_INFO else LONG_BYTES)
    whole = range(1, len(body) - size + 1, size)
    parts = [body[i : i + size] for i in whole]
    return GivenInfo(tuple((_handle(part), uuid_of(part[2:])) for part in parts))


def _each(body: bytes) -> list[bytes]:
    """Return the entries of a list whose first byte says how long each is."""
    size = body[0]
    if size < 2:
        raise IndexError
    return [body[i : i + size] for i in range(1, len(body) - size + 1, size)]


def _handle(raw: bytes) -> int:
    return int(struct.unpack_from("<H", raw)[0])
