"""The notify role: hear how the homes are, tell them what care has seen and what is asked."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from server.broker import BrokerClient
from server.fleet import status
from server.fleet.receipts import ReceiptSender
from server.fleet.told_orders import OrderTeller
from server.settings import Settings
from server.store.database import Database

RECEIVE_MAXIMUM = 100


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set. Waits for broker and database as long as it takes."""
    async with (
        Database.connect(settings.database_url, name="hemma-notify", size=2) as database,
        BrokerClient(
            settings,
            role="notify",
            subscriptions=[status.SUBSCRIPTION],
            receive_maximum=RECEIVE_MAXIMUM,
        ) as broker,
        asyncio.TaskGroup() as tasks,
    ):
        sender = ReceiptSender(database, broker, now=_now)
        teller = OrderTeller(database, broker, now=_now)

        async def heard_online(gateway: str, *, has_changed: bool) -> None:
            await sender.send_again(gateway, has_changed=has_changed)
            await teller.tell_again(gateway, has_changed=has_changed)

        work = [
            tasks.create_task(sender.listen(), name="receipts"),
            tasks.create_task(teller.listen(), name="orders"),
            tasks.create_task(
                status.listen(database, broker, now=_now, heard_online=heard_online),
                name="status",
            ),
        ]
        await stop.wait()
        for task in work:
            task.cancel()


def _now() -> datetime:
    return datetime.now(UTC)
