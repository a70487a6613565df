"""One link with one device: what the conversation commands is carried out, and answered.

A value is in the journal before anything else happens to it. On the virtual link the confirmation
goes out when the callback returns, so what could not be kept is not confirmed; BlueZ confirms by
itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import tzinfo
from typing import Protocol

import structlog
from bleak import BleakClient
from bleak.backends.device import BLEDevice

from devices.conversation import (
    Command,
    Connected,
    Consent,
    Conversation,
    Disconnected,
    Ending,
    Event,
    HangUp,
    Keep,
    Moment,
    NoteClock,
    NoteEvent,
    NoteSequence,
    Notified,
    Pair,
    Paired,
    Read,
    ReadValue,
    Subscribe,
    Subscribed,
    Tick,
    WriteValue,
    Written,
    numbered,
)
from devices.profiles import Profile
from gateway.ble.bluez_gatt import BluezGatt
from gateway.ble.connect import Limits, NoLink, connect, why_no_link
from gateway.ble.gatt import LINK_ERRORS, BleakGatt, Gatt, att_error
from gateway.ble.journal import JOURNAL_ERRORS, Journal
from gateway.ble.radio import Radio
from gateway.ble.subscriptions import Subscriptions
from gateway.clock import ClockReading
from gateway.paired import PairedDevice

log = structlog.get_logger(__name__)

EVENTS_MAX = 256
INCOMPLETE_WAITS_S = (0.3, 1.0)
"""Right after a pairing BlueZ 5.66 says "resolved" before it has told of every characteristic."""


class Notes(Protocol):
    """What is remembered of a device between its links; each method raises JOURNAL_ERRORS."""

    def last_sequence(self, dev: str, characteristic: str) -> int | None:
        """Return the number up to which records are kept, None for none."""

    def proof(self, dev: str, characteristic: str) -> bytes | None:
        """Return what was noted beside that number."""

    def consent(self, dev: str) -> Consent | None:
        """Return which user of the device the person is, None where nobody said."""

    def sequence(
        self, dev: str, characteristic: str, number: int | None, proof: bytes | None
    ) -> None:
        """Remember that number; None forgets it."""

    def event(self, dev: str, what: str, detail: str) -> None:
        """Keep a fact about measuring that is no measurement."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a link ended: ``ending`` is None when it never came about; ``cause`` names an error.

    ``is_bond_refused`` where it looks as if the device, or BlueZ, had forgotten the bond.
    """

    ending: Ending | None
    values: int
    clock_offset_s: float | None
    cause: str | None = None
    is_bond_refused: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every link needs: made once by whoever listens.

    ``subscriptions`` is set on BlueZ: values then come through them only. ``zone`` is the home's:
    devices keep local time. Without ``notes`` nothing is remembered between links.
    """

    radio: Radio
    journal: Journal
    clock: Callable[[], ClockReading]
    zone: tzinfo
    limits: Limits
    subscriptions: Subscriptions | None = None
    notes: Notes | None = None


@dataclass(slots=True)
class _Link:
    paired: PairedDevice
    profile: Profile
    around: Surroundings
    conversation: Conversation
    events: asyncio.Queue[Event]
    client: BleakClient | None = None
    clock_offset_s: float | None = None
    _gatt: Gatt | None = None

    @property
    def is_up(self) -> bool:
        return self.client is not None and self.client.is_connected

    @property
    def gatt(self) -> Gatt:
        assert self._gatt is not None, "only a link has characteristics"
        return self._gatt

    def linked(self, client: BleakClient) -> None:
        subscriptions = self.around.subscriptions
        self.client = client
        self._gatt = (
            BleakGatt(client, self.on_value)
            if subscriptions is None
            else BluezGatt(subscriptions, self.paired)
        )

    def on_value(self, characteristic: str, raw: bytes) -> None:
        """Keep what bleak hands over; whatever the journal raises goes on to the backend.

        So nothing is confirmed where the backend can still hold the confirmation back.
        """
        kept = False
        try:
            self.append(characteristic, raw)
            kept = True
        finally:
            self.put(Notified(characteristic, raw, kept))

    def append(self, characteristic: str, raw: bytes) -> None:
        dev, model = self.paired.dev, self.paired.model
        self.around.journal.append(dev=dev, model=model, characteristic=characteristic, raw=raw)

    def put(self, event: Event) -> None:
        # At the bound an event is only a count or a hang-up that the next tick finds out anyway:
        # the value itself is in the journal already.
        with suppress(asyncio.QueueFull):
            self.events.put_nowait(event)

    def now(self) -> Moment:
        reading = self.around.clock()
        if reading.quality == "none":
            return Moment(reading.mono_ms / 1000, None)
        local = reading.utc.astimezone(self.around.zone).replace(tzinfo=None)
        return Moment(reading.mono_ms / 1000, local)


