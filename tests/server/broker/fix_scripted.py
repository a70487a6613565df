"""A broker that says what a test wants, and nothing else."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from server.broker.packets import split
from server.settings import Settings

CONNECT, SUBSCRIBE, PINGREQ, DISCONNECT = 0x10, 0x82, 0xC0, 0xE0


class ScriptedBroker:
    """Lets in whoever comes, grants every subscription; the rest it keeps for the test to see.

    ``received`` holds the packets of the newest connection; ``receive_maximum`` is what it says it
    can have unanswered.
    """

    def __init__(self, *, receive_maximum: int = 1_000, answers_pings: bool = True) -> None:
        self.connections = 0
        self.received: list[bytes] = []
        self._receive_maximum = receive_maximum
        self._answers_pings = answers_pings
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cut()
        self._server.close()
        await self._server.wait_closed()

    @property
    def settings(self) -> Settings:
        return Settings("unused", mqtt_port=self._server.sockets[0].getsockname()[1])

    def of_kind(self, first: int) -> list[bytes]:
        return [packet for packet in self.received if packet[0] == first]

    def say(self, data: bytes) -> None:
        self._writers[-1].write(data)

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.received = received = []
        self._writers.append(writer)
        data = b""
        try:
            while more := await reader.read(65_536):
                data += more
                frames, used = split(data)
                for _, start, _, end in frames:
                    received.append(data[start:end])
                    self._answer(data[start:end], writer)
                data = data[used:]
        except ConnectionError:
            pass
        writer.close()

    def _answer(self, packet: bytes, writer: asyncio.StreamWriter) -> None:
        if packet[0] == CONNECT:
            writer.write(b"\x20\x06\x00\x00\x03\x21" + self._receive_maximum.to_bytes(2))
        elif packet[0] == SUBSCRIBE:
            writer.write(b"\x90\x04" + packet[2:4] + b"\x00\x01")
        elif packet[0] == PINGREQ and self._answers_pings:
            writer.write(b"\xd0\x00")
