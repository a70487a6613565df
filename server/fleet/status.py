"""What gateways say of themselves: their retained status and their will (contract.md 1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from devices import wire
from devices.wire import Status
from server.broker import BrokerClient, Message
from server.fleet.patience import patiently
from server.store import gateways
from server.store.database import Database

SUBSCRIPTION = "hemma/v1/+/status"

log = structlog.get_logger(__name__)


async def listen(
    database: Database,
    broker: BrokerClient,
    *,
    now: Callable[[], datetime],
    came_online: Callable[[str], Awaitable[None]],
) -> None:
    """Store every status; await ``came_online`` with the name of a gateway that has just come.

    Runs until cancelled. A status that cannot be read is logged: it is the gateway's word on
    itself, and no value.
    """
    while True:
        for message in await broker.take(50):
            name, status = _read(message)
            if status is not None and await _store(database, name, status, now):
                log.info("gateway_online", gateway=name)
                await came_online(name)
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
