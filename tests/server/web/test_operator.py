"""The web role as an operator meets it: a real process, its pages, readiness and figures."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.store.database import Database
from tests.server.fix_ward import PASSWORD, Clock, Ward, fill, token_of

pytestmark = pytest.mark.integration

DEADLINE_S = 40.0
Figures = dict[tuple[str, tuple[str, ...]], float]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def web(database_url: str, log: Path) -> Iterator[tuple[str, str]]:
    """Run `hemma server web`; give where its pages and its figures are."""
    port, inner = free_port(), free_port()
    environment = {
        **os.environ,
        "HEMMA_DATABASE_URL": database_url,
        "HEMMA_WEB_PORT": str(port),
        "HEMMA_METRICS_PORT": str(inner),
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", "from server.command import app; app()", "web"],
            env=environment, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        wait_for(f"http://127.0.0.1:{port}/healthz", log)
        yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{inner}"
        process.terminate()
        assert process.wait(DEADLINE_S) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def wait_for(url: str, log: Path) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        try:
            httpx.get(url).raise_for_status()
        except httpx.HTTPError:
            assert time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.1)
        else:
            return


def figures(inner: str) -> Figures:
    text = httpx.get(f"{inner}/metrics").text
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def prepared(database_url: str) -> str:
    """Put a red alert and an unjudged value into the database; return the person's link."""
    async with Database.connect(database_url, name="test-operator") as database:
        units, patient, gateway = await fill(database)
        ward = Ward(database, None, Clock(), units, patient, gateway, None)  # type: ignore[arg-type]  # served for real
        now = datetime.now(UTC)
        await ward.measure(224, 96, at=now - timedelta(minutes=5))
        async with database.transaction() as tx:
            await tx.execute(
                "INSERT INTO engine_inbox (received_seq, uid, patient_id, gateway_id, measured_at,"
                " stored_at) SELECT 1000000, gen_random_uuid(), %s, %s, %s, %s",
                (patient.id, gateway, now, now - timedelta(minutes=2)),
            )
        return f"/patient/{patient.public_id}"


def test_figures_for_an_operator(database_url: str, tmp_path: Path) -> None:
    link = asyncio.run(prepared(database_url))
    with web(database_url, tmp_path / "log") as (pages, inner):
        assert httpx.get(f"{inner}/readyz").text == "ready\n"
        with httpx.Client(base_url=pages) as anna:
            answer = anna.post("/logga-in", data={"login": "anna", "password": PASSWORD})
            assert answer.status_code == 303
            token = token_of(anna.get("/arbetslista"))
            assert anna.get(link).status_code == 200
            assert anna.get("/patient/00000000-0000-4000-8000-000000000000").status_code == 404
            # The interface is joined to the pages by this command, behind the same session.
            assert anna.get("/api/v1/worklist").json()["total"] == 1
            assert anna.get("/api/v1/session").json()["csrf"] == token
            with anna.stream("GET", "/handelser") as stream:
                # Kept: the stream is closed with its iterator.
                lines = stream.iter_lines()
                assert next(lines) == "event: worklist"
                found = figures(inner)
        assert httpx.get(f"{pages}/metrics").status_code == 404
        assert httpx.get(f"{pages}/readyz").status_code == 404
        text = httpx.get(f"{inner}/metrics").text
    answers = {labels: n for (name, labels), n in found.items() if name.endswith("_answers_total")}
    assert answers["/patient/{public_id}", "200"] == 1
    assert answers["/patient/{public_id}", "404"] == 1
    assert answers["/api/v1/worklist", "200"] == 1
    assert found["hemma_open_alerts", ("red",)] == found["hemma_untaken_alerts", ("red",)] == 1
    assert found["hemma_open_alerts", ("yellow",)] == 0
    assert found["hemma_engine_inbox_rows", ()] == 1
    assert 120 <= found["hemma_engine_inbox_age_seconds", ()] < 240
    assert 290 <= found["hemma_newest_value_age_seconds", ()] < 420
    assert found["hemma_web_live_lists", ()] == 1
    assert found["hemma_database_up", ()] == 1
    assert found["hemma_gateways", ("never_seen",)] == 1
    logged = (tmp_path / "log").read_text()
    for private in ("anna", "Påhittsson", "DEMO-01", link.split("/")[-1], "gw-nord-1", " 224"):
        assert private not in text, private
        assert private not in logged, private


def test_a_database_that_is_away_is_said(tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/none"
    with web(url, tmp_path / "log") as (pages, inner):
        assert httpx.get(f"{inner}/readyz", timeout=20).status_code == 503
        found = httpx.get(f"{inner}/metrics", timeout=20).text
        assert "hemma_database_up 0.0" in found
        assert "hemma_engine_inbox_rows NaN" in found
        assert "hemma_open_alerts{" not in found
        page = httpx.get(f"{pages}/arbetslista", timeout=20)
        assert page.status_code == 503
        assert "Databasen svarar inte" in page.text
