"""``hemma server upkeep``: when each regular job is due and how it went, or do one now."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from server.console import JsonOption, answer, inside
from server.settings import read_settings
from server.store import upkeep
from server.store.database import Database
from server.store.upkeep import JobState
from server.upkeep.jobs import all_jobs
from server.upkeep.keeper import Keeper


def _known_job(name: str | None) -> str | None:
    names = [job.name for job in all_jobs()]
    if name is not None and name not in names:
        raise typer.BadParameter(f"one of {', '.join(names)}")
    return name


def show_upkeep(
    run: Annotated[
        str | None, typer.Option(help="Do this job now, due or not.", callback=_known_job)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the regular jobs: when each is due, what the last run did, why it failed."""
    found = inside(upkeep.states) if run is None else [asyncio.run(_do(run))]
    text = "\n".join(_line(state) for state in found) or "Nothing is planned yet: no server ran."
    answer([asdict(state) for state in found], text, as_json=as_json)
    if run is not None and found[0].failure is not None:
        raise typer.Exit(1)


async def _do(name: str) -> JobState:
    """Do a job here; the same one may be under way in a server, which is harmless."""
    settings = read_settings(os.environ)
    jobs = all_jobs(uid_days=settings.uid_days)
    async with Database.connect(settings.database_url, name="hemma-command", size=2) as database:
        return await Keeper(database, jobs, now=lambda: datetime.now(UTC)).do(name)


def _line(state: JobState) -> str:
    done = f"{state.done_at:%Y-%m-%d %H:%M}Z" if state.done_at else "never"
    told = f"FAILED {state.failures} times: {state.failure}" if state.failure else state.result
    return f"{state.name:<14}due {state.due_at:%Y-%m-%d %H:%M}Z  last done {done}  {told}"
