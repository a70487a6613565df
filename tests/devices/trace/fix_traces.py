"""Traces: one that btmon made of virtual devices, and ones written here packet by packet."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

BTMON = Path(__file__).with_name("bluez_5_82.btsnoop")
CUFF, THERMOMETER = "EC:3A:63:7B:D3:0B", "ED:A9:07:7C:AB:D8"
MORNING_US = 0x00E03AB44A676000 + 849_000_000 * 1_000_000
ADDRESS = "C0:FF:EE:00:00:01"
HANDLE = 0x40
MONITOR, UNWRAPPED, UART = 2001, 1001, 1002
COMMAND, EVENT, OUT, IN = 2, 3, 4, 5
# The packet as the flags of a file of kind 1001 tell it, and the first byte of one of kind 1002.
_UNWRAPPED_FLAGS = {COMMAND: 0b10, EVENT: 0b11, OUT: 0b00, IN: 0b01}
_UART_BYTES = {COMMAND: 1, EVENT: 4, OUT: 2, IN: 2}

Packet = tuple[int, bytes]


def trace(packets: Iterable[Packet], kind: int = MONITOR) -> bytes:
    """A file with these packets, a millisecond apart."""
    made = b"btsnoop\0" + struct.pack(">II", 1, kind)
    for number, (packet, body) in enumerate(packets):
        flags = packet if kind == MONITOR else _UNWRAPPED_FLAGS[packet]
        raw = bytes((_UART_BYTES[packet],)) + body if kind == UART else body
        moment = MORNING_US + number * 1000
        made += struct.pack(">IIIIq", len(raw), len(raw), flags, 0, moment) + raw
    return made


def connected(address: str = ADDRESS, *, role: int = 0, status: int = 0) -> Packet:
    """An LE Connection Complete."""
    raw = bytes.fromhex(address.replace(":", ""))[::-1]
    body = struct.pack("<BBHBB6s", 0x01, status, HANDLE, role, 1, raw) + bytes(7)
    return EVENT, bytes((0x3E, len(body))) + body


def disconnected(reason: int = 0x13) -> Packet:
    """A Disconnection Complete."""
    return EVENT, bytes((0x05, 4)) + struct.pack("<BHB", 0, HANDLE, reason)


def encrypted(status: int = 0) -> Packet:
    """An Encryption Change."""
    return EVENT, bytes((0x08, 4)) + struct.pack("<BHB", status, HANDLE, 1)


def advertised(data: str, address: str = ADDRESS) -> Packet:
    """An LE Advertising Report."""
    raw = bytes.fromhex(data)
    head = bytes.fromhex(address.replace(":", ""))[::-1]
    body = struct.pack("<BBBB6sB", 0x02, 1, 0, 1, head, len(raw)) + raw + b"\xc0"
    return EVENT, bytes((0x3E, len(body))) + body


def pieces(packet: int, frame: bytes, size: int = 1000, handle: int = HANDLE) -> list[Packet]:
    """A frame in data packets of at most ``size`` bytes."""
    first, rest = (0b00 if packet == OUT else 0b10), 0b01
    found = []
    for at in range(0, len(frame), size):
        boundary = first if at == 0 else rest
        part = frame[at : at + size]
        found.append((packet, struct.pack("<HH", handle | boundary << 12, len(part)) + part))
    return found


def ours(message: str, size: int = 1000) -> list[Packet]:
    """A message of the attribute protocol from this side, in hex."""
    return pieces(OUT, framed(bytes.fromhex(message)), size)


def theirs(message: str, size: int = 1000) -> list[Packet]:
    """A message of the attribute protocol from the device, in hex."""
    return pieces(IN, framed(bytes.fromhex(message)), size)


def framed(message: bytes, channel: int = 4) -> bytes:
    """A frame of L2CAP around a message."""
    return struct.pack("<HH", len(message), channel) + message


# A device with a blood pressure service: 2A35 (indicates) at 0x0012, its subscription at 0x0013,
# a maker's own characteristic (read, write) at 0x0015.
FOUND: list[Packet] = [
    *ours("10 0100 FFFF 0028"),
    *theirs("11 06 1000 1600 1018"),
    *ours("08 1000 1600 0328"),
    *theirs("09 07 1100 20 1200 352A"),
    *ours("08 1300 1600 0328"),
    *theirs("09 15 1400 0A 1500 1BC5D5A502003C8EE211600DA07EAD0A"),
    *ours("04 1300 1300"),
    *theirs("05 01 1300 0229"),
]
VALUE = "1E8000520063 00EA070B16070C004800010400".replace(" ", "")
MEASURED: list[Packet] = [
    *ours("12 1300 0200"),
    *theirs("13"),
    *theirs(f"1D 1200 {VALUE}"),
    *ours("1E"),
]
