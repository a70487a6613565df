"""Links and frames out of HCI packets: who came, who left, what was said on which channel.

Events and data of the Bluetooth Core Specification 5.4: Vol 4, Part E, 7.7 (events) and 5.4.2
(data); Vol 3, Part A, 3.1 (frames of L2CAP). A packet that ends early is passed over and counted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from devices.trace.btsnoop import Packet, Record
from devices.trace.uuids import uuid_of

ATTRIBUTES, SECURITY = 4, 6
"""Channels of L2CAP: the attribute protocol and the security manager."""
_FRAME_HEAD_BYTES = 4
_DISCONNECTED, _ENCRYPTED, _KEY_REFRESHED, _LE_META, _ENCRYPTED_V2 = 0x05, 0x08, 0x30, 0x3E, 0x59
_LE_CONNECTED = (0x01, 0x0A, 0x29)
_ADVERTISED, _ADVERTISED_EXTENDED = 0x02, 0x0D
_CENTRAL = 0
_CONTINUES = 1
_NAMES, _SERVICES_16, _SERVICES_128 = (0x08, 0x09), (0x02, 0x03), (0x06, 0x07)
# After these fields of a report of extended advertising comes the length of its data.
_EXTENDED_HEAD = struct.Struct("<HB6sBBBbbHB6sB")


@dataclass(frozen=True, slots=True)
class Advertised:
    """What a device says of itself while nobody is linked."""

    at: datetime
    address: str
    name: str | None
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LinkUp:
    """A link to a device; ``is_central`` where this side asked for it. ``link`` numbers them."""

    at: datetime
    link: int
    address: str
    is_random: bool
    is_central: bool


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The end of a link, with HCI's reason."""

    at: datetime
    link: int
    reason: int


@dataclass(frozen=True, slots=True)
class Encrypted:
    """An attempt to encrypt a link; 0 is success, else HCI's error."""

    at: datetime
    link: int
    status: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole frame on a channel; ``is_ours`` where this side sent it."""

    at: datetime
    link: int
    is_ours: bool
    channel: int
    raw: bytes


Event = Advertised | LinkUp | LinkDown | Encrypted | Frame


@dataclass(slots=True)
class Reading:
    """Reads packets in order. ``passed_over`` counts those that could not be read."""

    passed_over: int = 0
    _links: dict[tuple[int, int], int] = field(default_factory=dict)
    _pieces: dict[tuple[int, int, Packet], bytes] = field(default_factory=dict)
    _count: int = 0

    def events(self, records: Iterable[Record]) -> Iterator[Event]:
        """Yield what ``records`` tell, in their order."""
        for record in records:
            try:
                found = list(self._of(record))
            except (struct.error, IndexError):
                self.passed_over += 1
                continue
            yield from found

    def forget_links(self) -> None:
        """Take no link to go on in what comes next: it is another file's."""
        self._links.clear()
        self._pieces.clear()

    def _of(self, record: Record) -> Iterable[Event]:
        if record.packet is Packet.EVENT:
            return self._of_event(record)
        if record.packet in (Packet.DATA_IN, Packet.DATA_OUT):
            return self._of_data(record)
        return ()

    def _of_event(self, record: Record) -> Iterable[Event]:
        code, _length = struct.unpack_from("<BB", record.raw)
        body = record.raw[2:]
        if code == _LE_META:
            return self._of_low_energy(record, body)
        if code == _DISCONNECTED:
            return self._gone(record, body)
        if code in (_ENCRYPTED, _ENCRYPTED_V2, _KEY_REFRESHED):
            status, handle = struct.unpack_from("<BH", body)
            link = self._links.get((record.adapter, handle))
            return () if link is None else (Encrypted(record.at, link, status),)
        return ()

    def _gone(self, record: Record, body: bytes) -> Iterable[Event]:
        status, handle, reason = struct.unpack_from("<BHB", body)
        if status:
            return ()
        link = self._links.pop((record.adapter, handle), None)
        for packet in Packet:
            self._pieces.pop((record.adapter, handle, packet), None)
        return () if link is None else (LinkDown(record.at, link, reason),)

    def _of_low_energy(self, record: Record, body: bytes) -> Iterable[Event]:
        kind = body[0]
        if kind in _LE_CONNECTED:
            status, handle, role, random, address = struct.unpack_from("<BHBB6s", body, 1)
            if status:
                return ()
            self._count += 1
            self._links[record.adapter, handle] = self._count
            up = LinkUp(
                record.at, self._count, _address(address), bool(random & 1), role == _CENTRAL
            )
            return (up,)
        if kind == _ADVERTISED:
            reports = _reports(body)
        elif kind == _ADVERTISED_EXTENDED:
            reports = _extended_reports(body)
        else:
            return ()
        return [_advertised(record.at, address, data) for address, data in reports]

    def _of_data(self, record: Record) -> Iterable[Event]:
        word, length = struct.unpack_from("<HH", record.raw)
        handle, boundary = word & 0x0FFF, word >> 12 & 0b11
        piece = record.raw[4 : 4 + length]
        if len(piece) < length:
            raise IndexError
        link = self._links.get((record.adapter, handle))
        if link is None:
            # Its beginning is not in the trace, so nobody knows whose link it is.
            self.passed_over += 1
            return ()
        key = (record.adapter, handle, record.packet)
        whole = (self._pieces.pop(key, b"") if boundary == _CONTINUES else b"") + piece
        if len(whole) < _FRAME_HEAD_BYTES:
            self._pieces[key] = whole
            return ()
        size, channel = struct.unpack_from("<HH", whole)
        if len(whole) < _FRAME_HEAD_BYTES + size:
            self._pieces[key] = whole
            return ()
        raw = whole[_FRAME_HEAD_BYTES : _FRAME_HEAD_BYTES + size]
        return (Frame(record.at, link, record.packet is Packet.DATA_OUT, channel, raw),)


def _reports(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 2
    for _ in range(body[1]):
        _kind, _random, address, length = struct.unpack_from("<BB6sB", body, at)
        at += 9
        yield address, body[at : at + length]
        at += length + 1


def _extended_reports(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 2
    for _ in range(body[1]):
        fields = _EXTENDED_HEAD.unpack_from(body, at)
        at += _EXTENDED_HEAD.size
        yield fields[2], body[at : at + fields[-1]]
        at += fields[-1]


def _advertised(at: datetime, address: bytes, data: bytes) -> Advertised:
    name, services = None, []
    while len(data) > 1 and data[0]:
        kind, value, data = data[1], data[2 : 1 + data[0]], data[1 + data[0] :]
        if kind in _NAMES:
            name = value.decode(errors="replace")
        for kinds, size in ((_SERVICES_16, 2), (_SERVICES_128, 16)):
            if kind in kinds:
                whole = range(0, len(value) - size + 1, size)
                services += [uuid_of(value[i : i + size]) for i in whole]
    return Advertised(at, _address(address), name, tuple(services))


def _address(raw: bytes) -> str:
    return ":".join(f"{byte:02X}" for byte in reversed(raw))
