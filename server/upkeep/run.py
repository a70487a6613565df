"""The upkeep as it runs in a server: beside the notify role, in whichever process has the turn."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from server.settings import Settings
from server.store.database import Database
from server.upkeep.jobs import all_jobs
from server.upkeep.keeper import Keeper


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set; a job that is running then is cut off and done again later."""
    jobs = all_jobs(uid_days=settings.uid_days)
    async with (
        Database.connect(settings.database_url, name="hemma-upkeep", size=2) as database,
        asyncio.TaskGroup() as tasks,
    ):
        work = tasks.create_task(Keeper(database, jobs, now=_now).work(), name="upkeep")
        await stop.wait()
        work.cancel()


def _now() -> datetime:
    return datetime.now(UTC)