async def converse(
    device: BLEDevice, *, paired: PairedDevice, profile: Profile, around: Surroundings
) -> Ended:
    """Link up with ``device``, hold the conversation, hang up; returns how it ended.

    Returns, never raises, for everything a radio or a device can do wrong. When cancelled it hangs
    up first.
    """
    conversation = _conversation(paired, profile, around.notes)
    link = _Link(paired, profile, around, conversation, asyncio.Queue(EVENTS_MAX))
    with _routed(link):
        return await _converse(link, device)


def _conversation(paired: PairedDevice, profile: Profile, notes: Notes | None) -> Conversation:
    characteristic = numbered(profile)
    if notes is None:
        return Conversation(profile)
    consent = notes.consent(paired.dev)
    if characteristic is None:
        return Conversation(profile, consent=consent)
    return Conversation(
        profile,
        last_sequence=notes.last_sequence(paired.dev, characteristic),
        consent=consent,
        proof=notes.proof(paired.dev, characteristic),
    )


def _routed(link: _Link) -> AbstractContextManager[None]:
    subscriptions = link.around.subscriptions
    return nullcontext() if subscriptions is None else subscriptions.routed(link.paired, link.put)


async def _converse(link: _Link, device: BLEDevice) -> Ended:
    cause = None
    try:
        present = await _link_up(link, device)
        try:
            await _hold(link, present)
        except LINK_ERRORS as error:
            cause = type(error).__name__
    except LINK_ERRORS as error:
        return await _no_link(link, error)
    finally:
        await _hang_up(link)
    conversation = link.conversation
    ending = conversation.ending or Ending.LINK_LOST
    is_refused = ending is Ending.PAIRING_FAILED
    return Ended(ending, conversation.values, link.clock_offset_s, cause, is_refused)


async def _no_link(link: _Link, error: BaseException) -> Ended:
    if link.client is not None:
        return Ended(Ending.LINK_LOST, _early(link), None, type(error).__name__)
    why = why_no_link(error)
    log.info("no_link", dev=link.paired.dev, why=why, error=type(error).__name__)
    is_refused = why is NoLink.BOND_REFUSED and await _is_bonded(link)
    return Ended(None, _early(link), None, why, is_refused)


def _early(link: _Link) -> int:
    """Count the values that came on a link that then failed."""
    events = [link.events.get_nowait() for _ in range(link.events.qsize())]
    return sum(isinstance(event, Notified) and event.kept for event in events)


async def _link_up(link: _Link, device: BLEDevice) -> frozenset[str]:
    """Link up, a second time where what is needed is missing; returns what is there."""
    around = link.around
    if around.subscriptions is not None:
        await around.subscriptions.prepare(link.paired)
    for is_last in (False, True):
        link.linked(
            await connect(
                device, link.paired, around.radio, around.limits, lambda: link.put(Disconnected())
            )
        )
        present = await _present(link)
        if is_last or present.issuperset(link.profile.measurements):
            break
        log.warning("services_incomplete", dev=link.paired.dev, present=len(present))
        await _hang_up(link)
        _forget_hang_up(link)
    return present


async def _present(link: _Link) -> frozenset[str]:
    """Return the characteristics; on BlueZ give it a moment to tell of all that are needed."""
    gatt = link.gatt
    present = await gatt.characteristics()
    for wait_s in INCOMPLETE_WAITS_S if link.around.subscriptions is not None else ():
        if present.issuperset(link.profile.measurements):
            break
        await asyncio.sleep(wait_s)
        present = await gatt.characteristics()
    return present


def _forget_hang_up(link: _Link) -> None:
    """Take the end of the first link out of the events; values that came on it stay."""
    kept = [link.events.get_nowait() for _ in range(link.events.qsize())]
    for event in kept:
        if not isinstance(event, Disconnected):
            link.put(event)


async def _is_bonded(link: _Link) -> bool:
    with suppress(*LINK_ERRORS):
        if link.around.subscriptions is not None:
            return await BluezGatt(link.around.subscriptions, link.paired).is_bonded()
    return False


async def _hang_up(link: _Link) -> None:
    if link.client is None:
        return
    with suppress(*LINK_ERRORS):
        async with asyncio.timeout(link.around.limits.hang_up_s):
            await link.client.disconnect()


