"""The shapes of every message (contract.md 1), with the bounds that hold when one is read.

Unknown fields are ignored, so a newer sender may add some. Building an object checks nothing;
reading one does. Bounds are generous: what they refuse could not be stored, or was never meant.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

VERSION = 1
PAYLOAD_MAX_BYTES = 65_536
BACKLOG_ITEMS_MAX = 50
BACKLOG_AGE_MIN_S = 600
RESEND_DAYS_MAX = 7

Time = Annotated[datetime, Meta(tz=True)]
LocalTime = Annotated[datetime, Meta(tz=False)]
# \Z and not $, which would let a line feed follow: a database would refuse the whole batch.
Uid = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
Uuid = Annotated[
    str, Meta(pattern=r"^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z", max_length=36)
]
# A PostgreSQL bigint; a number beyond it could not be stored.
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Seq = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Reason = Annotated[str, Meta(max_length=500)]
# Of an item's own uid and bytes only the length is looked at here: a pattern for each costs as much
# as all the rest of reading an item. ``encoding.py`` looks at those of a whole message at once.
ItemUid = Annotated[str, Meta(min_length=32, max_length=32)]
# 512 bytes is the longest attribute value of Bluetooth.
Hex = Annotated[str, Meta(max_length=1024)]
ContextValue = Annotated[str, Meta(max_length=200)] | int | float
ItemType = Literal["value", "event", "clock", "retract", "undecodable", "tombstone"]
TimeQuality = Literal["device", "corrected", "gateway", "estimated"]
ClockQuality = Literal["ntp", "estimated", "none"]
AbsentReason = Literal["nan", "nres", "pos_inf", "neg_inf", "reserved"]


# Samples and items are many and never part of a cycle: the collector need not walk them.
class WireSample(Struct, frozen=True, omit_defaults=True, gc=False):
    """One component: MDC digits (else ``loinc:…``, ``hemma:…``), value or why none, UCUM unit."""

    code: Name
    value: float | None
    unit: Annotated[str, Meta(max_length=32)]
    absent: AbsentReason | None = None


class Item(Struct, frozen=True, omit_defaults=True, gc=False):
    """One Measurement, or one fact about measuring, on the wire.

    ``type`` decides which of the optional fields matter; :func:`fault_of` says what is missing.
    """

    seq: Seq
    uid: ItemUid
    type: ItemType = "value"
    dev: Name | None = None
    model: Annotated[str, Meta(max_length=64)] | None = None
    dev_seq: Count | None = None
    kind: Name | None = None
    samples: Annotated[tuple[WireSample, ...], Meta(max_length=64)] = ()
    t: Time | None = None
    tq: TimeQuality | None = None
    dev_t: LocalTime | None = None
    gw_t: Time | None = None
    gw_q: ClockQuality | None = None
    mono_ms: Count | None = None
    flags: Annotated[tuple[Name, ...], Meta(max_length=64)] = ()
    ctx: Annotated[dict[Name, ContextValue], Meta(max_length=32)] = {}
    char: Annotated[str, Meta(max_length=36)] | None = None
    raw: Hex | None = None
    # type "clock": corrects a whole boot
    boot: Uuid | None = None
    utc: Time | None = None
    q: ClockQuality | None = None
    # type "retract": marks, never deletes
    of: Uid | None = None
    why: Reason | None = None
    # type "event": what happened, e.g. measurement_failed, not_me, pause, answer, local_red_shown
    event: Name | None = None


class Envelope(Struct, frozen=True):
    """One message of items written in one boot."""

    v: int
    msg: Uuid
    boot: Uuid
    sent: Time
    items: tuple[Item, ...]


class RawEnvelope(Struct, frozen=True):
    """An envelope whose items are still bytes, so that a bad item never holds up a good one."""

    v: int
    msg: Uuid
    boot: Uuid
    sent: Time
    items: tuple[msgspec.Raw, ...]


class Nack(Struct, frozen=True):
    """A refused item. ``seq`` is None where the payload could not be read at all."""

    seq: Count | None
    reason: Reason
    retry: Literal["never", "later"]


class Ack(Struct, frozen=True):
    """Sent after commit only, for what is committed or was already there.

    ``stored`` holds inclusive ranges of sequence numbers. ``msg`` and ``boot`` are those of the
    message; where it could not be read, ``msg`` is its Correlation Data and ``boot`` is empty.
    """

    v: int
    msg: str
    boot: str
    stored: tuple[tuple[Count, Count], ...]
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
    """A signed configuration: Ed25519 over ``signed_bytes(body)``, base64url without padding."""

    v: int
    kid: Annotated[str, Meta(min_length=1, max_length=64)]
    body: str
    sig: str


class ScheduledMeasurement(Struct, frozen=True):
    """One agreed measurement: ``at`` is HH:MM in Europe/Stockholm, ``days`` 1 (Monday) to 7."""

    kind: Name
    at: Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z")]
    days: tuple[Annotated[int, Meta(ge=1, le=7)], ...] = (1, 2, 3, 4, 5, 6, 7)


class RedRule(Struct, frozen=True):
    """A red limit of the plan, so that the home can show it without the server.

    Fires at or above (``ge``) or at or below (``le``) ``limit``, in the catalogue's unit of
    ``code``. ``text`` names one of the body's texts.
    """

    rule: Name
    version: Count
    kind: Name
    code: Name
    op: Literal["ge", "le"]
    limit: float
    text: Name


class Text(Struct, frozen=True):
    """One text of the home screen in its languages; never a name, never about a person."""

    sv: str
    en: str
    fi: str


class NextKey(Struct, frozen=True):
    """The key that signs the next configurations: its id and the raw public key in base64url."""

    kid: Annotated[str, Meta(min_length=1, max_length=64)]
    key: str


class ConfigBody(Struct, frozen=True):
    """What a configuration says once its signature holds. ``for_`` (``for``) is the gateway."""

    for_: str = field(name="for")
    serial: Count
    issued: Time
    placement: Annotated[str, Meta(max_length=64)]
    schedule: tuple[ScheduledMeasurement, ...] = ()
    rules: tuple[RedRule, ...] = ()
    texts: dict[Name, Text] = {}
    next_key: NextKey | None = None


class ConfigReported(Struct, frozen=True):
    """What the gateway made of a configuration."""

    v: int
    serial: Count
    ok: bool
    error: str | None


class Recovery(Struct, frozen=True):
    """How often each step against a radio that hears nothing was taken since the start."""

    scan: Count = 0
    power: Count = 0
    bluetoothd: Count = 0
    reboot: Count = 0


NO_RECOVERY = Recovery()


class Radio(Struct, frozen=True, omit_defaults=True):
    """State of the Bluetooth radio; "deaf" is not "no reading".

    Counts are since the gateway's start. ``links`` counts links by how they ended, ``no_links``
    those that never came about, by reason. ``bond_lost`` names devices that a person must pair
    again. ``early_values`` came before they were asked for; ``unkept_values`` were confirmed by
    BlueZ and could not be kept; ``blind_links`` began before BlueZ knew the device's services, when
    an early value would be lost. What is not known, or nothing, is left out.
    """

    state: Literal["ok", "deaf", "absent"]
    last_adv_s: Count | None
    resets: Count
    kernel: str | None = None
    recovery: Recovery = NO_RECOVERY
    bluetoothd_restarts: Count = 0
    adapter_lost: Count = 0
    links: dict[str, Count] = {}
    no_links: dict[str, Count] = {}
    bond_lost: tuple[str, ...] = ()
    early_values: Count = 0
    unkept_values: Count = 0
    blind_links: Count = 0


class DeviceStatus(Struct, frozen=True):
    """A device as the gateway last knew it."""

    dev: str
    battery: Annotated[int, Meta(ge=0, le=100)] | None
    last_seen: Time


class Status(Struct, frozen=True):
    """A gateway's retained status and its will."""

    v: int
    t: Time
    state: Literal["online", "offline"]
    reason: Literal["will", "shutdown", "update", "power"] | None
    boot: str
    sw: str
    outbox: Count
    oldest: Time | None
    quarantine: Count
    radio: Radio
    clock: ClockQuality
    disk_free: Count
    temp_c: float | None
    power: str
    devices: tuple[DeviceStatus, ...]
