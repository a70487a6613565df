"""IEEE 11073-20601 Regulatory Certification Data List (0x2A2A): what a device is certified as.

Unlike everything else in GATT it is big-endian: the bytes are those of 20601 as they stand (SIG
white paper Personal Health Devices Transcoding). Count and length, then entries: authorising body,
type, length, data. Body 2 is Continua, with type 1 for its version and device classes and type 2
for a bit field. Other entries keep their bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from devices.errors import DecodeError
from devices.gatt.reading import Fields, Reader

CHARACTERISTIC = "2A2A"
CONTINUA = 2
_VERSION, _REGULATION = 1, 2


@dataclass(frozen=True, slots=True)
class Version:
    """The version of Continua's guidelines and the device classes certified by it."""

    major: int
    minor: int
    device_classes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Regulation:
    """Continua's bit field on whether a device is regulated, as sent."""

    bits: int


@dataclass(frozen=True, slots=True)
class Other:
    """An entry of another body or type: its numbers and bytes."""

    body: int
    entry_type: int
    data: bytes


Entry = Version | Regulation | Other


def read(raw: bytes) -> tuple[Entry, ...]:
    """Return the entries in ``raw``; DecodeError where a length in it is wrong."""
    reader = Reader(raw)
    count, length = _word(reader, "count"), _word(reader, "length")
    if length != reader.left:
        raise DecodeError("bad_size", f"the list says {length} bytes, {reader.left} follow")
    entries = tuple(_take_entry(reader) for _ in range(count))
    reader.end()
    return entries


def decode(raw: bytes) -> Fields:
    """Return ``entries``, each with its ``body``, ``type`` and what it holds."""
    return Fields(CHARACTERISTIC, {"entries": [_entry_fields(entry) for entry in read(raw)]})


def encode(entries: Sequence[Entry]) -> bytes:
    """Return the bytes for ``entries``."""
    body = b"".join(_encode_entry(entry) for entry in entries)
    return _bytes(len(entries)) + _bytes(len(body)) + body


def _take_entry(reader: Reader) -> Entry:
    body = reader.unsigned(1, "authorising body")
    entry_type = reader.unsigned(1, "entry type")
    data = reader.take(_word(reader, "entry length"), "entry")
    if (body, entry_type) == (CONTINUA, _VERSION):
        return _version(Reader(data))
    if (body, entry_type) == (CONTINUA, _REGULATION):
        inner = Reader(data)
        bits = _word(inner, "regulation")
        inner.end()
        return Regulation(bits)
    return Other(body, entry_type, data)


def _version(reader: Reader) -> Version:
    major, minor = reader.unsigned(1, "major version"), reader.unsigned(1, "minor version")
    count, length = _word(reader, "count"), _word(reader, "length")
    if length != reader.left or length != 2 * count:
        raise DecodeError("bad_size", f"{count} classes in {length} bytes, {reader.left} follow")
    return Version(major, minor, tuple(_word(reader, "device class") for _ in range(count)))


def _entry_fields(entry: Entry) -> dict[str, object]:
    if isinstance(entry, Version):
        classes = list(entry.device_classes)
        version = f"{entry.major}.{entry.minor}"
        return {
            "body": CONTINUA,
            "type": _VERSION,
            "continua_version": version,
            "device_classes": classes,
        }
    if isinstance(entry, Regulation):
        return {"body": CONTINUA, "type": _REGULATION, "regulation": entry.bits}
    return {"body": entry.body, "type": entry.entry_type, "data": entry.data.hex()}


def _encode_entry(entry: Entry) -> bytes:
    if isinstance(entry, Other):
        body, entry_type, data = entry.body, entry.entry_type, entry.data
    elif isinstance(entry, Regulation):
        body, entry_type, data = CONTINUA, _REGULATION, _bytes(entry.bits)
    else:
        classes = b"".join(_bytes(one) for one in entry.device_classes)
        sizes = _bytes(len(entry.device_classes)) + _bytes(len(classes))
        data = bytes((entry.major, entry.minor)) + sizes + classes
        body, entry_type = CONTINUA, _VERSION
    return bytes((body, entry_type)) + _bytes(len(data)) + data


def _word(reader: Reader, what: str) -> int:
    return int.from_bytes(reader.take(2, what), "big")


def _bytes(number: int) -> bytes:
    return number.to_bytes(2, "big")
