"""The person who enrols a device, at the running gateway's own door, as ``hemma gateway pair``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from devices.virtual.device import VirtualDevice
from gateway.control import socket_path
from gateway.desk import (
    LINE_MAX_BYTES,
    Answer,
    AskPair,
    AskUnpair,
    Compared,
    Event,
    Failed,
    GivenUp,
    PairedNow,
    Typed,
    UnpairedNow,
    WantsComparison,
    WantsPasskey,
    digits_of,
    event_of,
    line_of,
)
from tests.ble.bluez import until

ENROL_TIMEOUT_S: Final = 60.0
LAST: Final = (PairedNow, UnpairedNow, Failed)


@dataclass(slots=True)
class Operator:
    """Answers what the gateway asks. ``types`` is what is typed when digits are wanted.

    None types nothing and gives up. ``told`` is everything the gateway said.
    """

    types: Callable[[], int | None] = lambda: None
    says_same: bool = True
    told: list[Event] = field(default_factory=list)

    async def ask(self, data: Path, ask: AskPair | AskUnpair) -> Event:
        """Ask the gateway on folder ``data``; returns what it came to."""
        async with asyncio.timeout(ENROL_TIMEOUT_S), _door(data) as (reader, writer):
            writer.write(line_of(ask))
            while line := await reader.readline():
                event = event_of(line)
                self.told.append(event)
                if isinstance(event, LAST):
                    return event
                if answer := await self._answer(event):
                    writer.write(line_of(answer))
        raise AssertionError("the gateway closed its door without an answer")

    async def _answer(self, event: Event) -> Answer | None:
        match event:
            case WantsPasskey():
                # Seconds for a person; as many for the device's display to be read.
                await asyncio.sleep(0.2)
                passkey = self.types()
                return GivenUp() if passkey is None else Typed(digits_of(passkey))
            case WantsComparison():
                return Compared(self.says_same)
            case _:
                return None


@asynccontextmanager
async def _door(data: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    await until(socket_path(data).exists, "the gateway opens its door")
    reader, writer = await asyncio.open_unix_connection(socket_path(data), limit=LINE_MAX_BYTES)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def in_pairing_mode(device: VirtualDevice) -> AsyncIterator[None]:
    """Hold the device's button: it advertises and bonds while the block lasts."""
    device.pairing_mode = True
    waking = asyncio.create_task(_advertise(device.wake))
    try:
        yield
    finally:
        device.pairing_mode = False
        waking.cancel()
        with suppress(asyncio.CancelledError):
            await waking


async def _advertise(wake: Callable[[], Awaitable[int]]) -> None:
    while True:
        await wake()


async def pair(data: Path, device: VirtualDevice, *, again: bool = False) -> Event:
    """Enrol ``device`` as an operator would who reads its display; returns what it came to."""
    operator = Operator(types=lambda: device.shown_passkey)
    async with in_pairing_mode(device):
        return await operator.ask(data, AskPair(device.address, device.profile, again))


async def paired(data: Path, device: VirtualDevice, *, again: bool = False) -> PairedNow:
    """Enrol ``device``; fails where that did not work."""
    event = await pair(data, device, again=again)
    assert isinstance(event, PairedNow), event
    return event
