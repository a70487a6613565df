"""A line of the access log that is changed, added or taken away after its seal is found."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest
from typer.testing import CliRunner

from server.command import audit_app
from server.store import access_log, access_seals, retention
from server.store.access_log import Action, Entry
from server.store.access_seals import Fault
from server.store.database import Database
from server.store.errors import DatabaseUnavailable
from server.store.retention import Rule
from tests.server.homes import NOON, rows

pytestmark = pytest.mark.integration


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.connect(database_url, name="test") as database:
        yield database


def line(number: int) -> Entry:
    return Entry(
        at=NOON + timedelta(minutes=number), staff_id=None, login=f"prov-{number}",
        assignment_id=None, unit_id=None, role="nurse", address="10.0.0.1", action=Action.READ,
        target="patient", patient_id=None, outcome="granted", reason="",
    )  # fmt: skip


async def write(database: Database, count: int, *, first: int = 0) -> None:
    async with database.transaction() as tx:
        for number in range(first, first + count):
            await access_log.append(tx, line(number))
    async with database.transaction() as tx:
        await access_seals.seal(tx, at=NOON)


async def look(database: Database) -> access_seals.Verified:
    async with database.transaction() as tx:
        return await access_seals.verify(tx)


def by_force(url: str, statement: str) -> None:
    """Change the log as its owner can, past the triggers."""
    table = "access_seal" if "access_seal" in statement else "access_log"
    with psycopg.connect(url) as db:
        db.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
        db.execute(statement.encode())
        db.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER".encode())


async def test_a_log_that_nobody_touched_is_as_sealed(database: Database) -> None:
    assert (await look(database)).faults == ()
    await write(database, 5)
    await write(database, 3, first=5)
    async with database.transaction() as tx:
        await access_log.append(tx, line(8))
        found = await access_seals.verify(tx)
    assert (found.seals, found.lines, found.unsealed, found.faults) == (2, 8, 1, ())
    assert found.head is not None
    async with database.transaction() as tx:
        assert await access_seals.seal(tx, at=NOON) == 1
        assert await access_seals.seal(tx, at=NOON) == 0


@pytest.mark.parametrize(
    ("statement", "seal", "fault"),
    [
        ("UPDATE access_log SET login = 'other' WHERE id = 2", 1, Fault.LINES),
        ("UPDATE access_log SET at = at + INTERVAL '1 second' WHERE id = 5", 2, Fault.LINES),
        ("DELETE FROM access_log WHERE id = 4", 2, Fault.LINES),
        ("UPDATE access_seal SET rows = 2 WHERE id = 1", 1, Fault.CHAIN),
        ("DELETE FROM access_seal WHERE id = 1", 1, Fault.MISSING),
    ],
)
async def test_what_was_changed_past_the_triggers_is_found(
    database: Database, database_url: str, statement: str, seal: int, fault: Fault
) -> None:
    for first in (0, 3, 6):
        await write(database, 3, first=first)
    by_force(database_url, statement)
    found = await look(database)
    assert (found.faults[0].seal, found.faults[0].fault) == (seal, fault)


async def test_what_a_rule_removed_is_no_fault(database: Database, database_url: str) -> None:
    await write(database, 3)
    await write(database, 3, first=3)
    later = NOON + timedelta(days=6 * 366)
    rows(database_url, "DROP TRIGGER access_log_five_years ON access_log", fetch=False)
    async with database.transaction() as tx:
        rule = Rule(retention.ACCESS_LOG, None, 1900, NOON, "prov", "ett prov")
        await retention.set_rule(tx, rule, is_no_record=False)
    assert await retention.retain(database, now=later) == {retention.ACCESS_LOG: 6}
    found = await look(database)
    assert (found.pruned, found.faults) == (2, ())


async def test_a_seal_waits_for_a_line_that_is_being_written(database: Database) -> None:
    async with database.transaction() as tx:
        await access_log.append(tx, line(1))
        with pytest.raises(DatabaseUnavailable):
            async with database.transaction() as other:
                await access_seals.seal(other, at=NOON)


def test_the_command_says_which_lines(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEMMA_DATABASE_URL", database_url)
    good = CliRunner().invoke(audit_app, ["verify", "--json"])
    assert (good.exit_code, json.loads(good.stdout)["faults"]) == (0, [])
    rows(
        database_url,
        "INSERT INTO access_seal VALUES (1, 1, 2, now(), 2, '\\x00', '\\x00', now())",
        fetch=False,
    )
    bad = CliRunner().invoke(audit_app, ["verify"])
    assert bad.exit_code == 1
    assert "lines 1–2" in bad.stdout
