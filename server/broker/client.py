"""A role's way to the broker: messages taken and confirmed, messages told.

- Each message is confirmed by :meth:`BrokerClient.confirm` only, after it is safe.
- Message ids are reused after a lost connection. A confirmation carries the number of the
  connection its message came on, and is dropped when that one is gone: it would confirm another
  message.
- Hearing and telling have a connection each. On one, the answer to what is told would come behind
  all that is still to be heard, or not at all while nothing is read.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from server.broker.incoming import Incoming
from server.broker.outgoing import Outgoing
from server.broker.packets import Message
from server.settings import Settings


class BrokerClient:
    """A context manager that connects, subscribes again after each loss, and holds what comes.

    ``receive_maximum`` is what the broker is asked to have in hand here at most, before it is
    confirmed. A broker may not listen; what is held unread has bounds of its own (``incoming.py``).
    """

    def __init__(
        self, settings: Settings, *, role: str, subscriptions: Sequence[str], receive_maximum: int
    ) -> None:
        self._incoming: Incoming | None = None
        if subscriptions:
            self._incoming = Incoming(
                settings, role=role, subscriptions=subscriptions, receive_maximum=receive_maximum
            )
        self._outgoing = Outgoing(settings, role=f"{role}-out")
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begin to connect; that keeps trying, so this does not wait for the broker."""
        await self._resources.enter_async_context(self._outgoing.connection)
        if self._incoming is not None:
            await self._resources.enter_async_context(self._incoming.connection)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect; what is not confirmed goes to another worker."""
        await self._resources.aclose()

    async def ready(self) -> None:
        """Wait until the broker has let us in and granted the subscriptions."""
        await self._outgoing.connection.ready()
        if self._incoming is not None:
            await self._incoming.connection.ready()

    async def take(self, limit: int, max_bytes: int = sys.maxsize) -> list[Message]:
        """Wait for a message; return it with what else is here already, within both bounds.

        The first is taken however large it is. Several tasks may take; each message goes to one.
        """
        assert self._incoming is not None, "without subscriptions nothing comes"
        return await self._incoming.next(limit, max_bytes)

    def confirm(self, message: Message) -> None:
        """Tell the broker that ``message`` is safe, unless its connection is gone."""
        assert self._incoming is not None, "without subscriptions nothing comes"
        self._incoming.confirm(message)

    def publish(self, topic: str, payload: bytes, *, correlation: bytes | None = None) -> None:
        """Send once, at least as far as a broker that stays; nobody waits for it."""
        self._outgoing.publish(topic, payload, correlation=correlation)

    async def deliver(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Send, and return whether the broker took it and has somebody to give it to.

        False also when the broker does not answer for some time (``outgoing.py``).
        """
        return await self._outgoing.deliver(topic, payload, retain=retain)
