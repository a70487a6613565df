"""Start the server: one role in this process, or all of them as supervised children.

Roles meet only in the database and the broker, so each may die and come back on its own. A child
ends when its supervisor does, also when that was killed: it watches a pipe that closes then.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import random
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from server.settings import Settings, read_settings
from server.store.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from server.store.migrate import Migrated

# What `hemma server run` starts; each module has `run(settings, stop)`. Loaded lazily: a process
# needs one of them.
ROLES = {
    "ingest": "server.ingest.role",
    "engine": "server.alerting.run",
    "notify": "server.fleet.role",
    "web": "server.web.run",
}
# What runs in a role's process beside it: the upkeep needs no process of its own, and no broker.
BESIDE = {"notify": "server.upkeep.run"}
Role = Callable[[Settings, asyncio.Event], Coroutine[Any, Any, None]]
SUPERVISED = "HEMMA_SUPERVISED"
# A role has this long to end by itself, then it is killed; whatever hangs, the process is gone
# after the second: together under the ten seconds that are promised.
STOP_GRACE_S = 5.0
STOP_TOTAL_S = 8.5
RESTART_MIN_S = 0.5
RESTART_MAX_S = 30.0
# A role that lived this long had no trouble starting: its next restart is quick again.
STEADY_S = 60.0
MIGRATE_RETRY_S = 1.0

log = structlog.get_logger(__name__)


@dataclass
class Pause:
    """The growing pause between a role's restarts, with jitter."""

    seconds: float = RESTART_MIN_S

    def next(self, lived_s: float) -> float:
        """Return how long to wait after a life of ``lived_s``."""
        if lived_s >= STEADY_S:
            self.seconds = RESTART_MIN_S
        chosen = self.seconds * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        self.seconds = min(self.seconds * 2, RESTART_MAX_S)
        return chosen


def run_role(name: str, settings: Settings) -> None:
    """Run one role until SIGTERM, SIGINT or the supervisor's end."""
    role: Callable[..., Awaitable[None]]
    module = importlib.import_module(ROLES[name])
    role = module.run
    if name == "web":
        # Pages and interface are siblings and may not import each other: they are joined here.
        role = partial(module.run, api=importlib.import_module("server.api.router").build)
    if name in BESIDE:
        role = partial(_together, module.run, importlib.import_module(BESIDE[name]).run)
    structlog.contextvars.bind_contextvars(role=name)
    asyncio.run(_until_stopped(lambda stop: role(settings, stop)))


async def _together(role: Role, other: Role, settings: Settings, stop: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(role(settings, stop))
        tasks.create_task(other(settings, stop))


def run_all(settings: Settings) -> None:
    """Migrate, then run every role as a child process until SIGTERM or SIGINT."""
    asyncio.run(_until_stopped(lambda stop: _supervise(settings, stop)))


async def migrate_patiently(url: str, stop: asyncio.Event) -> Migrated | None:
    """Migrate as soon as the database answers; None when ``stop`` came first."""
    # Alembic and SQLAlchemy take over a second to load; of all roles only the supervisor migrates.
    from server.store.migrate import migrate

    while not stop.is_set():
        try:
            done = await asyncio.to_thread(migrate, url)
        except DatabaseUnavailable as error:
            log.warning("database_away", error=str(error))
            await _stopped_within(stop, MIGRATE_RETRY_S)
        else:
            log.info("migrated", before=done.before, after=done.after, timescale=done.timescale)
            if done.advice:
                log.warning("timescale_not_used", advice=done.advice)
            return done
    return None


def log_as_json() -> None:
    """Write logs as one JSON object a line on standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
    # The pool's own lines only repeat what is logged as database_away.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


async def _until_stopped(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        if not stop.is_set():
            stop.set()
            _bound_the_end()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    supervised = os.environ.get(SUPERVISED) == "1"
    if supervised:
        loop.add_reader(sys.stdin.fileno(), end)
    try:
        await work(stop)
    finally:
        if supervised:
            loop.remove_reader(sys.stdin.fileno())


def _bound_the_end() -> None:
    """End this process after :data:`STOP_TOTAL_S`, also when a thread or a query never returns.

    Nothing is lost by it: what is not committed is not acknowledged. Children of a supervisor were
    killed before that, or end as their pipe closes.
    """
    timer = threading.Timer(STOP_TOTAL_S, _give_up)
    timer.daemon = True
    timer.start()


def _give_up() -> None:
    log.error("stop_forced", after_s=STOP_TOTAL_S)
    os._exit(1)


async def _supervise(settings: Settings, stop: asyncio.Event) -> None:
    if await migrate_patiently(settings.database_url, stop) is None:
        return
    async with asyncio.TaskGroup() as tasks:
        for name in ROLES:
            tasks.create_task(_keep_alive(name, stop), name=name)


async def _keep_alive(name: str, stop: asyncio.Event) -> None:
    """Run one role's process, again whenever it ends, until ``stop``."""
    pause = Pause()
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        started_s = loop.time()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "server.main",
            name,
            stdin=asyncio.subprocess.PIPE,
            env={**os.environ, SUPERVISED: "1"},
        )
        log.info("role_started", name=name, pid=process.pid)
        await _ended_or_stopped(process, stop)
        if stop.is_set():
            await _end(process)
            return
        wait_s = pause.next(loop.time() - started_s)
        log.error("role_died", name=name, code=process.returncode, again_in_s=round(wait_s, 1))
        await _stopped_within(stop, wait_s)


async def _ended_or_stopped(process: asyncio.subprocess.Process, stop: asyncio.Event) -> None:
    waits = {asyncio.ensure_future(process.wait()), asyncio.ensure_future(stop.wait())}
    _, others = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_GRACE_S)
        except TimeoutError:
            log.warning("role_killed", pid=process.pid)
            process.kill()
            await process.wait()


async def _stopped_within(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


if __name__ == "__main__":
    log_as_json()
    run_role(sys.argv[1], read_settings(os.environ))
