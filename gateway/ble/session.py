"""One link with one device: bleak carries out what the conversation commands.

The value callback writes to the journal before anything else. On the virtual link the confirmation
goes out when the callback returns, so what could not be kept is not confirmed; BlueZ confirms by
itself.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import tzinfo
from typing import Protocol

import structlog
from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError
from bleak_retry_connector import establish_connection

from devices.conversation import (
    Command,
    Connected,
    Conversation,
    Disconnected,
    Ending,
    Event,
    HangUp,
    Keep,
    Moment,
    NoteClock,
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
)
from devices.profiles import Profile
from gateway.ble.radio import Radio
from gateway.clock import ClockReading
from gateway.errors import GatewayError
from gateway.paired import PairedDevice

log = structlog.get_logger(__name__)

LINK_ERRORS = (BleakError, TimeoutError, OSError, EOFError)
"""What bleak and the D-Bus connection below it raise when a link or the bus fails."""
JOURNAL_ERRORS = (GatewayError, sqlite3.Error, OSError)
EVENTS_MAX = 256
BLUETOOTH_BASE_SUFFIX = "-0000-1000-8000-00805f9b34fb"


class Journal(Protocol):
    """Where raw values go first."""

    def append(self, *, dev: str, model: str, characteristic: str, raw: bytes) -> None:
        """Keep ``raw``; durable when it returns, or it raises."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each thing may take, in seconds.

    ``connect_s`` is short of a cuff's advertising window, so that others get their turn; ``pair_s``
    leaves a person time to act on the device.
    """

    connect_s: float = 10.0
    pair_s: float = 20.0
    step_s: float = 8.0
    hang_up_s: float = 5.0
    tick_s: float = 1.0

    def __post_init__(self) -> None:
        """Check that every limit limits something."""
        every = (self.connect_s, self.pair_s, self.step_s, self.hang_up_s, self.tick_s)
        assert all(limit > 0 for limit in every), "limits are positive"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a link ended: ``ending`` is None when it never came about; ``cause`` names an error."""

    ending: Ending | None
    values: int
    clock_offset_s: float | None
    cause: str | None = None


@dataclass(slots=True)
class _Link:
    client: BleakClient
    paired: PairedDevice
    conversation: Conversation
    journal: Journal
    clock: Callable[[], ClockReading]
    zone: tzinfo
    limits: Limits
    events: asyncio.Queue[Event]
    clock_offset_s: float | None = None

    def now(self) -> Moment:
        reading = self.clock()
        if reading.quality == "none":
            return Moment(reading.mono_ms / 1000, None)
        local = reading.utc.astimezone(self.zone).replace(tzinfo=None)
        return Moment(reading.mono_ms / 1000, local)


async def converse(
    device: BLEDevice,
    *,
    paired: PairedDevice,
    profile: Profile,
    radio: Radio,
    journal: Journal,
    clock: Callable[[], ClockReading],
    zone: tzinfo,
    limits: Limits,
) -> Ended:
    """Link up with ``device``, hold the conversation, hang up; returns how it ended.

    Returns, never raises, for everything a radio or a device can do wrong. When cancelled it hangs
    up first. ``zone`` is the home's: devices keep local time.
    """
    events: asyncio.Queue[Event] = asyncio.Queue(EVENTS_MAX)
    try:
        client = await _connect(device, paired, radio, limits, events)
    except LINK_ERRORS as error:
        return Ended(None, 0, None, cause=type(error).__name__)
    link = _Link(client, paired, Conversation(profile), journal, clock, zone, limits, events)
    cause = None
    try:
        await _hold(link)
    except LINK_ERRORS as error:
        cause = type(error).__name__
    finally:
        with suppress(*LINK_ERRORS):
            async with asyncio.timeout(limits.hang_up_s):
                await client.disconnect()
    conversation = link.conversation
    ending = conversation.ending or Ending.LINK_LOST
    return Ended(ending, conversation.values, link.clock_offset_s, cause)


async def _connect(
    device: BLEDevice,
    paired: PairedDevice,
    radio: Radio,
    limits: Limits,
    events: asyncio.Queue[Event],
) -> BleakClient:
    # establish_connection tells BlueZ's passing errors from lasting ones and waits accordingly;
    # with another backend it only retries. Its own time-out per try (20 s) is longer than a cuff
    # waits, so ours stands around it.
    async with asyncio.timeout(limits.connect_s):
        return await establish_connection(
            BleakClient,
            device,
            paired.dev,
            disconnected_callback=lambda _client: _put(events, Disconnected()),
            max_attempts=2,
            backend=radio.client_backend,
        )


async def _hold(link: _Link) -> None:
    conversation = link.conversation
    present = frozenset(
        _short(characteristic.uuid)
        for characteristic in link.client.services.characteristics.values()
    )
    # bleak has no question for "is it bonded"; pairing what is bonded does nothing.
    commands = deque(conversation.handle(Connected(present, bonded=False), link.now()))
    while not conversation.is_over:
        if commands:
            event = await _carry_out(link, commands.popleft())
        else:
            event = await _next_event(link)
        if event is not None:
            _add(commands, conversation.handle(event, link.now()))
        while not link.events.empty():
            _add(commands, conversation.handle(link.events.get_nowait(), link.now()))


