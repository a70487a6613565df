"""The ingest role: a worker for fresh values, and one for the backlog, never before them."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from server.broker import BrokerClient
from server.ingest.probe import shared_subscriptions_deliver
from server.ingest.worker import HANDS, Worker
from server.settings import Settings
from server.store import corrections, identity
from server.store.database import Database
from server.store.errors import DatabaseUnavailable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Stream:
    """A topic with the shared subscription that all workers of an installation divide among them.

    ``batch_max`` messages are committed together, at most; the Receive Maximum lets the broker hand
    over what two batches in hand and one that waits can hold.
    """

    leaf: str
    group: str
    batch_max: int

    @property
    def receive_maximum(self) -> int:
        """How many messages the broker may hand over before they are confirmed."""
        return (HANDS + 1) * self.batch_max

    def subscription(self, *, is_shared: bool, password: str | None) -> str:
        """Return the topic filter.

        mosquitto's access list grants every subscription and filters on delivery only. A gateway
        that joined our share group would thus be handed other homes' messages, for the broker to
        drop. So the group's name is derived from the server's ``password``: workers agree on it,
        and no gateway can name it. None where the broker asks for no password.
        """
        plain = f"hemma/v1/+/{self.leaf}"
        if not is_shared:
            return plain
        secret = hmac.digest((password or "").encode(), self.group.encode(), hashlib.sha256)
        return f"$share/{self.group}-{secret[:16].hex()}/{plain}"


FRESH = Stream("measurements", "hemma-ingest", 200)
# Messages of up to 50 items: fewer in hand.
BACKLOG = Stream("backlog", "hemma-backlog", 40)
# A new epoch is due once a week (store/identity.py); a look costs nothing.
EPOCH_LOOK_S = 30.0


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Ingest until ``stop`` is set. Waits for broker and database as long as it takes."""
    _collect_seldom()
    async with (
        Database.connect(settings.database_url, name="hemma-ingest", size=5) as database,
        asyncio.TaskGroup() as tasks,
    ):
        work = tasks.create_task(_work(settings, database), name="ingest")
        await stop.wait()
        work.cancel()


def _collect_seldom() -> None:
    """Let a batch come and go before the collector looks for cycles: there are hardly any.

    By default it walks a thousand items many times while they are in hand: a fifth of the work.
    """
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


async def _work(settings: Settings, database: Database) -> None:
    is_shared = await shared_subscriptions_deliver(settings)
    if not is_shared:
        # Plain subscriptions give every worker every message: slower, and still stored once.
        log.error("shared_subscription_dead", remedy="use mosquitto, or one ingest worker")
    async with asyncio.TaskGroup() as tasks:
        for stream in (FRESH, BACKLOG):
            tasks.create_task(
                _stream(settings, database, stream, is_shared=is_shared), name=stream.leaf
            )
        tasks.create_task(_turn_epochs(database), name="epochs")


async def _turn_epochs(database: Database) -> None:
    """Begin a new epoch of uids when the last one is old or full enough."""
    while True:
        try:
            async with database.transaction() as tx:
                await corrections.take_turn(tx, alone=True)
                if await identity.turn_epoch(tx, at=datetime.now(UTC)):
                    log.info("uid_epoch_begun")
        except DatabaseUnavailable:
            pass  # the workers say so, and the next look comes soon
        await asyncio.sleep(EPOCH_LOOK_S)


async def _stream(
    settings: Settings, database: Database, stream: Stream, *, is_shared: bool
) -> None:
    async with BrokerClient(
        settings,
        role=stream.group,
        subscriptions=[stream.subscription(is_shared=is_shared, password=settings.mqtt_password())],
        receive_maximum=stream.receive_maximum,
    ) as broker:
        worker = Worker(database, broker, batch_max=stream.batch_max, now=lambda: datetime.now(UTC))
        await worker.work()
