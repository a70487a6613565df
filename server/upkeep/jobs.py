"""The jobs of the upkeep: what is done, and when. Light ones by the hour, heavy ones at night."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from server.settings import UID_DAYS
from server.store import access_seals, certificates, chunks, community, retention, uid_runs
from server.store.database import Database
from server.upkeep.keeper import Job
from server.upkeep.schedule import every, nightly


def all_jobs(*, uid_days: int = UID_DAYS) -> tuple[Job, ...]:
    """Return every job of a server; ``uid_days``: so long uids stand one by one."""
    keep_uids = timedelta(days=uid_days)
    return (
        Job("certificates", every(timedelta(hours=1)), certify_days),
        Job("access_log", every(timedelta(hours=1)), seal_access_log),
        Job("daily", nightly(), refresh_daily),
        Job("columns", nightly(), turn_into_columns),
        Job("retention", nightly(), remove_what_is_past),
        Job("chunks", nightly(), drop_empty_chunks),
        Job("uids", nightly(), partial(prune_uids, keep=keep_uids)),
    )


async def certify_days(database: Database, now: datetime) -> str:
    """Certify each day that is over and is not yet, one after the other."""
    days = 0
    while True:
        async with database.transaction() as tx:
            if await certificates.certify_next(tx, now=now) is None:
                return f"{days} days"
        days += 1


async def seal_access_log(database: Database, now: datetime) -> str:
    """Seal the lines of the access log that are not sealed yet."""
    lines = 0
    while True:
        async with database.transaction() as tx:
            sealed = await access_seals.seal(tx, at=now)
        if not sealed:
            return f"{lines} lines"
        lines += sealed


async def refresh_daily(database: Database, now: datetime) -> str:
    """Bring the kept daily aggregates up to date, where there are any."""
    steps = await community.refresh_daily(database, now=now)
    return f"{steps} steps" if steps else "nothing is kept on this tier"


async def turn_into_columns(database: Database, now: datetime) -> str:
    """Turn old weeks into columns, where that exists."""
    return f"{await community.turn_into_columns(database, now=now)} chunks"


async def remove_what_is_past(database: Database, now: datetime) -> str:
    """Remove what the rules of retention say is past; without a rule nothing is."""
    counts = await retention.retain(database, now=now)
    return ", ".join(f"{rows} {name}" for name, rows in counts.items()) or "no rules"


async def drop_empty_chunks(database: Database, now: datetime) -> str:
    """Drop weeks of which nothing is left."""
    return f"{await chunks.drop_empty(database, now=now)} chunks"


async def prune_uids(database: Database, now: datetime, *, keep: timedelta) -> str:
    """Pack the uids of old epochs; none is forgotten."""
    return f"{await uid_runs.prune(database, now=now, keep=keep)} uids"
