"""Whose turn the adapter is: listening to the home's devices, or an operator enrolling one.

A Raspberry Pi's chip does one thing at a time well, so the two never overlap: who wants to enrol
says so, listening gives up soon after (it first lets a link under way come to its end, since a
value may be on it), and takes over again when nobody wants to enrol any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turn:
    """Made once for an adapter and shared by who listens and who enrols.

    ``wanted`` is set while somebody enrols or waits to: who listens then ends its scan, takes no
    new link and leaves :meth:`listening`.
    """

    def __init__(self) -> None:
        self.wanted = asyncio.Event()
        self._unwanted = asyncio.Event()
        self._unwanted.set()
        self._waiting = 0
        self._adapter = asyncio.Lock()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Hold the adapter for listening; waits until nobody enrols or wants to."""
        while True:
            await self._adapter.acquire()
            if not self.wanted.is_set():
                break
            # Whoever wants it gets it before we ask again, however many they are.
            self._adapter.release()
            await self._unwanted.wait()
        try:
            yield
        finally:
            self._adapter.release()

    @asynccontextmanager
    async def enrolling(self) -> AsyncIterator[None]:
        """Hold the adapter for enrolling; waits, without a limit, until who has it lets go."""
        self._waiting += 1
        self.wanted.set()
        self._unwanted.clear()
        try:
            async with self._adapter:
                yield
        finally:
            self._waiting -= 1
            if self._waiting == 0:
                self.wanted.clear()
                self._unwanted.set()
