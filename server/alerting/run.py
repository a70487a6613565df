"""The engine role: wakes when values are stored, judges until nothing waits, looks at equipment.

A notification only wakes; what is done is always looked up, so a lost one costs a tick, no value.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from datetime import UTC, datetime

import structlog

from server.alerting.absence import judge_equipment
from server.alerting.judge import Judged, judge_inbox
from server.settings import Settings
from server.store.database import Database
from server.store.engine_inbox import CHANNEL
from server.store.errors import StoreError

# How often equipment is judged, and how long a lost notification can go unnoticed.
TICK_S = 30.0
# Small enough that a red value waits less than 100 ms for those judged with it (design.md, safety
# rule 2); measured at 0.4 ms each.
BATCH_MAX = 200
# Pause while other engines hold everything that waits.
BUSY_S = 0.05
RETRY_FIRST_S = 0.2
RETRY_MAX_S = 5.0

_log = structlog.get_logger("alerting")


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Judge what arrives until ``stop`` is set. Waits out a database that is away."""
    async with Database.connect(settings.database_url, name="hemma-engine") as database:
        wake = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_listen(database, wake), name="engine-listen"),
                group.create_task(_drain_forever(database, wake), name="engine-judge"),
                group.create_task(_watch_equipment(database), name="engine-equipment"),
            ]
            await stop.wait()
            for task in tasks:
                task.cancel()


async def _listen(database: Database, wake: asyncio.Event) -> None:
    async with aclosing(database.notifications(CHANNEL)) as notes:
        async for _ in notes:
            wake.set()


async def _drain_forever(database: Database, wake: asyncio.Event) -> None:
    pause_s = RETRY_FIRST_S
    while True:
        wake.clear()
        try:
            await drain(database)
        except StoreError as error:
            _log.warning("engine_retry", error=type(error).__name__)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            pause_s = min(pause_s * 2, RETRY_MAX_S)
            continue
        pause_s = RETRY_FIRST_S
        try:
            await asyncio.wait_for(wake.wait(), TICK_S)
        except TimeoutError:
            continue


async def drain(database: Database) -> int:
    """Judge until nothing waits; return how many measurements that were judged here.

    What another engine holds is waited for: it may die, and its values are then ours.
    """
    total = 0
    while True:
        judged = await _round(database)
        total += judged.measurements
        if judged.left == 0:
            return total
        if judged.measurements == 0:
            await asyncio.sleep(BUSY_S)


async def _round(database: Database) -> Judged:
    async with database.transaction() as tx:
        judged = await judge_inbox(tx, now=datetime.now(UTC), limit=BATCH_MAX)
    if judged.measurements:
        _log.info(
            "judged",
            measurements=judged.measurements,
            decisions=len(judged.decisions),
            fired=judged.fired,
        )
    for one in judged.unjudged:
        _log.error(
            "not_judged",
            subject=one.subject,
            error=one.error,
            detail=one.detail,
            waiting=one.waiting,
            tries=one.tries,
            again_in_s=one.pause.total_seconds(),
        )
    return judged


async def _watch_equipment(database: Database) -> None:
    listening_since = datetime.now(UTC)
    while True:
        try:
            async with database.transaction() as tx:
                decisions = await judge_equipment(
                    tx, now=datetime.now(UTC), listening_since=listening_since
                )
            if decisions:
                _log.info("equipment_judged", decisions=len(decisions))
        except StoreError as error:
            _log.warning("equipment_retry", error=type(error).__name__)
        await asyncio.sleep(TICK_S)
