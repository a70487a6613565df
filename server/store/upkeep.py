"""The upkeep's turn and its memory: who does the jobs, when each is due, how it went."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from server.store.database import Database, Transaction

# For every process that does the upkeep of this database, and no other lock's number: it is held
# as long as a process lives, and a job that wanted it (ledger.py: ..._03) would never get it.
_LOCK = 0x68_65_6D_6D_61_04


@dataclass(frozen=True, slots=True)
class JobState:
    """When a job is due and how its last run went; times are the server's clock.

    ``ended_at`` None or before ``began_at``: it is running, or was cut off. ``result`` is what the
    last good run did, ``done_at`` when. ``failure`` is why the last run failed, None when it did
    not; ``failures`` how many did one after the other.
    """

    name: str
    due_at: datetime
    began_at: datetime | None = None
    ended_at: datetime | None = None
    result: str = ""
    failure: str | None = None
    failures: int = 0
    done_at: datetime | None = None


class Turn:
    """The right to do the upkeep, held by a connection for as long as it lives."""

    def __init__(self, connection: Transaction) -> None:
        self._connection = connection

    async def confirm(self) -> None:
        """Raise DatabaseUnavailable (through :func:`take_turn`) when the right is lost."""
        await self._connection.execute("SELECT 1")


@asynccontextmanager
async def take_turn(database: Database) -> AsyncIterator[Turn | None]:
    """Give the turn until the block ends, or None when another process has it.

    It is lost with its connection, so that a process that hangs or dies does not keep it. Then two
    may do the same job for a moment: jobs are such that this is harmless.
    """
    async with database.session("turn") as connection:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,))
        row = await cursor.fetchone()
        yield Turn(connection) if row is not None and row[0] else None


async def states(tx: Transaction) -> list[JobState]:
    """Return all jobs that were ever planned, by name."""
    async with tx.cursor(row_factory=class_row(JobState)) as cursor:
        await cursor.execute("SELECT * FROM upkeep_job ORDER BY name")
        return await cursor.fetchall()


async def plan(tx: Transaction, name: str, *, due_at: datetime) -> None:
    """Plan a job for the first time; nothing where it is planned already."""
    await tx.execute(
        "INSERT INTO upkeep_job (name, due_at) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (name, due_at),
    )


async def begin(tx: Transaction, name: str, *, at: datetime) -> None:
    """Write down that a job begins."""
    await tx.execute("UPDATE upkeep_job SET began_at = %s WHERE name = %s", (at, name))


async def succeed(
    tx: Transaction, name: str, *, at: datetime, result: str, due_at: datetime
) -> None:
    """Write down what a job did, and when it is due again."""
    await tx.execute(
        "UPDATE upkeep_job SET ended_at = %(at)s, done_at = %(at)s, result = %(result)s,"
        " failure = NULL, failures = 0, due_at = %(due_at)s WHERE name = %(name)s",
        {"name": name, "at": at, "result": result, "due_at": due_at},
    )


async def fail(tx: Transaction, name: str, *, at: datetime, failure: str, due_at: datetime) -> None:
    """Write down why a job failed, and when it is tried again."""
    await tx.execute(
        "UPDATE upkeep_job SET ended_at = %(at)s, failure = %(failure)s, failures = failures + 1,"
        " due_at = %(due_at)s WHERE name = %(name)s",
        {"name": name, "at": at, "failure": failure, "due_at": due_at},
    )
