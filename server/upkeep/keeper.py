"""Does each job when it is due, one after the other, while this process has the turn.

A job that fails is written down and tried again later; it never stops the others.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from server.store import upkeep
from server.store.database import Database
from server.store.errors import DatabaseUnavailable, StoreError
from server.upkeep.schedule import Due, retry_at

# How long after its time a job may begin; also how soon another process takes over.
LOOK_EVERY_S = 30.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """Something that is done regularly.

    ``due`` gives the next moment after one. ``run`` gets the database and the time now, works in
    small transactions, may be cut off anywhere and done twice, and returns what it did in a few
    words without personal data.
    """

    name: str
    due: Due
    run: Callable[[Database, datetime], Awaitable[str]]


class Keeper:
    """One process's part in the upkeep; ``now`` is the server's clock."""

    def __init__(
        self, database: Database, jobs: Sequence[Job], *, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._jobs = {job.name: job for job in jobs}
        self._now = now

    async def work(self) -> None:
        """Work for ever: wait for the turn, keep it, and wait again when it is lost."""
        while True:
            try:
                async with upkeep.take_turn(self._database) as turn:
                    while turn is not None:
                        await self.do_what_is_due()
                        await _pause()
                        await turn.confirm()
            except DatabaseUnavailable as error:
                log.warning("database_away", error=str(error))
            await _pause()

    async def do_what_is_due(self) -> list[str]:
        """Do each job that is due, the longest overdue first, and return their names.

        New jobs are planned. Raises DatabaseUnavailable when not even a failure can be written.
        """
        async with self._database.transaction() as tx:
            for job in self._jobs.values():
                await upkeep.plan(tx, job.name, due_at=job.due(self._now()))
            known = await upkeep.states(tx)
        due = [one for one in known if one.name in self._jobs and one.due_at <= self._now()]
        for state in sorted(due, key=lambda one: (one.due_at, one.name)):
            await self._do(self._jobs[state.name], state)
        return [state.name for state in due]

    async def do(self, name: str) -> upkeep.JobState:
        """Do one job now, due or not; return how it went. Raises KeyError for an unknown one."""
        job = self._jobs[name]
        async with self._database.transaction() as tx:
            await upkeep.plan(tx, name, due_at=self._now())
        for state in await self._states():
            if state.name == name:
                await self._do(job, state)
        return next(state for state in await self._states() if state.name == name)

    async def _states(self) -> list[upkeep.JobState]:
        async with self._database.transaction() as tx:
            return await upkeep.states(tx)

    async def _do(self, job: Job, state: upkeep.JobState) -> None:
        async with self._database.transaction() as tx:
            await upkeep.begin(tx, job.name, at=self._now())
        try:
            result = await job.run(self._database, self._now())
        except Exception as error:  # noqa: BLE001 - a job's outermost: written down, others go on
            await self._note_failure(job, state, error)
            return
        async with self._database.transaction() as tx:
            due_at = job.due(self._now())
            await upkeep.succeed(tx, job.name, at=self._now(), result=result, due_at=due_at)
        log.info("upkeep_done", job=job.name, result=result)

    async def _note_failure(self, job: Job, state: upkeep.JobState, error: Exception) -> None:
        # Of an error that is not the store's own only the class is told: a message may quote a row.
        said = f"{type(error).__name__}: {error}" if isinstance(error, StoreError) else ""
        failure = said or type(error).__name__
        at = self._now()
        due_at = min(job.due(at), retry_at(at, state.failures + 1))
        log.error("upkeep_failed", job=job.name, failure=failure, again_at=due_at.isoformat())
        async with self._database.transaction() as tx:
            await upkeep.fail(tx, job.name, at=at, failure=failure, due_at=due_at)


async def _pause() -> None:
    await asyncio.sleep(LOOK_EVERY_S * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
