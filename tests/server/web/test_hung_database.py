"""A database that hangs: whoever waits is told within seconds, and all goes on when it wakes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from hemma.cluster import Cluster
from server.api.router import build
from server.auth.gate import WORK_MAX_S
from server.settings import Settings
from server.store.database import Database
from server.store.errors import DatabaseUnavailable
from server.store.migrate import migrate
from server.web.app import create_app
from server.web.live import Live
from server.web.metrics import Figures
from server.web.run import POOL_SIZE, create_inner
from tests.server.fix_ward import BASE, Clock, Ward, fill

pytestmark = pytest.mark.integration

MARGIN_S = 1.5
INNER_S = 2.0


def processes(cluster: Cluster) -> list[int]:
    """Return the server's processes: those whose parent is the one that its lock file names."""
    lock = next(cluster.folder.rglob("postmaster.pid"))
    parent = int(lock.read_text().split()[0])
    found = [parent]
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(status.parent.name))
    return found


@contextmanager
def hanging(cluster: Cluster) -> Iterator[None]:
    """Stop every process of the server, and let them go on after the block."""
    stopped = processes(cluster)
    for process in stopped:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in stopped:
            os.kill(process, signal.SIGCONT)


@pytest.fixture
async def ward(restartable_cluster: Cluster) -> AsyncIterator[Ward]:
    """The application over a database that the test may stop."""
    url = restartable_cluster.url("hemma")
    await asyncio.to_thread(migrate, url)
    async with (
        Database.connect(url, name="test-hung", size=POOL_SIZE) as database,
        AsyncExitStack() as clients,
    ):
        units, patient, gateway = await fill(database)
        clock = Clock()
        app = create_app(
            Settings(database_url=url, base_url=BASE), database, api=build, clock=clock
        )
        yield Ward(database, app, clock, units, patient, gateway, clients)


async def test_pages_and_figures_answer_while_the_database_hangs(
    ward: Ward, restartable_cluster: Cluster
) -> None:
    anna, stranger = await ward.logged_in("anna"), await ward.client("10.9.9.9")
    inner = httpx.AsyncClient(
        transport=httpx.ASGITransport(create_inner(ward.database, Figures.new(), Live())),
        base_url=BASE,
    )
    credentials = {"login": "anna", "password": "x"}
    with hanging(restartable_cluster):
        asking = [
            (anna.get("/arbetslista"), WORK_MAX_S + MARGIN_S),
            (anna.get(f"/patient/{ward.patient.public_id}"), WORK_MAX_S + MARGIN_S),
            (anna.get("/api/v1/worklist"), WORK_MAX_S + MARGIN_S),
            (stranger.post("/logga-in", data=credentials), WORK_MAX_S + MARGIN_S),
            (inner.get("/readyz"), INNER_S),
            (inner.get("/metrics"), INNER_S),
        ]
        answers = await asyncio.gather(*(timed(one) for one, _ in asking))
    for (answer, took_s), (_, most_s) in zip(answers, asking, strict=True):
        assert took_s < most_s, (answer.url, took_s)
    *pages, ready, figures = (answer for answer, _ in answers)
    assert {one.status_code for one in (*pages, ready)} == {503}
    assert "Databasen svarar inte" in pages[0].text
    assert pages[2].json()["title"] == "Databasen svarar inte"
    assert "hemma_database_up 0.0" in figures.text
    await inner.aclose()
    await awake(anna)


async def test_a_database_that_stops_in_the_middle_is_left_in_time(
    ward: Ward, restartable_cluster: Cluster
) -> None:
    started_s = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        await _hung_midway(ward.database, restartable_cluster)
    assert time.monotonic() - started_s < 3
    async with ward.database.transaction() as tx:
        cursor = await tx.execute("SELECT count(*) FROM staff WHERE display_name = 'x'")
        assert await cursor.fetchone() == (0,)


async def _hung_midway(database: Database, cluster: Cluster) -> None:
    async with database.transaction(within_s=1.0) as tx:
        await tx.execute("UPDATE staff SET display_name = 'x'")
        with hanging(cluster):
            await tx.execute("SELECT 1")


async def timed(asked: Awaitable[httpx.Response]) -> tuple[httpx.Response, float]:
    began_s = time.monotonic()
    answer = await asked
    return answer, time.monotonic() - began_s


async def awake(browser: httpx.AsyncClient) -> None:
    """Expect the pages to answer again: the pool notices within seconds."""
    statuses = []
    for _ in range(40):
        statuses.append((await browser.get("/arbetslista")).status_code)
        if statuses[-1] == 200:
            return
        await asyncio.sleep(0.2)
    raise AssertionError(statuses)
