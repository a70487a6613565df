"""Tell homes that care has seen their values (contract.md 1, lamp *sett*)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from itertools import groupby

import structlog

from devices import wire
from devices.wire import Receipt, Receipts
from server.broker import BrokerClient
from server.fleet.patience import patiently
from server.store import receipts
from server.store.database import Database
from server.store.receipts import PendingReceipt

# A receipt is some 110 bytes: this many stay well under the payload limit of 65,536.
BATCH_MAX = 200
# What a gateway hears again when it says that it is online …
AGAIN = timedelta(hours=48)
# … but where nothing changed, all of that at most this often, and in between only what is younger:
# a connection may break and come back without a word, and take a message with it.
AGAIN_PAUSE = timedelta(minutes=5)

log = structlog.get_logger(__name__)


class ReceiptSender:
    """Sends receipts as they are made, and again to a home that comes back."""

    def __init__(
        self, database: Database, broker: BrokerClient, *, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._broker = broker
        self._now = now
        self._told_all_at: dict[str, datetime] = {}

    async def listen(self) -> None:
        """Send new receipts at once, until cancelled; at every connection also those missed."""
        async with aclosing(self._database.notifications(receipts.CHANNEL)) as notes:
            async for gateway in notes:
                await self.send_new(gateway or None)

    async def send_new(self, gateway: str | None) -> None:
        """Send what was not sent before, to one gateway or (None) to all."""

        async def unsent() -> list[PendingReceipt]:
            async with self._database.transaction() as tx:
                return await receipts.unsent(tx, gateway=gateway)

        await self._send(await patiently(unsent))

    async def send_again(self, gateway: str, *, has_changed: bool) -> None:
        """Send receipts again to a gateway that says it is online; it knows those it has seen.

        Those of the last :data:`AGAIN` where its state ``has_changed`` or :data:`AGAIN_PAUSE` is
        over; else those made since then. What never reached anybody goes with them.
        """
        now = self._now()
        told_at = self._told_all_at.get(gateway)
        is_all = has_changed or told_at is None or now - told_at >= AGAIN_PAUSE
        since = now - (AGAIN if is_all else AGAIN_PAUSE)

        async def recent() -> list[PendingReceipt]:
            async with self._database.transaction() as tx:
                return await receipts.since(tx, gateway, since)

        if await self._send(await patiently(recent)) and is_all:
            self._told_all_at[gateway] = now

    async def _send(self, pending: Sequence[PendingReceipt]) -> bool:
        """Send to each gateway its own; return whether somebody took every message."""
        was_taken = True
        in_order = sorted(pending, key=lambda one: one.gateway)
        for gateway, group in groupby(in_order, key=lambda one: one.gateway):
            mine = list(group)
            for start in range(0, len(mine), BATCH_MAX):
                was_taken &= await self._send_to(gateway, mine[start : start + BATCH_MAX])
        return was_taken

    async def _send_to(self, gateway: str, batch: Sequence[PendingReceipt]) -> bool:
        items = tuple(Receipt(one.uid.hex, one.seen_at, one.unit) for one in batch)
        message = wire.encode(Receipts(wire.VERSION, items))
        if not await self._broker.deliver(wire.topic(gateway, "receipts"), message):
            # Nobody at home; the receipts stay unsent and go when the gateway comes online.
            log.info("receipts_wait", gateway=gateway, count=len(batch))
            return False

        async def mark() -> None:
            async with self._database.transaction() as tx:
                await receipts.mark_sent(tx, [one.uid for one in batch], at=self._now())

        await patiently(mark)
        log.info("receipts_sent", gateway=gateway, count=len(batch))
        return True
