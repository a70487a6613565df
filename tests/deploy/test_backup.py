"""The drill: back up while values arrive, lose the database, restore, ask the homes, compare."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from gateway.link import Broker as Uplinked
from hemma.broker import Broker
from server import fleet
from server.alerting import run as engine
from server.ingest import role as ingest
from server.settings import Settings
from tests.fix_postgres import DatabaseServer
from tests.gateway.fix_home import CUFF, Home, make_home, uplinked
from tests.server.homes import rows
from tests.server.ingest.fix_ingest import (
    eventually,
    running,
    server_settings,
    settings_environment,
)

pytestmark = pytest.mark.integration
GATEWAY = "gw-1"
VALUES_BEFORE, VALUES_AFTER = 12, 7


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = make_home(tmp_path / "outbox.sqlite3")
    yield home
    home.outbox.close()


@pytest.fixture
def settings(database_url: str, broker: Broker, server_password_file: Path) -> Settings:
    return server_settings(database_url, broker, server_password_file)


def hemma(settings: Settings, *arguments: str) -> tuple[int, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "hemma", *arguments, "--json"],
        env={**os.environ, **settings_environment(settings)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def move_in(url: str) -> None:
    """Register the home with its cuff, worn by one patient for ten days."""
    with psycopg.connect(url) as db:
        db.execute("INSERT INTO care_provider (name) VALUES ('Provkommunen')")
        db.execute("INSERT INTO unit (provider_id, name) SELECT id, 'Nord' FROM care_provider")
        db.execute("INSERT INTO gateway (name, unit_id) SELECT %s, id FROM unit", (GATEWAY,))
        db.execute(
            "INSERT INTO patient (identifier_system, identifier_value, given_name, family_name,"
            " unit_id) SELECT 'urn:hemma:demo', 'DEMO-01', 'Prov', 'Påhittad', id FROM unit"
        )
        db.execute("INSERT INTO device (name) VALUES (%s)", (CUFF,))
        db.execute(
            "INSERT INTO binding (device_id, patient_id, valid)"
            " SELECT d.id, p.id, tstzrange(now() - INTERVAL '10 days', NULL)"
            " FROM device d, patient p"
        )


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[None]:
    """The server's roles, as tasks."""
    async with AsyncExitStack() as stack:
        for role in (ingest.run, engine.run, fleet.run):
            await stack.enter_async_context(running(role, settings))
        yield


@dataclass(frozen=True)
class Stand:
    """What a database says of a home's values, free of when it heard of them."""

    values: list[tuple[Any, ...]]
    alerts: list[tuple[Any, ...]]
    cited: list[tuple[Any, ...]]
    latest: list[tuple[Any, ...]]

    @classmethod
    def of(cls, url: str) -> Stand:
        return cls(
            rows(
                url,
                "SELECT m.uid::text, m.measured_at, m.patient_id, m.raw, o.component_id, o.value"
                " FROM measurement m JOIN observation o USING (uid) WHERE m.type = 'value'"
                " ORDER BY 1, 5",
            ),
            rows(url, "SELECT id::text, rule, severity, handling FROM alert ORDER BY 1"),
            rows(url, "SELECT alert_id::text, uid::text, value FROM alert_evidence ORDER BY 1, 2"),
            rows(url, "SELECT component_id, measured_at, value, uid::text FROM latest ORDER BY 1"),
        )


def judged(url: str, values: int) -> bool:
    counts = (
        "SELECT (SELECT count(*) FROM measurement WHERE type = 'value'),"
        " (SELECT count(*) FROM engine_inbox)"
    )
    return rows(url, counts) == [(values, 0)]


def wipe(server: DatabaseServer, url: str) -> None:
    """Lose the database: what is there under its name afterwards is empty."""
    name = str(conninfo_to_dict(url)["dbname"])
    server.drop(name)
    with psycopg.connect(server.url("postgres"), autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())


async def test_a_lost_database_comes_back_with_everything_the_homes_still_have(
    settings: Settings, broker: Broker, home: Home, database_server: DatabaseServer, tmp_path: Path
) -> None:
    url, folder = settings.database_url, tmp_path / "monday"
    assert broker.port is not None
    as_gateway = Uplinked(GATEWAY, "127.0.0.1", broker.port, broker.passwords[GATEWAY])
    move_in(url)
    async with served(settings), uplinked(home, as_gateway):
        # Whoever hears homes is there: a value sent before waits ten seconds for its second try.
        await eventually(lambda: rows(url, "SELECT state FROM gateway") == [("online",)])
        for number in range(VALUES_BEFORE):
            # The eighth is red: its alert and what was said of it are in the backup.
            home.measure(226 if number == 7 else 128 + number)
        await eventually(lambda: judged(url, VALUES_BEFORE))
        code, told = hemma(settings, "backup", str(folder))
        assert code == 0, told
        for number in range(VALUES_AFTER):
            home.measure(231 if number == 3 else 150 + number)
        total = VALUES_BEFORE + VALUES_AFTER
        await eventually(lambda: judged(url, total))
        await eventually(lambda: home.outbox.counts().stored >= total)
        before = Stand.of(url)
        assert before.alerts
        assert len(before.cited) > len(rows_of(told, "alert_evidence"))

    wipe(database_server, url)
    code, told = hemma(settings, "restore", str(folder), "--verify")
    assert code == 0, told
    assert told["verified"]["differences"] == []
    assert told["verified"]["derived"] == VALUES_BEFORE
    assert told["asked"] == [GATEWAY]
    assert len(Stand.of(url).values) < len(before.values)

    async with served(settings), uplinked(home, as_gateway):
        await eventually(lambda: judged(url, total))
        events = "SELECT count(*) FROM measurement WHERE event = 'resend'"
        await eventually(lambda: rows(url, events) == [(1,)])
        home.measure(127)
        await eventually(lambda: judged(url, total + 1))
        await eventually(lambda: home.outbox.counts().stored == total + 2)
    after = Stand.of(url)
    known = {one[0] for one in before.values}
    assert [one for one in after.values if one[0] in known] == before.values
    assert len({one[0] for one in after.values} - known) == 1, "only what was measured afterwards"
    assert (after.alerts, after.cited) == (before.alerts, before.cited)
    fired = "SELECT alert_id FROM alert_event WHERE event = 'fired' GROUP BY 1 HAVING count(*) > 1"
    assert rows(url, fired) == [], "nobody is alerted twice for the same values"
    code, (order,) = hemma(settings, "server", "orders")
    assert (code, order["gateway"], order["answered_at"] is not None) == (0, GATEWAY, True)
    assert order["rows"] >= VALUES_AFTER


def rows_of(told: dict[str, Any], table: str) -> range:
    return range(sum(one["rows"] for one in told["facts"]["parts"] if one["table"] == table))
