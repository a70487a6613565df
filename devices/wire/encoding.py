"""Objects to JSON and back, with reasons for what cannot be read.

Times travel in UTC with exactly three decimals and ``Z``; a device's own time travels without a
zone, to the second. Items of type ``value`` write every field of the contract's table, null
included, so that a reader sees what is missing; all else leaves defaults out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TypeVar

import msgspec

from devices.errors import WireError
from devices.wire.shapes import PAYLOAD_MAX_BYTES, VERSION, Envelope, Item, RawEnvelope

_T = TypeVar("_T")

_VALUE_FIELDS = (
    "type",
    "seq",
    "uid",
    "dev",
    "model",
    "dev_seq",
    "kind",
    "samples",
    "t",
    "tq",
    "dev_t",
    "gw_t",
    "gw_q",
    "mono_ms",
    "flags",
    "ctx",
    "char",
    "raw",
)


# What no database column can hold, as JSON writes it.
_ZERO_CHARACTER = b"\\u0000"
_WHOLE = msgspec.json.Decoder(Envelope)


class _Version(msgspec.Struct):
    v: int


class _Numbered(msgspec.Struct):
    seq: int | None = None


def encode(message: msgspec.Struct) -> bytes:
    """Return ``message`` (any object of :mod:`devices.wire.shapes`) as UTF-8 JSON."""
    return msgspec.json.encode(_plain(message))


def decode(payload: bytes, shape: type[_T]) -> _T:
    """Read a whole message of ``shape``, which has a version.

    Raises WireError: ``too_large``, ``unparseable``, ``unsupported_version`` or ``bad_message``.
    """
    if len(payload) > PAYLOAD_MAX_BYTES:
        raise WireError("too_large", f"{len(payload)} bytes; at most {PAYLOAD_MAX_BYTES}")
    version = _read(payload, _Version, "bad_message").v
    if version != VERSION:
        raise WireError("unsupported_version", str(version))
    return _read(payload, shape, "bad_message")


def decode_envelope(payload: bytes) -> RawEnvelope:
    """Read an envelope, leaving its items as bytes; raises WireError as :func:`decode` does."""
    return decode(payload, RawEnvelope)


def decode_whole(payload: bytes) -> Envelope | None:
    """Read an envelope with all its items in one go; None where anything in it is in question.

    Then :func:`decode_envelope` and :func:`decode_item` say what, item by item. Where this returns
    one, they accept it and all its items, and read the same.
    """
    if len(payload) > PAYLOAD_MAX_BYTES or _ZERO_CHARACTER in payload:
        return None
    try:
        envelope = _WHOLE.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return envelope if envelope.v == VERSION and _are_hexadecimal(envelope.items) else None


def decode_item(raw: bytes | msgspec.Raw) -> Item:
    """Read one item; WireError ``bad_item`` carries its number where that could still be read.

    A character U+0000 is refused too: no database column could hold it.
    """
    if _ZERO_CHARACTER in bytes(raw):
        raise WireError("bad_item", "contains U+0000", _seq_of(raw))
    try:
        item = _read(raw, Item, "bad_item")
    except WireError as error:
        raise WireError("bad_item", error.detail, _seq_of(raw)) from error
    if not _are_hexadecimal((item,)):
        raise WireError("bad_item", "uid or raw is not hexadecimal", _seq_of(raw))
    return item


def _are_hexadecimal(items: Sequence[Item]) -> bool:
    """Tell whether each ``uid`` is lower-case hexadecimal and each ``raw`` is whole bytes of it.

    All of them in one piece: what was read and written again must be the same.
    """
    uids = "".join([item.uid for item in items])
    raws = [item.raw for item in items if item.raw]
    joined = "".join(raws)
    try:
        same = bytes.fromhex(uids).hex() == uids and bytes.fromhex(joined).hex() == joined.lower()
    except ValueError:
        return False
    return same and not any(len(raw) % 2 for raw in raws)


def _seq_of(raw: bytes | msgspec.Raw) -> int | None:
    try:
        seq = _read(raw, _Numbered, "bad_item").seq
    except WireError:
        return None
    return seq if seq is not None and 0 < seq < 1 << 63 else None


def _read(payload: bytes | msgspec.Raw, shape: type[_T], reason: str) -> _T:
    try:
        return msgspec.json.decode(payload, type=shape)
    except msgspec.ValidationError as error:
        raise WireError(reason, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("unparseable", str(error)) from error


def _plain(value: object) -> object:
    if isinstance(value, Item):
        return _plain_item(value)
    if isinstance(value, msgspec.Struct):
        return _plain_struct(value)
    if isinstance(value, datetime):
        return _plain_time(value)
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return value


def _plain_item(item: Item) -> dict[str, object]:
    if item.type != "value":
        return {"type": item.type, **_plain_struct(item)}
    return {name: _plain(getattr(item, name)) for name in _VALUE_FIELDS}


def _plain_struct(struct: msgspec.Struct) -> dict[str, object]:
    is_sparse = struct.__struct_config__.omit_defaults
    plain: dict[str, object] = {}
    for field in _fields(type(struct)):
        value = getattr(struct, field.name)
        if is_sparse and not field.required and value in (field.default, (), {}):
            continue
        plain[field.encode_name] = _plain(value)
    return plain


# Each look evaluates the types anew, which takes longer than all the rest.
@cache
def _fields(shape: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(shape)


def _plain_time(time: datetime) -> str:
    if time.tzinfo is None:
        return time.isoformat(timespec="seconds")
    utc = time.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="milliseconds") + "Z"
