"""A cable that can be cut or held still: TCP from a port of its own to another on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from hemma.broker import LOOPBACK

CHUNK_BYTES: Final = 65_536
PATIENCE_S: Final = 60.0
LOOK_S: Final = 0.1
T = TypeVar("T")


class Cable:
    """A context manager; ``port`` leads to ``target`` for as long as it is open.

    What is at the other end may come and go: a connection is refused by ending at once.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"cable-{target}")
        self._flows = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._open())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def cut(self) -> None:
        """Reset every connection; what was under way is gone. New ones may be made."""
        self._do(self._cut())

    def hold(self) -> None:
        """Let nothing through; both ends believe that they are connected."""
        self._do(self._still())

    def release(self) -> None:
        """Let what was held, and all else, through again."""
        self._do(self._flow())

    async def _open(self) -> None:
        self._flows.set()
        self._server = await asyncio.start_server(self._carry, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._flows.set()
        # Not cancelled: with both ends cut each connection's task comes to its own end.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await self._cut()
            await asyncio.wait(others, timeout=LOOK_S)

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _still(self) -> None:
        self._flows.clear()

    async def _flow(self) -> None:
        self._flows.set()

    async def _carry(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            far, forth = await asyncio.open_connection(LOOPBACK, self._target)
        except OSError:
            back.transport.abort()
            return
        ends = {back, forth}
        self._writers |= ends
        both = [asyncio.ensure_future(self._pump(near, forth))]
        both.append(asyncio.ensure_future(self._pump(far, back)))
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            self._writers -= ends
            for end in ends:
                end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK_BYTES):
                await self._flows.wait()
                sink.write(data)
                await sink.drain()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)
