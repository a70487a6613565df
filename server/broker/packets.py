"""The two packets that every message costs, as bytes: PUBLISH and PUBACK (MQTT 5.0, 3.3 and 3.4).

All others are paho's, and so is the judgement whether these are right: the tests hold each against
paho's own reading and writing. Here because paho takes 70 µs for each of the two that it reads,
most of it for looking properties up by name; a message is worth less than that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PUBLISH: Final = 0x30
PUBACK: Final = 0x40
PINGREQ: Final = b"\xc0\x00"
KIND_MASK: Final = 0xF0
# Four times what the broker may send (contract.md 1): what says that it is larger is no packet.
PACKET_MAX_BYTES: Final = 1024 * 1024
_LENGTH_MAX_BYTES: Final = 4
_RETAIN: Final = 0x01
_CORRELATION: Final = 0x09
# Lengths of the other properties of PUBLISH (3.3.2.3), by identifier.
_FIXED: Final = {0x01: 1, 0x02: 4, 0x23: 2}
_TEXTS: Final = {0x03: 1, 0x08: 1, 0x26: 2}
_SUBSCRIPTION: Final = 0x0B

# First byte of a packet, and where in the data it begins, its body begins, and it ends.
Frame = tuple[int, int, int, int]


class MalformedPacketError(OSError):
    """The broker sent what is no MQTT; an ``OSError``, as the connection is good for nothing."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it arrived. ``connection`` numbers the connection it came on."""

    topic: str
    payload: bytes
    correlation: bytes | None
    is_retained: bool
    quality_of_service: int
    packet_id: int
    connection: int


def split(data: bytes) -> tuple[list[Frame], int]:
    """Find the whole packets at the beginning of ``data``; return them and how far they reach.

    Raises :class:`MalformedPacketError` where a length is none or over :data:`PACKET_MAX_BYTES`.
    """
    frames: list[Frame] = []
    start, size = 0, len(data)
    while size - start >= 2:
        length, body = data[start + 1], start + 2
        if length >= 0x80:
            if size - start <= _LENGTH_MAX_BYTES and data[-1] >= 0x80:
                break  # the length itself is not all there
            length, body = _number(data, start + 1)
            if length > PACKET_MAX_BYTES:
                raise MalformedPacketError(f"a packet of {length} bytes")
        end = body + length
        if end > size:
            break
        frames.append((data[start], start, body, end))
        start = end
    return frames, start


def read_publish(data: bytes, frame: Frame, *, connection: int) -> Message:
    """Return the message of a PUBLISH packet, of quality of service 0 or 1.

    Raises :class:`MalformedPacketError`.
    """
    first, _, at, end = frame
    quality = first >> 1 & 3
    if quality > 1:
        raise MalformedPacketError(f"quality of service {quality} was not asked for")
    try:
        topic_at = at + 2
        at = topic_at + (data[at] << 8 | data[at + 1])
        topic = data[topic_at:at].decode()
        packet_id = 0
        if quality:
            packet_id = data[at] << 8 | data[at + 1]
            at += 2
        length, at = _number(data, at)
        body = at + length
        correlation = _correlation(data, at, body) if length else None
    except (IndexError, UnicodeDecodeError) as error:
        raise MalformedPacketError(f"a message that cannot be read: {error}") from error
    if body > end:
        raise MalformedPacketError("a message that ends before its properties")
    retained = bool(first & _RETAIN)
    return Message(topic, data[body:end], correlation, retained, quality, packet_id, connection)


def write_publish(
    topic: str, payload: bytes, *, packet_id: int, correlation: bytes | None, retain: bool
) -> bytes:
    """Return a PUBLISH packet of quality of service 1."""
    properties = b"\x00"
    if correlation is not None:
        inner = b"\x09" + len(correlation).to_bytes(2) + correlation
        properties = _written(len(inner)) + inner
    name = topic.encode()
    head = len(name).to_bytes(2) + name + packet_id.to_bytes(2) + properties
    first = PUBLISH | 2 | (_RETAIN if retain else 0)
    return bytes((first,)) + _written(len(head) + len(payload)) + head + payload


def read_puback(data: bytes, frame: Frame) -> tuple[int, int]:
    """Return packet id and reason code of a PUBACK packet."""
    _, _, body, end = frame
    if end - body < 2:
        raise MalformedPacketError("a PUBACK without a packet id")
    return data[body] << 8 | data[body + 1], data[body + 2] if end - body > 2 else 0


def write_puback(packet_id: int) -> bytes:
    """Return a PUBACK packet that says success."""
    return b"\x40\x02" + packet_id.to_bytes(2)


def _correlation(data: bytes, at: int, end: int) -> bytes | None:
    """Return the Correlation Data among the properties between ``at`` and ``end``, or None."""
    found: bytes | None = None
    while at < end:
        kind = data[at]
        at += 1
        if kind == _CORRELATION:
            length = data[at] << 8 | data[at + 1]
            found = data[at + 2 : at + 2 + length]
            at += 2 + length
        elif kind in _FIXED:
            at += _FIXED[kind]
        elif kind in _TEXTS:
            for _ in range(_TEXTS[kind]):
                at += 2 + (data[at] << 8 | data[at + 1])
        elif kind == _SUBSCRIPTION:
            _, at = _number(data, at)
        else:
            raise MalformedPacketError(f"property {kind:#x} in a message")
    if at != end:
        raise MalformedPacketError("a property that is longer than the properties")
    return found


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Read a variable byte integer (1.5.5); return it and where it ends."""
    value = 0
    for place in range(_LENGTH_MAX_BYTES):
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise MalformedPacketError("a length of more than four bytes")


def _written(value: int) -> bytes:
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
