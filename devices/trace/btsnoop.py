"""A btsnoop file: packets between a host and its controller, each with its time.

Header: "btsnoop", a zero, version 1 and the kind of its records, big-endian; then records of
lengths, flags, drops and time before the bytes. Three kinds are known: 2001 is btmon's (flags hold
adapter and kind of packet), 1002 Android's and others' (the first byte is the kind), 1001 a
controller's without that byte (the flags tell). Times are microseconds since the year 0.

A file that ends inside a record, as one of a recorder that was killed does, gives what is whole.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from devices.errors import TraceError

MAGIC = b"btsnoop\0"
VERSION = 1
MONITOR, UNWRAPPED, UART = 2001, 1001, 1002
_HEADER = struct.Struct(">8sII")
_RECORD = struct.Struct(">IIIIq")
# A packet of HCI has at most 65,535 bytes of data and five before them.
PACKET_MAX_BYTES = 0x10000 + 4
RECORDS_MAX = 2_000_000
"""Some hours of scanning; more is no trace of one device."""
# Microseconds from the year 0 to 2000-01-01, as btsnoop counts.
_YEAR_2000_US = 0x00E03AB44A676000
_YEAR_2000 = datetime(2000, 1, 1, tzinfo=UTC)


class Packet(Enum):
    """What a record is. COMMAND and DATA_OUT went to the controller, the others came from it."""

    COMMAND = "command"
    EVENT = "event"
    DATA_OUT = "data_out"
    DATA_IN = "data_in"


_OF_MONITOR = {2: Packet.COMMAND, 3: Packet.EVENT, 4: Packet.DATA_OUT, 5: Packet.DATA_IN}
_RECEIVED, _IS_CONTROL = 1 << 0, 1 << 1
_UART_COMMAND, _UART_DATA, _UART_EVENT = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Record:
    """One packet. ``adapter`` tells several controllers of one host apart; 0 where there is one."""

    at: datetime
    packet: Packet
    adapter: int
    raw: bytes


def records(raw: bytes) -> Iterator[Record]:
    """Yield the packets in the file ``raw``; TraceError where it is no such file or is damaged.

    What is neither command, event nor data of a link is passed over.
    """
    if len(raw) < _HEADER.size:
        raise TraceError("truncated", f"{len(raw)} bytes; the header alone has {_HEADER.size}")
    magic, version, kind = _HEADER.unpack_from(raw)
    if magic != MAGIC:
        raise TraceError("no_btsnoop", "the file does not begin with the word btsnoop")
    if version != VERSION or kind not in (MONITOR, UNWRAPPED, UART):
        raise TraceError("unknown_format", f"version {version}, records of kind {kind}")
    return _records(raw, kind)


def _records(raw: bytes, kind: int) -> Iterator[Record]:
    at = _HEADER.size
    for _ in range(RECORDS_MAX):
        if at + _RECORD.size > len(raw):
            return
        original, included, flags, _drops, moment_us = _RECORD.unpack_from(raw, at)
        at += _RECORD.size
        if included > PACKET_MAX_BYTES or included > original:
            raise TraceError("damaged", f"a record of {included} bytes at byte {at}")
        if at + included > len(raw):
            return
        found = _packet(kind, flags, raw[at : at + included])
        at += included
        if found is not None and included == original:
            packet, adapter, body = found
            yield Record(_time(moment_us), packet, adapter, body)
    raise TraceError("too_long", f"more than {RECORDS_MAX} records")


def _packet(kind: int, flags: int, body: bytes) -> tuple[Packet, int, bytes] | None:
    if kind == MONITOR:
        packet = _OF_MONITOR.get(flags & 0xFFFF)
        return None if packet is None else (packet, flags >> 16, body)
    data = Packet.DATA_IN if flags & _RECEIVED else Packet.DATA_OUT
    if kind == UNWRAPPED:
        control = Packet.EVENT if flags & _RECEIVED else Packet.COMMAND
        return (control if flags & _IS_CONTROL else data), 0, body
    packets = {_UART_COMMAND: Packet.COMMAND, _UART_DATA: data, _UART_EVENT: Packet.EVENT}
    packet = packets.get(body[0]) if body else None
    return None if packet is None else (packet, 0, body[1:])


def _time(moment_us: int) -> datetime:
    try:
        return _YEAR_2000 + timedelta(microseconds=moment_us - _YEAR_2000_US)
    except OverflowError as error:
        raise TraceError("damaged", "a time that cannot be") from error