async def _hold(link: _Link, present: frozenset[str]) -> None:
    conversation = link.conversation
    is_bonded = await link.gatt.is_bonded()
    commands = deque(conversation.handle(Connected(present, is_bonded), link.now()))
    while not conversation.is_over:
        if commands:
            event = await _carry_out(link, commands.popleft())
        else:
            event = await _next_event(link)
        if event is not None:
            _add(commands, conversation.handle(event, link.now()))
        while not link.events.empty():
            _add(commands, conversation.handle(link.events.get_nowait(), link.now()))
    await _keep_the_rest(link, commands)


async def _keep_the_rest(link: _Link, commands: deque[Command]) -> None:
    """Keep and note what was still to be kept and noted when the link was gone."""
    for command in commands:
        if isinstance(command, Keep | NoteClock | NoteSequence | NoteEvent):
            event = await _carry_out(link, command)
            if event is not None:
                # Not kept; then no number after it may say that it was.
                return


def _add(commands: deque[Command], more: tuple[Command, ...]) -> None:
    """Put ``more`` in the queue; a hang-up overtakes what was still to be asked of the device."""
    if HangUp() in more:
        # Numbers noted before may stand for a value that could not be kept.
        kept = [command for command in commands if isinstance(command, Keep | NoteEvent)]
        commands.clear()
        commands.extend(kept)
    commands.extend(more)


async def _next_event(link: _Link) -> Event:
    """Wait for the next value, the end of the link, or a tick."""
    try:
        async with asyncio.timeout(link.around.limits.tick_s):
            return await link.events.get()
    except TimeoutError:
        return Tick() if link.is_up else Disconnected()


async def _carry_out(link: _Link, command: Command) -> Event | None:
    """Do what the conversation asks; returns the answer, None where there is none."""
    match command:
        case Keep(characteristic, raw):
            return _keep(link, characteristic, raw)
        case NoteClock(offset_s):
            link.clock_offset_s = offset_s
            log.info("device_clock_read", dev=link.paired.dev, offset_s=offset_s)
            return None
        case NoteSequence() | NoteEvent():
            _note(link, command)
            return None
        case HangUp():
            await _hang_up(link)
            return Disconnected()
    event = await _ask(link, command)
    return event if link.is_up else Disconnected()


async def _ask(link: _Link, command: Pair | ReadValue | WriteValue | Subscribe) -> Event:
    gatt, limits = link.gatt, link.around.limits
    match command:
        case Pair():
            return Paired(await _try(link, "pair", gatt.pair(), limits.pair_s) is None)
        case ReadValue(characteristic):
            return await _read(link, gatt, characteristic)
        case WriteValue(characteristic, raw):
            writing = gatt.write(characteristic, raw)
            error = await _try(link, "write", writing, limits.step_s, characteristic)
            code = None if error is None else att_error(error)
            return Written(characteristic, error is None, code)
        case _:  # Subscribe
            characteristic = command.characteristic
            subscribing = gatt.subscribe(characteristic)
            error = await _try(link, "subscribe", subscribing, limits.step_s, characteristic)
            return Subscribed(characteristic, error is None)


async def _read(link: _Link, gatt: Gatt, characteristic: str) -> Read:
    try:
        async with asyncio.timeout(link.around.limits.step_s):
            return Read(characteristic, await gatt.read(characteristic))
    except LINK_ERRORS as error:
        _failed(link, "read", error, characteristic)
        return Read(characteristic, None)


def _keep(link: _Link, characteristic: str, raw: bytes) -> Event | None:
    """Keep a value that was read; returns what to tell the conversation when that failed."""
    try:
        link.append(characteristic, raw)
    except JOURNAL_ERRORS as error:
        _failed(link, "keep", error, characteristic)
        return Notified(characteristic, raw, kept=False)
    return None


def _note(link: _Link, command: NoteSequence | NoteEvent) -> None:
    """Remember what the conversation noted. What cannot be is told anew by the next link."""
    notes, dev = link.around.notes, link.paired.dev
    if notes is None:
        return
    try:
        match command:
            case NoteSequence(characteristic, number, proof):
                notes.sequence(dev, characteristic, number, proof)
            case NoteEvent(what, detail):
                log.info("device_event", dev=dev, what=what)
                notes.event(dev, what, detail)
    except JOURNAL_ERRORS as error:
        _failed(link, "note", error, None)


async def _try(
    link: _Link, what: str, work: Awaitable[None], limit_s: float, characteristic: str | None = None
) -> BaseException | None:
    """Await ``work``; returns what went wrong, None where nothing did."""
    try:
        async with asyncio.timeout(limit_s):
            await work
    except LINK_ERRORS as error:
        _failed(link, what, error, characteristic)
        return error
    return None


def _failed(link: _Link, what: str, error: BaseException, characteristic: str | None) -> None:
    log.info(
        "device_step_failed",
        dev=link.paired.dev,
        step=what,
        characteristic=characteristic,
        error=type(error).__name__,
    )
