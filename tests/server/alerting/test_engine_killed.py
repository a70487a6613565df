"""The engine's own process killed in the middle of its work: each value is judged exactly once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest

from server.alerting.run import BATCH_MAX
from tests.server.alerting.fix_engine import arrive, engine
from tests.server.homes import NOON, Home, pressure, rows, settle

pytestmark = pytest.mark.integration

VALUES = 3 * BATCH_MAX
PATIENCE_S = 30.0

# Where the engine is stopped, by a lock that only this statement of its transaction meets: before
# the alert is opened, before the decisions are written, before the values are forgotten.
STOPS = {
    "fire": "LOCK TABLE alert IN SHARE MODE",
    "record": "LOCK TABLE decision IN SHARE MODE",
    "forget": "LOCK TABLE engine_inbox IN SHARE MODE",
}
HELD = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'hemma-engine'
  AND wait_event_type = 'Lock'
"""
WAITING = "SELECT count(*) FROM engine_inbox"
WHAT_IS_KEPT = {
    "one alert": "SELECT count(*) FROM alert",
    "its version": "SELECT version FROM alert",
    "events": "SELECT count(*) FROM alert_event",
    "evidence": "SELECT count(DISTINCT uid) FROM alert_evidence",
    "decisions": "SELECT count(*) FROM decision",
    "decided about once": "SELECT count(DISTINCT uids) FROM decision",
}


@pytest.fixture
async def home(database_url: str) -> Home:
    """A home with a long row of red values that wait."""
    home = settle(database_url)
    items = [
        pressure(seq, at=NOON - timedelta(days=9) + timedelta(minutes=15 * seq), systolic=230.0)
        for seq in range(1, VALUES + 1)
    ]
    async with engine(database_url) as database:
        await arrive(database, home, *items, stored_at=NOON)
    return home


@contextmanager
def running_engine(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """The engine's role as the supervisor starts it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "server.main", "engine"],
        env={**os.environ, "HEMMA_DATABASE_URL": url},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE_S)


def until(url: str, query: str, is_so: Callable[[int], bool]) -> None:
    """Look until the number is right."""
    late = time.monotonic() + PATIENCE_S
    while not is_so(rows(url, query)[0][0]):
        assert time.monotonic() < late, f"still not: {query}"
        time.sleep(0.005)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill it, and see that it was alive until then."""
    assert process.poll() is None
    process.kill()
    assert process.wait(PATIENCE_S) == -signal.SIGKILL


def kept(url: str) -> dict[str, int]:
    """Everything that could be doubled or lost."""
    return {name: rows(url, query)[0][0] for name, query in WHAT_IS_KEPT.items()}


ALL_ONCE = {
    "one alert": 1,
    "its version": VALUES,
    "events": VALUES,
    "evidence": VALUES,
    "decisions": VALUES,
    "decided about once": VALUES,
}


@pytest.mark.parametrize("stop", STOPS)
async def test_killed_inside_its_transaction(home: Home, database_url: str, stop: str) -> None:
    with psycopg.connect(database_url) as holder:
        holder.execute(STOPS[stop])
        with running_engine(database_url) as process:
            until(database_url, HELD, lambda held: held == 1)
            kill(process)
    until(database_url, HELD, lambda held: held == 0)
    assert rows(database_url, WAITING) == [(VALUES,)]
    with running_engine(database_url):
        until(database_url, WAITING, lambda waiting: waiting == 0)
    assert kept(database_url) == ALL_ONCE


async def test_killed_between_its_batches(home: Home, database_url: str) -> None:
    lives = 0
    left = VALUES
    while left:
        with running_engine(database_url) as process:
            until(database_url, WAITING, lambda waiting: waiting < left)  # noqa: B023 - used here
            kill(process)
        lives += 1
        left = rows(database_url, WAITING)[0][0]
    assert lives > 1
    assert kept(database_url) == ALL_ONCE
