"""Messages to be told, each until the broker has answered; again after a lost connection."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog

from server.broker.connection import Connection
from server.broker.packets import KIND_MASK, PUBACK, Frame, read_puback, write_publish
from server.settings import Settings

# Unanswered by the broker at once; it may ask for less.
WINDOW_MAX = 1_000
# Answers that wait for a broker that is away; more are dropped, and the sender resends.
QUEUE_MAX = 10_000
PACKET_ID_MAX = 65_535
PUBLISH_TIMEOUT_S = 10.0

log = structlog.get_logger(__name__)


class Outgoing:
    """The half of a client that tells. All packet ids are its own: nothing is subscribed to."""

    def __init__(self, settings: Settings, *, role: str) -> None:
        self._role = role
        self.connection = Connection(settings, self, role=role, receive_maximum=WINDOW_MAX)
        self._window = 0
        self._last_id = 0
        # In the order they were told; those in ``_queue`` are not sent yet.
        self._unanswered: dict[int, bytes] = {}
        self._queue: deque[int] = deque()
        self._awaited: dict[int, asyncio.Future[bool]] = {}

    def is_roomy(self) -> bool:
        """Return True: what comes here are answers."""
        return True

    def take(self, data: bytes, frames: Sequence[Frame]) -> None:
        """Take the broker's answers, and send as many that wait."""
        for frame in frames:
            if frame[0] & KIND_MASK == PUBACK:
                self._answered(*read_puback(data, frame))
        self._send_queued()

    def opened(self, receive_maximum: int) -> None:
        """Send what waits."""
        self._window = min(WINDOW_MAX, receive_maximum)
        self._send_queued()

    def lost(self) -> None:
        """Let everything unanswered wait: the broker's next session knows nothing of it."""
        self._window = 0
        self._queue = deque(self._unanswered)

    def publish(
        self, topic: str, payload: bytes, *, correlation: bytes | None = None, retain: bool = False
    ) -> int | None:
        """Send once, at least as far as a broker that stays; return the packet's id.

        None where :data:`QUEUE_MAX` wait already: this one is dropped.
        """
        if len(self._queue) >= QUEUE_MAX:
            log.error("answer_dropped", role=self._role, waiting=QUEUE_MAX)
            return None
        packet_id = self._next_id()
        packet = write_publish(
            topic, payload, packet_id=packet_id, correlation=correlation, retain=retain
        )
        self._unanswered[packet_id] = packet
        self._queue.append(packet_id)
        self._send_queued()
        return packet_id

    async def deliver(self, topic: str, payload: bytes, *, retain: bool) -> bool:
        """Send, and return whether the broker took it and has somebody to give it to."""
        packet_id = self.publish(topic, payload, retain=retain)
        if packet_id is None:
            return False
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._awaited[packet_id] = answer
        try:
            return await asyncio.wait_for(answer, PUBLISH_TIMEOUT_S)
        except TimeoutError:
            return False
        finally:
            self._awaited.pop(packet_id, None)

    def _next_id(self) -> int:
        """Return an id that no packet has; far fewer than all are unanswered."""
        while True:
            self._last_id = self._last_id % PACKET_ID_MAX + 1
            if self._last_id not in self._unanswered:
                return self._last_id

    def _send_queued(self) -> None:
        while self._queue and len(self._unanswered) - len(self._queue) < self._window:
            self.connection.write(self._unanswered[self._queue.popleft()])

    def _answered(self, packet_id: int, reason: int) -> None:
        self._unanswered.pop(packet_id, None)
        answer = self._awaited.get(packet_id)
        if answer is not None and not answer.done():
            # 0x10 "no matching subscribers" is no failure to MQTT, but nobody got it.
            answer.set_result(reason == 0)
