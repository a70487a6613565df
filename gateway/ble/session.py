"""One link with one device: what the conversation commands is carried out, and answered.

A value is in the journal before anything else happens to it. On the virtual link the confirmation
goes out when the callback returns, so what could not be kept is not confirmed; BlueZ confirms by
itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace

import structlog
from bleak.backends.device import BLEDevice

from devices.conversation import (
    Command,
    Connected,
    Conversation,
    Disconnected,
    Ending,
    Event,
    HangUp,
    Keep,
    NoteClock,
    NoteEvent,
    NoteSequence,
    Notified,
    Tick,
    numbered,
)
from devices.profiles import Profile
from gateway.ble.bluez_gatt import BluezGatt
from gateway.ble.connect import NoLink, connect, why_no_link
from gateway.ble.gatt import LINK_ERRORS
from gateway.ble.journal import JOURNAL_ERRORS
from gateway.ble.link import Link, Notes, Surroundings
from gateway.ble.steps import carry_out
from gateway.paired import PairedDevice

log = structlog.get_logger(__name__)

EVENTS_MAX = 256
INCOMPLETE_WAITS_S = (0.3, 1.0)
"""Right after a pairing BlueZ 5.66 says "resolved" before it has told of every characteristic."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a link ended: ``ending`` is None when it never came about; ``cause`` names an error.

    ``is_bond_refused`` where it looks as if the device, or BlueZ, had forgotten the bond;
    ``may_be_lost`` where the device may have told a value that nobody could hear.
    """

    ending: Ending | None
    values: int
    clock_offset_s: float | None
    cause: str | None = None
    is_bond_refused: bool = False
    may_be_lost: bool = False


async def converse(
    device: BLEDevice, *, paired: PairedDevice, profile: Profile, around: Surroundings
) -> Ended:
    """Link up with ``device``, hold the conversation, hang up; returns how it ended.

    Returns, never raises, for everything a radio or a device can do wrong. When cancelled it hangs
    up first.
    """
    conversation = _conversation(paired, profile, around.notes)
    link = Link(paired, profile, around, conversation, asyncio.Queue(EVENTS_MAX))
    with _routed(link):
        ended = await _converse(link, device)
        if link.is_blind and ended.values == 0 and _may_have_told(link, ended):
            _say_lost(link)
            ended = replace(ended, may_be_lost=True)
    return ended


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


def _routed(link: Link) -> AbstractContextManager[None]:
    subscriptions = link.around.subscriptions
    return nullcontext() if subscriptions is None else subscriptions.routed(link.paired, link.put)


async def _converse(link: Link, device: BLEDevice) -> Ended:
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
        await link.hang_up()
    conversation = link.conversation
    ending = conversation.ending or Ending.LINK_LOST
    is_refused = ending is Ending.PAIRING_FAILED
    return Ended(ending, conversation.values, link.clock_offset_s, cause, is_refused)


async def _no_link(link: Link, error: BaseException) -> Ended:
    if link.client is not None:
        return Ended(Ending.LINK_LOST, _early(link), None, type(error).__name__)
    why = why_no_link(error)
    log.info("no_link", dev=link.paired.dev, why=why, error=type(error).__name__)
    is_refused = why is NoLink.BOND_REFUSED and await _is_bonded(link)
    return Ended(None, _early(link), None, why, is_refused)


def _may_have_told(link: Link, ended: Ended) -> bool:
    """Tell whether the device had a link on which it could send; one that refuses it sends not."""
    subscriptions = link.around.subscriptions
    had_link = subscriptions is not None and subscriptions.has_come_up(link.paired)
    return (had_link or link.client is not None) and ended.cause != NoLink.BOND_REFUSED


def _say_lost(link: Link) -> None:
    """Say that a value may be lost: a cuff links up to tell one, and none was heard.

    The first link after bluetoothd was started: it confirms a value before anybody can subscribe.
    """
    log.warning("value_may_be_lost", dev=link.paired.dev)
    if link.around.notes is None:
        return
    with suppress(*JOURNAL_ERRORS):
        link.around.notes.event(
            link.paired.dev, "value_may_be_lost", "the first link after Bluetooth was started anew"
        )


def _early(link: Link) -> int:
    """Count the values that came on a link that then failed."""
    events = [link.events.get_nowait() for _ in range(link.events.qsize())]
    return sum(isinstance(event, Notified) and event.kept for event in events)


async def _link_up(link: Link, device: BLEDevice) -> frozenset[str]:
    """Link up, a second time where what is needed is missing; returns what is there."""
    around, flaps = link.around, None
    if around.subscriptions is not None:
        link.is_blind = not await around.subscriptions.prepare(link.paired)
        flaps = around.subscriptions.flaps(link.paired)
    for is_last in (False, True):
        client = await connect(
            device,
            link.paired,
            around.radio,
            around.limits,
            lambda: link.put(Disconnected()),
            flaps=flaps,
        )
        link.linked(client)
        present = await _present(link)
        if is_last or present.issuperset(link.profile.measurements):
            break
        log.warning("services_incomplete", dev=link.paired.dev, present=len(present))
        await link.hang_up()
        _forget_hang_up(link)
    return present


async def _present(link: Link) -> frozenset[str]:
    """Return the characteristics; on BlueZ give it a moment to tell of all that are needed."""
    gatt = link.gatt
    present = await gatt.characteristics()
    for wait_s in INCOMPLETE_WAITS_S if link.around.subscriptions is not None else ():
        if present.issuperset(link.profile.measurements):
            break
        await asyncio.sleep(wait_s)
        present = await gatt.characteristics()
    return present


def _forget_hang_up(link: Link) -> None:
    """Take the end of the first link out of the events; values that came on it stay."""
    kept = [link.events.get_nowait() for _ in range(link.events.qsize())]
    for event in kept:
        if not isinstance(event, Disconnected):
            link.put(event)


async def _is_bonded(link: Link) -> bool:
    with suppress(*LINK_ERRORS):
        if link.around.subscriptions is not None:
            return await BluezGatt(link.around.subscriptions, link.paired).is_bonded()
    return False


async def _hold(link: Link, present: frozenset[str]) -> None:
    conversation = link.conversation
    is_bonded = await link.gatt.is_bonded()
    now = link.now()
    commands = deque(conversation.handle(Connected(present, is_bonded), now))
    ticked_s = now.mono_s
    while not conversation.is_over:
        if commands:
            event = await carry_out(link, commands.popleft())
        else:
            event = await _next_event(link)
        if event is not None:
            _add(commands, conversation.handle(event, link.now()))
        while not link.events.empty():
            _add(commands, conversation.handle(link.events.get_nowait(), link.now()))
        now = link.now()
        if now.mono_s - ticked_s >= link.around.limits.tick_s:
            # A device that never pauses would else hold the link, and the adapter, for ever.
            ticked_s = now.mono_s
            _add(commands, conversation.handle(Tick(), now))
    await _keep_the_rest(link, commands)


async def _keep_the_rest(link: Link, commands: deque[Command]) -> None:
    """Keep and note what was still to be kept and noted when the link was gone."""
    for command in commands:
        if isinstance(command, Keep | NoteClock | NoteSequence | NoteEvent):
            event = await carry_out(link, command)
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


async def _next_event(link: Link) -> Event:
    """Wait for the next value, the end of the link, or a tick."""
    try:
        async with asyncio.timeout(link.around.limits.tick_s):
            return await link.events.get()
    except TimeoutError:
        return Tick() if link.is_up else Disconnected()
