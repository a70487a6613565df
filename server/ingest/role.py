"""The ingest role: a worker for fresh values, and one for the backlog, never before them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from server.broker import BrokerClient
from server.ingest.probe import shared_subscriptions_deliver
from server.ingest.worker import Worker
from server.settings import Settings
from server.store.database import Database

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Stream:
    """A topic with the shared subscription that all workers of an installation divide among them.

    ``batch_max`` messages are in hand at once: it is the Receive Maximum and the commit batch.
    """

    leaf: str
    group: str
    batch_max: int

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
# Messages of up to 50 items: fewer in hand, so that a batch stays under a thousand rows.
BACKLOG = Stream("backlog", "hemma-backlog", 20)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Ingest until ``stop`` is set. Waits for broker and database as long as it takes."""
    async with (
        Database.connect(settings.database_url, name="hemma-ingest", size=2) as database,
        asyncio.TaskGroup() as tasks,
    ):
        work = tasks.create_task(_work(settings, database), name="ingest")
        await stop.wait()
        work.cancel()


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


async def _stream(
    settings: Settings, database: Database, stream: Stream, *, is_shared: bool
) -> None:
    async with BrokerClient(
        settings,
        role=stream.group,
        subscriptions=[stream.subscription(is_shared=is_shared, password=settings.mqtt_password())],
        receive_maximum=stream.batch_max,
    ) as broker:
        worker = Worker(database, broker, batch_max=stream.batch_max, now=lambda: datetime.now(UTC))
        await worker.work()
