"""A desk that answers as a script says, at the other end of the gateway's streams."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.ble.pairing import Pairing
from gateway.control import serve
from gateway.desk import Answer, Ask, Event, FoundDevice, event_of, line_of

Reply = Callable[[Event], Answer | None]


@dataclass
class Desk:
    """``told`` is what the gateway told so far."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    told: list[Event] = field(default_factory=list)

    async def ask(self, ask: Ask, reply: Reply = lambda _event: None) -> Event:
        """Ask, answer each event as ``reply`` says; returns the last event."""
        self.send(line_of(ask))
        async with asyncio.timeout(30):
            while event := await self.hear():
                if (answer := reply(event)) is not None:
                    self.send(line_of(answer))
        return self.told[-1]

    async def hear(self) -> Event | None:
        line = await self.reader.readline()
        if not line:
            return None
        self.told.append(event_of(line))
        return self.told[-1]

    def send(self, line: bytes) -> None:
        self.writer.write(line)

    def found(self, address: str) -> FoundDevice:
        (found,) = [
            event
            for event in self.told
            if isinstance(event, FoundDevice) and event.address == address
        ]
        return found


@asynccontextmanager
async def desk(pairing: Pairing, busy: asyncio.Lock | None = None) -> AsyncIterator[Desk]:
    """A desk that ``pairing`` serves."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    served = await asyncio.open_connection(sock=theirs, limit=8192)
    serving = asyncio.create_task(serve(*served, pairing, busy or asyncio.Lock()))
    try:
        yield Desk(reader, writer)
    finally:
        writer.close()
        async with asyncio.timeout(30):
            await serving
