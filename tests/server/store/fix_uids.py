"""What tests of uids share: epochs that end, and are pruned."""

from __future__ import annotations

from datetime import datetime, timedelta

from devices.wire import Item
from server.store import corrections, uid_runs
from server.store.database import Database
from server.store.identity import EPOCH_AGE, turn_epoch
from server.store.items import Outcome, ReceivedItem, keep
from tests.server.homes import BOOT, GATEWAY, Home

DAY = timedelta(days=1)
# As a device says that has lost its time.
LOST = datetime(1, 1, 1)  # noqa: DTZ001 - a device's own time has no zone


async def outcome(database: Database, home: Home, item: Item, *, at: datetime) -> Outcome:
    """Let the home's gateway send one item."""
    async with database.transaction() as tx:
        received = [ReceivedItem(item, home.gateway, GATEWAY, BOOT)]
        return (await keep(tx, received, stored_at=at))[0].outcome


async def turn(database: Database, *, at: datetime) -> bool:
    """End the epoch if it is old enough."""
    async with database.transaction() as tx:
        await corrections.take_turn(tx, alone=True)
        return await turn_epoch(tx, at=at)


async def end_epochs(database: Database, *, first: datetime, count: int) -> None:
    """Let ``count`` epochs of a week end, the first one at ``first``."""
    async with database.transaction() as tx:
        since = first - EPOCH_AGE
        await tx.execute("UPDATE uid_epoch SET since = %s WHERE epoch = 1", (since,))
    for n in range(count):
        assert await turn(database, at=first + n * EPOCH_AGE)


async def prune_all(database: Database, *, at: datetime) -> int:
    """Prune every epoch that may be."""
    return await uid_runs.prune(database, now=at, keep=uid_runs.KEEP_MIN)