def _add(commands: deque[Command], more: tuple[Command, ...]) -> None:
    """Put ``more`` in the queue; a hang-up overtakes what was still to be asked of the device."""
    if HangUp() in more:
        kept = [command for command in commands if isinstance(command, Keep)]
        commands.clear()
        commands.extend(kept)
    commands.extend(more)


async def _next_event(link: _Link) -> Event:
    """Wait for the next value, the end of the link, or a tick."""
    try:
        async with asyncio.timeout(link.limits.tick_s):
            return await link.events.get()
    except TimeoutError:
        return Tick() if link.client.is_connected else Disconnected()


async def _carry_out(link: _Link, command: Command) -> Event | None:
    """Do what the conversation asks; returns the answer, None where there is none."""
    match command:
        case Keep(characteristic, raw):
            return _keep(link, characteristic, raw)
        case NoteClock(offset_s):
            link.clock_offset_s = offset_s
            log.info("device_clock_read", dev=link.paired.dev, offset_s=offset_s)
            return None
        case HangUp():
            with suppress(*LINK_ERRORS):
                async with asyncio.timeout(link.limits.hang_up_s):
                    await link.client.disconnect()
            return Disconnected()
    event = await _ask(link, command)
    return event if link.client.is_connected else Disconnected()


async def _ask(link: _Link, command: Pair | ReadValue | WriteValue | Subscribe) -> Event:
    client, limits = link.client, link.limits
    match command:
        case Pair():
            return Paired(await _succeeds(link, "pair", client.pair(), limits.pair_s))
        case ReadValue(characteristic):
            try:
                async with asyncio.timeout(limits.step_s):
                    raw = await client.read_gatt_char(_long(characteristic))
            except LINK_ERRORS as error:
                _failed(link, "read", error, characteristic)
                return Read(characteristic, None)
            return Read(characteristic, bytes(raw))
        case WriteValue(characteristic, raw_out):
            writing = client.write_gatt_char(_long(characteristic), raw_out, response=True)
            return Written(
                characteristic,
                await _succeeds(link, "write", writing, limits.step_s, characteristic),
            )
        case _:  # Subscribe
            characteristic = command.characteristic
            subscribing = client.start_notify(_long(characteristic), _on_value(link))
            return Subscribed(
                characteristic,
                await _succeeds(link, "subscribe", subscribing, limits.step_s, characteristic),
            )


def _on_value(link: _Link) -> Callable[[BleakGATTCharacteristic, bytearray], None]:
    def on_value(sender: BleakGATTCharacteristic, data: bytearray) -> None:
        raw = bytes(data)
        characteristic = _short(sender.uuid)
        kept = False
        try:
            link.journal.append(
                dev=link.paired.dev, model=link.paired.model, characteristic=characteristic, raw=raw
            )
            kept = True
        finally:
            # Whatever the journal raised goes on to the backend, so that nothing is confirmed where
            # the backend can still hold the confirmation back.
            _put(link.events, Notified(characteristic, raw, kept))

    return on_value


def _put(events: asyncio.Queue[Event], event: Event) -> None:
    # At the bound an event is only a count or a hang-up that the next tick finds out anyway: the
    # value itself is in the journal already.
    with suppress(asyncio.QueueFull):
        events.put_nowait(event)


def _keep(link: _Link, characteristic: str, raw: bytes) -> Event | None:
    """Keep a value that was read; returns what to tell the conversation when that failed."""
    try:
        link.journal.append(
            dev=link.paired.dev, model=link.paired.model, characteristic=characteristic, raw=raw
        )
    except JOURNAL_ERRORS as error:
        _failed(link, "keep", error, characteristic)
        return Notified(characteristic, raw, kept=False)
    return None


async def _succeeds(
    link: _Link, what: str, work: Awaitable[None], limit_s: float, characteristic: str | None = None
) -> bool:
    try:
        async with asyncio.timeout(limit_s):
            await work
    except LINK_ERRORS as error:
        _failed(link, what, error, characteristic)
        return False
    return True


def _failed(link: _Link, what: str, error: BaseException, characteristic: str | None) -> None:
    log.info(
        "device_step_failed",
        dev=link.paired.dev,
        step=what,
        characteristic=characteristic,
        error=type(error).__name__,
    )


def _short(uuid: str) -> str:
    """Four upper-case hex digits for a UUID of the Bluetooth base, else the UUID in upper case."""
    if uuid.endswith(BLUETOOTH_BASE_SUFFIX) and uuid.startswith("0000"):
        return uuid[4:8].upper()
    return uuid.upper()


def _long(characteristic: str) -> str:
    return f"0000{characteristic.lower()}{BLUETOOTH_BASE_SUFFIX}"
