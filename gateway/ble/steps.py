"""What the conversation commands, carried out on a link and answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import structlog

from devices.conversation import (
    Command,
    Disconnected,
    Event,
    HangUp,
    Keep,
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
    WriteValue,
    Written,
)
from gateway.ble.gatt import LINK_ERRORS, att_error
from gateway.ble.journal import JOURNAL_ERRORS
from gateway.ble.link import Link

log = structlog.get_logger(__name__)


async def carry_out(link: Link, command: Command) -> Event | None:
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
            await link.hang_up()
            return Disconnected()
    event = await _ask(link, command)
    return event if link.is_up else Disconnected()


async def _ask(link: Link, command: Pair | ReadValue | WriteValue | Subscribe) -> Event:
    gatt, limits = link.gatt, link.around.limits
    match command:
        case Pair():
            return Paired(await _try(link, "pair", gatt.pair(), limits.pair_s) is None)
        case ReadValue(characteristic):
            return await _read(link, characteristic)
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


async def _read(link: Link, characteristic: str) -> Read:
    try:
        async with asyncio.timeout(link.around.limits.step_s):
            return Read(characteristic, await link.gatt.read(characteristic))
    except LINK_ERRORS as error:
        _failed(link, "read", error, characteristic)
        return Read(characteristic, None, is_answered=not isinstance(error, TimeoutError))


def _keep(link: Link, characteristic: str, raw: bytes) -> Event | None:
    """Keep a value that was read; returns what to tell the conversation when that failed."""
    try:
        link.append(characteristic, raw)
    except JOURNAL_ERRORS as error:
        _failed(link, "keep", error, characteristic)
        return Notified(characteristic, raw, kept=False)
    return None


def _note(link: Link, command: NoteSequence | NoteEvent) -> None:
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
    link: Link, what: str, work: Awaitable[None], limit_s: float, characteristic: str | None = None
) -> BaseException | None:
    """Await ``work``; returns what went wrong, None where nothing did."""
    try:
        async with asyncio.timeout(limit_s):
            await work
    except LINK_ERRORS as error:
        _failed(link, what, error, characteristic)
        return error
    return None


def _failed(link: Link, what: str, error: BaseException, characteristic: str | None) -> None:
    log.info(
        "device_step_failed",
        dev=link.paired.dev,
        step=what,
        characteristic=characteristic,
        error=type(error).__name__,
    )
