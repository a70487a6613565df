"""Messages that were heard, until somebody takes them, and their acknowledgement to the broker.

What is held is bounded here and not at the broker: mosquitto 2.0.11 sends all that waits once the
first acknowledgement comes, whatever the Receive Maximum. When enough is held, the connection is
not read from; the rest waits in the network and at the broker, and nothing is dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from server.broker.connection import Connection
from server.broker.packets import KIND_MASK, PUBLISH, Frame, Message, read_publish, write_puback
from server.settings import Settings

# Held at most, and what one read may bring over it; half of it before more is read.
HELD_MAX = 2_000
HELD_MAX_BYTES = 16 * 1024 * 1024


class Incoming:
    """The half of a client that hears. Its ``connection`` publishes nothing.

    So whoever takes messages may wait for an answer to what it publishes, although nothing is read
    here: the answer comes elsewhere.
    """

    def __init__(
        self, settings: Settings, *, role: str, subscriptions: Sequence[str], receive_maximum: int
    ) -> None:
        self.connection = Connection(
            settings, self, role=role, subscriptions=subscriptions, receive_maximum=receive_maximum
        )
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        self._arrival = asyncio.Event()

    @property
    def held(self) -> int:
        """How many messages wait to be taken."""
        return len(self._waiting)

    def is_roomy(self) -> bool:
        """Return whether less is held than the bounds."""
        return len(self._waiting) < HELD_MAX and self._waiting_bytes < HELD_MAX_BYTES

    def take(self, data: bytes, frames: Sequence[Frame]) -> None:
        """Hold the messages of one read."""
        number = self.connection.number
        for frame in frames:
            if frame[0] & KIND_MASK == PUBLISH:
                message = read_publish(data, frame, connection=number)
                self._waiting.append(message)
                self._waiting_bytes += _size(message)
        if self._waiting:
            self._arrival.set()

    def opened(self, receive_maximum: int) -> None:
        """Need nothing."""

    def lost(self) -> None:
        """Keep what is held: its homes want an answer, although the broker does not."""

    async def next(self, limit: int, max_bytes: int) -> list[Message]:
        """Wait for a message; return it with what else is here already, within both bounds."""
        while not self._waiting:
            self._arrival.clear()
            await self._arrival.wait()
        taken = [self._waiting.popleft()]
        left = max_bytes - len(taken[0].payload)
        while self._waiting and len(taken) < limit and len(self._waiting[0].payload) <= left:
            taken.append(self._waiting.popleft())
            left -= len(taken[-1].payload)
        self._waiting_bytes -= sum(map(_size, taken))
        if len(self._waiting) <= HELD_MAX // 2 and self._waiting_bytes <= HELD_MAX_BYTES // 2:
            self.connection.read_on()
        return taken

    def confirm(self, message: Message) -> None:
        """Tell the broker that ``message`` is safe, unless its connection is gone."""
        if message.quality_of_service and message.connection == self.connection.number:
            self.connection.write(write_puback(message.packet_id))


def _size(message: Message) -> int:
    """Return the bytes that its sender chooses freely: also the name may be 64 KiB."""
    return len(message.payload) + len(message.correlation or b"")
