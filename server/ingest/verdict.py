"""The verdict on each item of a message (contract.md 1): pure, from bytes to a reasoned answer.

- Stored, or there already → acknowledged; that is the store's answer to what is *accepted* here.
- Cannot be decoded or identified → put into quarantine with its reason, refused for ever.
- Unknown gateway, unsupported version → refused for now: the row stays at home.
- JSON that cannot be read at all → refused with ``seq`` null; the gateway sends its items singly.
- A bad item never holds up a good one. Implausible is not undecodable: it is accepted.
- What one key says twice in an item, the last one says (RFC 8259 leaves it open).
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from devices import wire
from devices.wire import Ack, Item, Nack
from devices.wire.shapes import Seq

# Ten times the contract's 50 of a backlog message, and more values than fit into a payload: beyond
# it only rubbish is that small. An acknowledgement of so many refusals still fits into a payload.
ITEMS_MAX = 500
# A message's name is a UUID of 36 characters; of what is longer no more is repeated to its sender.
NAME_MAX = 64
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is refused, and what of it goes into quarantine (None: the row stays at home)."""

    nack: Nack
    detail: str = ""
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one message. ``msg`` and ``boot`` are empty where they could not be read."""

    gateway: str
    leaf: str
    msg: str
    boot: str
    accepted: tuple[Item, ...] = ()
    refused: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class _Head:
    """What can be read of an envelope, each field for itself; empty what cannot."""

    msg: str = ""
    boot: str = ""
    items: tuple[msgspec.Raw, ...] = ()


class _Numbered(msgspec.Struct):
    seq: Seq


def judge(
    topic: str, payload: bytes, *, correlation: bytes | None, known: Container[str]
) -> Verdict:
    """Judge one message of the topics ``measurements`` and ``backlog``.

    ``known`` holds the names of the registered gateways; ``correlation`` is the MQTT property,
    which names the message when its payload cannot.
    """
    gateway, leaf = wire.gateway_of(topic)
    msg = (correlation or b"")[:NAME_MAX].decode(errors="replace")
    verdict = Verdict(gateway, leaf, msg, "")
    if gateway not in known:
        return _later(verdict, payload, "unknown_gateway")
    if accepted := _accepted(payload):
        return Verdict(gateway, leaf, accepted.msg, accepted.boot, accepted.items)
    try:
        envelope = wire.decode_envelope(payload)
    except wire.WireError as error:
        if error.reason == "unsupported_version":
            return _later(verdict, payload, error.reason)
        return _whole(_named(verdict, _head(payload)), error.reason, error.detail, payload)
    verdict = Verdict(gateway, leaf, envelope.msg, envelope.boot)
    if (count := len(envelope.items)) > ITEMS_MAX:
        return _whole(verdict, "too_many_items", f"{count} items; at most {ITEMS_MAX}", payload)
    return _each(verdict, envelope.items)


def acknowledgement(verdict: Verdict, stored: Sequence[int], refused: Sequence[Refusal]) -> Ack:
    """Return what the gateway is told about one message, once the transaction is committed."""
    return Ack(
        v=wire.VERSION,
        msg=verdict.msg,
        boot=verdict.boot,
        stored=wire.seq_ranges(stored),
        nack=tuple(refusal.nack for refusal in refused),
    )


def _accepted(payload: bytes) -> wire.Envelope | None:
    """Return the message where all of it is accepted, as nearly every one is.

    Anything else is judged item by item, with the same verdict on each.
    """
    envelope = wire.decode_whole(payload)
    if envelope is None or len(envelope.items) > ITEMS_MAX:
        return None
    return None if any(map(wire.fault_of, envelope.items)) else envelope


def _each(verdict: Verdict, raws: Sequence[msgspec.Raw]) -> Verdict:
    accepted: list[Item] = []
    refused: list[Refusal] = []
    for raw in raws:
        judged = _item(raw)
        if isinstance(judged, Item):
            accepted.append(judged)
        else:
            refused.append(judged)
    return Verdict(
        verdict.gateway, verdict.leaf, verdict.msg, verdict.boot, tuple(accepted), tuple(refused)
    )


def _item(raw: msgspec.Raw) -> Item | Refusal:
    try:
        item = wire.decode_item(raw)
    except wire.WireError as error:
        return Refusal(Nack(error.seq, error.reason, "never"), error.detail, bytes(raw))
    reason = wire.fault_of(item)
    if reason is not None:
        return Refusal(Nack(item.seq, reason, "never"), "", bytes(raw))
    return item


def _later(verdict: Verdict, payload: bytes, reason: str) -> Verdict:
    """Refuse a whole message for now: each of its rows by number as far as they can be read."""
    head = _head(payload)
    numbers: list[int | None] = [_seq_of(raw) for raw in head.items[:ITEMS_MAX]]
    refused = tuple(Refusal(Nack(seq, reason, "later")) for seq in numbers or [None])
    named = _named(verdict, head)
    return Verdict(verdict.gateway, verdict.leaf, named.msg, named.boot, (), refused)


def _named(verdict: Verdict, head: _Head) -> Verdict:
    """Return ``verdict`` with the names that its message gives itself, where they can be read."""
    msg = head.msg[:NAME_MAX] or verdict.msg
    return Verdict(verdict.gateway, verdict.leaf, msg, head.boot[:NAME_MAX])


def _head(payload: bytes) -> _Head:
    try:
        fields = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
    except _UNREADABLE:
        return _Head()
    return _Head(
        _field(fields, "msg", str, ""),
        _field(fields, "boot", str, ""),
        _field(fields, "items", tuple[msgspec.Raw, ...], ()),
    )


def _field(fields: Mapping[str, msgspec.Raw], name: str, kind: Any, missing: T) -> T:
    try:
        value: T = msgspec.json.decode(fields.get(name, b"null"), type=kind)
    except _UNREADABLE:
        return missing
    return value


def _whole(verdict: Verdict, reason: str, detail: str, payload: bytes) -> Verdict:
    refusal = Refusal(Nack(None, reason, "never"), detail, payload)
    return Verdict(verdict.gateway, verdict.leaf, verdict.msg, verdict.boot, (), (refusal,))


def _seq_of(raw: msgspec.Raw) -> int | None:
    try:
        return msgspec.json.decode(raw, type=_Numbered).seq
    except _UNREADABLE:
        return None
