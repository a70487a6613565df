"""The upkeep: each job when it is due, one process at a time, and a failure stops nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from server.store import upkeep
from server.store.database import Database
from server.store.errors import DatabaseUnavailable, DataRefused
from server.store.upkeep import JobState
from server.upkeep.jobs import all_jobs
from server.upkeep.keeper import Job, Keeper
from server.upkeep.schedule import every
from tests.server.homes import NOON

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)


@dataclass
class Day:
    """A clock that the test moves, and what was done."""

    at: datetime = NOON
    done: list[str] = field(default_factory=list)

    def now(self) -> datetime:
        return self.at

    def job(self, name: str, hours: int, error: Exception | None = None) -> Job:
        async def run(database: Database, now: datetime) -> str:
            self.done.append(name)
            if error is not None:
                raise error
            return f"at {now:%H}"

        return Job(name, every(hours * HOUR, lambda: 0.5), run)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.connect(database_url, name="test") as database:
        yield database


async def states(database: Database) -> dict[str, JobState]:
    async with database.transaction() as tx:
        return {state.name: state for state in await upkeep.states(tx)}


async def test_jobs_are_done_when_due(database: Database) -> None:
    day = Day()
    keeper = Keeper(database, [day.job("slow", 5), day.job("quick", 2)], now=day.now)
    for _ in range(6):
        await keeper.do_what_is_due()
        day.at += HOUR
    assert day.done == ["quick", "quick", "slow"]
    found = await states(database)
    assert found["slow"] == JobState(
        name="slow",
        due_at=NOON + 10 * HOUR,
        began_at=NOON + 5 * HOUR,
        ended_at=NOON + 5 * HOUR,
        result="at 17",
        done_at=NOON + 5 * HOUR,
    )


async def test_what_was_missed_is_done_once_by_the_next_process(database: Database) -> None:
    day = Day()
    await Keeper(database, [day.job("hourly", 1)], now=day.now).do_what_is_due()
    day.at += 50 * HOUR
    again = Keeper(database, [day.job("hourly", 1)], now=day.now)
    assert await again.do_what_is_due() == ["hourly"]
    assert await again.do_what_is_due() == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DataRefused("no room"), "DataRefused: no room"),
        (DatabaseUnavailable("too slow"), "DatabaseUnavailable: too slow"),
        (ValueError("Maj-Britt 128"), "ValueError"),
    ],
)
async def test_a_failing_job_is_told_of_and_stops_no_other(
    database: Database, error: Exception, told: str
) -> None:
    day = Day()
    jobs = [day.job("bad", 20, error), day.job("good", 20)]
    keeper = Keeper(database, jobs, now=day.now)
    await keeper.do_what_is_due()
    day.at += 20 * HOUR
    await keeper.do_what_is_due()
    assert sorted(day.done) == ["bad", "good"]
    found = await states(database)
    assert (found["bad"].failure, found["bad"].failures, found["bad"].done_at) == (told, 1, None)
    assert found["good"].failure is None
    assert found["bad"].due_at < day.at + HOUR, "a failed job is tried again soon"

    day.at += HOUR
    mended = Keeper(database, [day.job("bad", 20)], now=day.now)
    assert await mended.do_what_is_due() == ["bad"]
    bad = (await states(database))["bad"]
    assert (bad.failure, bad.failures, bad.done_at) == (None, 0, day.at)


async def test_one_process_has_the_turn_and_another_takes_it_over(database_url: str) -> None:
    async with (
        Database.connect(database_url, name="one") as one,
        Database.connect(database_url, name="two") as two,
    ):
        async with upkeep.take_turn(one) as first:
            assert first is not None
            async with upkeep.take_turn(two) as second:
                assert second is None
            await first.confirm()
        async with upkeep.take_turn(two) as second:
            assert second is not None


async def test_a_turn_whose_connection_is_gone_is_lost(database: Database) -> None:
    async def lose() -> None:
        async with upkeep.take_turn(database) as turn:
            assert turn is not None
            async with database.transaction() as tx:
                await tx.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'test-turn' AND datname = current_database()"
                )
            await turn.confirm()

    with pytest.raises(DatabaseUnavailable):
        await lose()


async def test_at_work_it_does_a_due_job_without_being_asked(database: Database) -> None:
    day, told = Day(), asyncio.Event()

    async def run(database: Database, now: datetime) -> str:
        told.set()
        return ""

    async with database.transaction() as tx:
        await upkeep.plan(tx, "waiting", due_at=NOON - HOUR)
    job = Job("waiting", every(HOUR), run)
    working = asyncio.create_task(Keeper(database, [job], now=day.now).work())
    try:
        await asyncio.wait_for(told.wait(), 30)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_every_job_of_a_server_does_on_an_empty_database(database: Database) -> None:
    jobs = all_jobs()
    assert len({job.name for job in jobs}) == len(jobs)
    keeper = Keeper(database, jobs, now=lambda: NOON)
    # As in a server: by a process that has the turn, and for whose lock no job may wait.
    async with upkeep.take_turn(database) as turn:
        assert turn is not None
        for job in jobs:
            async with asyncio.timeout(120):
                state = await keeper.do(job.name)
            assert (state.failure, state.done_at) == (None, NOON), job.name
