"""What happened with each device of a trace: its links, and on each what was said, in order.

Requests are matched with their answers; long values are put together. A characteristic may be
found only after it was used (a bonded host remembers it), so a happening holds the handle, and the
device's table says what that is.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from devices.errors import DecodeError, TraceError
from devices.trace import btsnoop, hci
from devices.trace.att import (
    AskedByType,
    AskedRead,
    AskedWrite,
    Confirmed,
    Execute,
    Failed,
    GivenByType,
    GivenGroups,
    GivenInfo,
    GivenRead,
    Message,
    Mtu,
    Prepared,
    Sent,
    Written,
    message,
)
from devices.trace.table import DECLARATION, GattTable
from devices.trace.uuids import uuid_of

_PAIRING = {
    0x01: "asks to pair",
    0x02: "answers how it pairs",
    0x05: "pairing failed",
    0x0B: "asks for encryption",
}


class Did(StrEnum):
    """What a happening is."""

    EXCHANGED_MTU = "exchanged_mtu"
    PAIRING = "pairing"
    ENCRYPTED = "encrypted"
    READ = "read"
    WROTE = "wrote"
    SUBSCRIBED = "subscribed"
    SENT = "sent"


@dataclass(slots=True)
class Happening:
    """One thing that happened on a link.

    ``is_ours`` where this side began it. ``handle`` and ``raw`` are what was read, written or sent;
    ``error`` is the code of a refusal. ``is_indicated`` and ``confirmed_at`` are of what was sent,
    ``said`` is a word about pairing. ``is_answered`` is False for a request without an answer.
    """

    at: datetime
    did: Did
    is_ours: bool = True
    handle: int = 0
    raw: bytes = b""
    error: int | None = None
    is_indicated: bool = False
    confirmed_at: datetime | None = None
    is_answered: bool = True
    said: str = ""


@dataclass(slots=True)
class Link:
    """One link with a device; ``down_at`` is None where the trace ends before the link."""

    number: int
    up_at: datetime
    happenings: list[Happening] = field(default_factory=list)
    down_at: datetime | None = None
    reason: int | None = None
    last_at: datetime | None = None


@dataclass(slots=True)
class Device:
    """One device of the trace: what it advertised, what it holds, its links."""

    address: str
    is_random: bool
    name: str | None = None
    services: tuple[str, ...] = ()
    table: GattTable = field(default_factory=GattTable)
    links: list[Link] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Story:
    """All that a trace tells: devices in the order of their first link.

    ``passed_over`` counts packets that could not be read, ``others`` links that this side did not
    ask for.
    """

    began_at: datetime | None
    devices: tuple[Device, ...]
    passed_over: int
    others: int


def tell(*files: bytes) -> Story:
    """Return what btsnoop files, in this order, tell; TraceError where one cannot be read.

    What one of them found out about a device's services holds in the others.
    """
    listener = _Listener()
    reading = hci.Reading()
    for raw in files:
        reading.forget_links()
        for event in reading.events(btsnoop.records(raw)):
            listener.take(event)
    for device in listener.devices.values():
        _name_subscriptions(device)
    return Story(
        listener.began_at,
        tuple(listener.devices.values()),
        reading.passed_over + listener.passed_over,
        listener.others,
    )


def _name_subscriptions(device: Device) -> None:
    """Tell subscriptions from other writes, now that all that was found is known."""
    for happening in (one for link in device.links for one in link.happenings):
        if happening.did is Did.WROTE and device.table.is_subscription(happening.handle):
            happening.did = Did.SUBSCRIBED


def only_device(story: Story, address: str | None = None) -> Device:
    """Return the device of that address, or the only one; TraceError where that is not clear."""
    found = [d for d in story.devices if address is None or d.address == address.upper()]
    if not found:
        raise TraceError("no_device", "the trace holds no link with it")
    if len(found) > 1:
        raise TraceError("many_devices", ", ".join(one.address for one in found))
    return found[0]


@dataclass(slots=True)
class _Listener:
    began_at: datetime | None = None
    devices: dict[str, Device] = field(default_factory=dict)
    others: int = 0
    passed_over: int = 0
    _said: dict[str, hci.Advertised] = field(default_factory=dict)
    _dialogues: dict[int, _Dialogue] = field(default_factory=dict)

    def take(self, event: hci.Event) -> None:
        self.began_at = self.began_at or event.at
        match event:
            case hci.Advertised():
                self._advertised(event)
            case hci.LinkUp():
                self._up(event)
            case hci.LinkDown():
                if dialogue := self._dialogues.pop(event.link, None):
                    dialogue.link.down_at, dialogue.link.reason = event.at, event.reason
            case hci.Encrypted():
                if dialogue := self._dialogues.get(event.link):
                    error = event.status or None
                    dialogue.note(Happening(event.at, Did.ENCRYPTED, error=error))
            case _:
                if dialogue := self._dialogues.get(event.link):
                    self._frame(dialogue, event)

    def _advertised(self, event: hci.Advertised) -> None:
        before = self._said.get(event.address)
        if before is not None:
            # Name and services may come in different packets.
            name = event.name or before.name
            services = tuple(dict.fromkeys((*before.services, *event.services)))
            event = hci.Advertised(event.at, event.address, name, services)
        self._said[event.address] = event

    def _up(self, event: hci.LinkUp) -> None:
        if not event.is_central:
            self.others += 1
            return
        device = self.devices.setdefault(event.address, Device(event.address, event.is_random))
        if said := self._said.get(event.address):
            device.name, device.services = said.name, said.services
        link = Link(len(device.links) + 1, event.at)
        device.links.append(link)
        self._dialogues[event.link] = _Dialogue(link, device.table)

    def _frame(self, dialogue: _Dialogue, frame: hci.Frame) -> None:
        try:
            if frame.channel == hci.ATTRIBUTES:
                said = message(frame.raw)
                if said is not None:
                    dialogue.take(frame.at, said, is_ours=frame.is_ours)
            elif frame.channel == hci.SECURITY and frame.raw[0] in _PAIRING:
                # Nothing of what follows the first byte is told: it may be a key.
                word = _PAIRING[frame.raw[0]]
                dialogue.note(Happening(frame.at, Did.PAIRING, is_ours=frame.is_ours, said=word))
        except (struct.error, IndexError, DecodeError):
            self.passed_over += 1


@dataclass(slots=True)
class _Dialogue:
    """One link being listened to: what waits for its answer."""

    link: Link
    table: GattTable
    _asked_type: str = ""
    _reading: Happening | None = None
    _writing: Happening | None = None
    _indicating: Happening | None = None
    _prepared: dict[int, bytes] = field(default_factory=lambda: defaultdict(bytes))

    def note(self, happening: Happening) -> None:
        self.link.happenings.append(happening)

    def take(self, at: datetime, said: Message, *, is_ours: bool) -> None:
        """Take one message. Requests are ours and answers the device's; the rest is its own asking
        at our attributes, which is not told.
        """
        match said:
            case Sent() if not is_ours:
                self._sent(at, said)
            case Confirmed() if is_ours and self._indicating is not None:
                self._indicating.confirmed_at, self._indicating = at, None
            case AskedByType() | AskedRead() | AskedWrite() | Prepared() | Execute() if is_ours:
                self._ask(at, said)
            case Mtu() if not is_ours and said.is_answer:
                self.note(Happening(at, Did.EXCHANGED_MTU, said=str(said.size_bytes)))
            case Failed() | GivenRead() | Written() if not is_ours:
                self._answer(said)
            case GivenByType() | GivenGroups() | GivenInfo() if not is_ours:
                self._learn(said)

    def _sent(self, at: datetime, said: Sent) -> None:
        happening = Happening(
            at, Did.SENT, False, said.handle, said.raw, is_indicated=said.is_indicated
        )
        if said.is_indicated:
            self._indicating = happening
        self.note(happening)

    def _ask(
        self, at: datetime, said: AskedByType | AskedRead | AskedWrite | Prepared | Execute
    ) -> None:
        match said:
            case AskedByType():
                self._asked_type = said.uuid
            case AskedRead() if said.offset and self._continues(said):
                pass
            case AskedRead():
                self._reading = Happening(at, Did.READ, handle=said.handle, is_answered=False)
                self.note(self._reading)
            case AskedWrite():
                self._write(at, said.handle, said.raw, is_answered=not said.is_answered)
            case Prepared():
                self._prepared[said.handle] += said.raw
            case _:
                for handle, raw in self._prepared.items() if said.is_meant else ():
                    self._write(at, handle, raw, is_answered=False)
                self._prepared.clear()

    def _continues(self, said: AskedRead) -> bool:
        """Tell whether this asks for the rest of what was read last."""
        last = self._reading
        return last is not None and last.handle == said.handle and len(last.raw) == said.offset

    def _write(self, at: datetime, handle: int, raw: bytes, *, is_answered: bool) -> None:
        happening = Happening(at, Did.WROTE, handle=handle, raw=raw, is_answered=is_answered)
        self._writing = None if is_answered else happening
        self.note(happening)

    def _answer(self, said: Failed | GivenRead | Written) -> None:
        if isinstance(said, GivenRead):
            if self._reading is not None:
                self._reading.raw += said.raw
                self._reading.is_answered = True
            return
        waiting, reading = self._writing, self._reading
        if isinstance(said, Failed) and reading is not None and not reading.is_answered:
            waiting = reading
        if waiting is not None:
            waiting.is_answered = True
            waiting.error = said.code if isinstance(said, Failed) else None
        self._writing = None

    def _learn(self, said: GivenByType | GivenGroups | GivenInfo) -> None:
        match said:
            case GivenGroups():
                self.table.note_services(said.found)
            case GivenInfo():
                self.table.note_descriptors(said.found)
            case GivenByType() if self._asked_type == DECLARATION:
                for _, value in said.found:
                    properties, handle = struct.unpack_from("<BH", value)
                    self.table.note_declaration(properties, handle, uuid_of(value[3:]))
