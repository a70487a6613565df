"""What gateway and server say to each other over MQTT (contract.md 1).

The only module that both sides share. Payloads are UTF-8 JSON; unknown fields are ignored, so a newer
sender may add some; the topic's major version decides.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

VERSION = 1
PAYLOAD_MAX_BYTES = 65_536
BACKLOG_ITEMS_MAX = 50
BACKLOG_AGE_MIN_S = 600
RESEND_DAYS_MAX = 7

Time = Annotated[datetime, Meta(tz=True)]
LocalTime = Annotated[datetime, Meta(tz=False)]
Uid = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
ItemType = Literal["value", "event", "clock", "retract", "undecodable", "tombstone"]
TimeQuality = Literal["device", "corrected", "gateway", "estimated"]
ClockQuality = Literal["ntp", "estimated", "none"]


class WireSample(Struct, frozen=True, omit_defaults=True):
    """One component: MDC digits (else ``loinc:…``/``hemma:…``), value or reason for absence, UCUM unit."""

    code: str
    value: float | None
    unit: str
    absent: Literal["nan", "nres", "pos_inf", "neg_inf", "reserved"] | None = None


class Item(Struct, frozen=True, omit_defaults=True):
    """One Measurement, or one fact about measuring, on the wire.

    ``type`` decides which of the optional fields matter; :func:`fault_of` says what is missing.
    """

    seq: int
    uid: Uid
    type: ItemType = "value"
    dev: str | None = None
    model: str | None = None
    dev_seq: int | None = None
    kind: str | None = None
    samples: tuple[WireSample, ...] = ()
    t: Time | None = None
    tq: TimeQuality | None = None
    dev_t: LocalTime | None = None
    gw_t: Time | None = None
    gw_q: ClockQuality | None = None
    mono_ms: int | None = None
    flags: tuple[str, ...] = ()
    ctx: dict[str, str | int | float] = {}
    char: str | None = None
    raw: str | None = None
    # type "clock": corrects a whole boot
    boot: str | None = None
    utc: Time | None = None
    q: ClockQuality | None = None
    # type "retract": marks, never deletes
    of: Uid | None = None
    why: str | None = None
    # type "event": what happened, e.g. measurement_failed, not_me, pause, answer, local_red_shown
    event: str | None = None


class Envelope(Struct, frozen=True):
    """One message of items written in one boot."""

    v: int
    msg: str
    boot: str
    sent: Time
    items: tuple[Item, ...]


class RawEnvelope(Struct, frozen=True):
    """An envelope whose items are still bytes, so that a bad item never holds up a good one."""

    v: int
    msg: str
    boot: str
    sent: Time
    items: tuple[msgspec.Raw, ...]


class Nack(Struct, frozen=True):
    """A refused item. ``seq`` is None where the payload could not be read at all."""

    seq: int | None
    reason: str
    retry: Literal["never", "later"]


class Ack(Struct, frozen=True):
    """Sent after commit only, for what is committed or was already there. ``stored`` holds inclusive ranges."""

    v: int
    msg: str
    boot: str
    stored: tuple[tuple[int, int], ...]
    nack: tuple[Nack, ...] = ()


class Receipt(Struct, frozen=True):
    """Care has seen the value ``uid``: when, and which unit."""

    uid: Uid
    seen: Time
    unit: str


class Receipts(Struct, frozen=True):
    """Receipts for one gateway; those of the last 48 h are sent again when it comes online."""

    v: int
    items: tuple[Receipt, ...]


class Request(Struct, frozen=True):
    """The server asks for a repeat, a missing value, or stored rows since a time."""

    v: int
    id: str
    kind: str | None
    ask: Literal["repeat", "missing", "resend"]
    text: dict[str, str]
    since: Time | None
    expires: Time


class Config(Struct, frozen=True):
    """A signed configuration: Ed25519 over :func:`signed_bytes` of the body, base64url without padding."""

    v: int
    kid: str
    body: str
    sig: str


class ConfigReported(Struct, frozen=True):
    """What the gateway made of a configuration."""

    v: int
    serial: int
    ok: bool
    error: str | None


class Radio(Struct, frozen=True):
    """State of the Bluetooth radio; "deaf" is not "no reading"."""

    state: Literal["ok", "deaf", "absent"]
    last_adv_s: int | None
    resets: int


class DeviceStatus(Struct, frozen=True):
    """A device as the gateway last knew it."""

    dev: str
    battery: int | None
    last_seen: Time


class Status(Struct, frozen=True):
    """A gateway's retained status and its will."""

    v: int
    t: Time
    state: Literal["online", "offline"]
    reason: Literal["will", "shutdown", "update", "power"] | None
    boot: str
    sw: str
    outbox: int
    oldest: Time | None
    quarantine: int
    radio: Radio
    clock: ClockQuality
    disk_free: int
    temp_c: float | None
    power: str
    devices: tuple[DeviceStatus, ...]
