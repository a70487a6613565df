"""What gateways say of themselves: their retained status and their will (contract.md 1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol

import structlog

from devices import wire
from devices.wire import Status
from server.broker import BrokerClient, Message
from server.fleet.patience import patiently
from server.store import gateways
from server.store.database import Database

SUBSCRIPTION = "hemma/v1/+/status"

log = structlog.get_logger(__name__)


class HeardOnline(Protocol):
    """What to do when ``gateway`` says it is online; ``has_changed``: it was not, or restarted."""

    def __call__(self, gateway: str, *, has_changed: bool) -> Awaitable[None]: ...  # noqa: D102


async def listen(
    database: Database,
    broker: BrokerClient,
    *,
    now: Callable[[], datetime],
    heard_online: HeardOnline,
) -> None:
    """Store every status; await ``heard_online`` for each that says online.

    Not for a retained one that changes nothing: that is the broker's memory, and nobody came.

    Runs until cancelled. A status that cannot be read is logged: it is the gateway's word on
    itself, and no value.
    """
    while True:
        for message in await broker.take(50):
            name, status = _read(message)
            if status is not None:
                has_changed = await _store(database, name, status, now)
                if has_changed:
                    log.info("gateway_online", gateway=name)
                if has_changed or (status.state == "online" and not message.is_retained):
                    await heard_online(name, has_changed=has_changed)
            broker.confirm(message)


def _read(message: Message) -> tuple[str, Status | None]:
    try:
        name, _ = wire.gateway_of(message.topic)
        return name, wire.decode(message.payload, Status)
    except wire.WireError as error:
        # An empty retained payload is how a status is taken away.
        if message.payload:
            log.warning("status_unreadable", topic=message.topic, reason=error.reason)
        return "", None


async def _store(
    database: Database, name: str, status: Status, now: Callable[[], datetime]
) -> bool:
    async def once() -> bool:
        async with database.transaction() as tx:
            return await gateways.note_status(tx, name, status, at=now())

    return await patiently(once)
