"""Tell gateways what is asked of them, again whenever they come online, until they answer.

The broker keeps a message for a home that is away for an hour at most; the order itself stands in
the database (``store/gateway_orders.py``), so a home that was away for days hears it too.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime, timedelta

import structlog

from server.broker import BrokerClient
from server.fleet import orders
from server.fleet.patience import patiently
from server.store import gateway_orders
from server.store.database import Database
from server.store.gateway_orders import GatewayOrder

# A gateway that says again that it is online, and has not answered yet, hears it this seldom.
AGAIN_PAUSE = timedelta(minutes=5)

log = structlog.get_logger(__name__)


class OrderTeller:
    """Tells orders as they are given, and again to a home that comes back."""

    def __init__(
        self, database: Database, broker: BrokerClient, *, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._broker = broker
        self._now = now

    async def listen(self) -> None:
        """Tell new orders at once, until cancelled; at every connection those missed meanwhile."""
        async with aclosing(self._database.notifications(gateway_orders.CHANNEL)) as notes:
            async for gateway in notes:
                await self.tell(gateway or None, told_before=self._now() - AGAIN_PAUSE)

    async def tell_again(self, gateway: str, *, has_changed: bool) -> None:
        """Tell a gateway that says it is online what it has not answered."""
        await self.tell(gateway, told_before=None if has_changed else self._now() - AGAIN_PAUSE)

    async def tell(self, gateway: str | None, *, told_before: datetime | None) -> None:
        """Tell one gateway, or (None) all that are online, but not what was told since a time."""

        async def look() -> list[GatewayOrder]:
            async with self._database.transaction() as tx:
                return await gateway_orders.open_orders(
                    tx, at=self._now(), gateway=gateway, told_before=told_before
                )

        for order in await patiently(look):
            await self._tell(order)

    async def _tell(self, order: GatewayOrder) -> None:
        request = orders.resend_request(
            id=str(order.id), since=order.since, expires=order.expires_at
        )
        if not await orders.send_request(self._broker, order.gateway, request):
            log.info("order_waits", gateway=order.gateway)
            return

        async def mark() -> None:
            async with self._database.transaction() as tx:
                await gateway_orders.mark_sent(tx, order.id, at=self._now())

        await patiently(mark)
        log.info("order_told", gateway=order.gateway, ask="resend")
