"""The commands of keeping: stats without people, rules, an extract, and erasing in two steps."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from typer.testing import CliRunner

from server.command import app
from server.store.database import Database
from server.store.items import ReceivedItem, keep
from tests.fix_postgres import DatabaseServer
from tests.server.homes import BOOT, GATEWAY, Home, pressure, rows, settle

pytestmark = pytest.mark.integration
runner = CliRunner()
PATIENT = "urn:hemma:demo|DEMO-01"


@pytest.fixture
def home(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("HEMMA_DATABASE_URL", database_url)
    return settle(database_url)


def store(url: str, home: Home, count: int) -> None:
    """Let values of the last hours be stored just now."""
    asyncio.run(_store(url, home, count))


async def _store(url: str, home: Home, count: int) -> None:
    now = datetime.now(UTC)
    items = [pressure(n, at=now - timedelta(hours=n)) for n in range(1, count + 1)]
    rows(url, "UPDATE binding SET valid = tstzrange(%s, NULL)", now - timedelta(9), fetch=False)
    async with Database.connect(url, name="test") as database, database.transaction() as tx:
        received = [ReceivedItem(item, home.gateway, GATEWAY, BOOT) for item in items]
        await keep(tx, received, stored_at=now)


def ask(*words: str, code: int = 0) -> Any:
    result = runner.invoke(app, [*words, "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_stats_tell_sizes_and_growth_and_nobody(
    database_url: str, home: Home, database_server: DatabaseServer
) -> None:
    store(database_url, home, 5)
    rows(database_url, "ANALYZE", fetch=False)
    told = ask("stats")
    assert (told["rows"]["measurement"], told["rows"]["observation"]) == (5, 15)
    assert (told["growth"]["day"], told["growth"]["week"]) == (5, 5)
    assert [(one["kind"], one["rows"]) for one in told["kinds"]] == [("blood_pressure", 5)]
    assert told["gateways"] == {"never_seen": 1}
    assert told["uids"] == {
        "epochs": 1,
        "pruned_epochs": 0,
        "pruned_uids": 0,
        "pruned_until": None,
        "ahead": 0,
    }
    tables = {one["name"]: one for one in told["tables"]}
    measurement = tables["measurement"]
    assert measurement["rows"] == 5
    assert {"measurement_patient", "measurement_time"} <= {
        i["name"] for i in measurement["indexes"]
    }
    assert all(index["bytes"] > 0 for index in measurement["indexes"])
    chunked = {one["table"] for one in told["chunks"]}
    assert ("measurement" in chunked) == (database_server.kind == "timescale")
    text = runner.invoke(app, ["stats"]).stdout
    assert "Påhittad" not in text
    assert "DEMO-01" not in text
    assert "Uids: 1 epochs one by one, 0 dated ahead" in text


def test_stats_tell_how_many_uids_are_packed(database_url: str, home: Home) -> None:
    store(database_url, home, 3)
    rows(
        database_url,
        "UPDATE uid_epoch SET since = '2020-01-01Z', until = '2020-01-08Z' WHERE epoch = 1",
        fetch=False,
    )
    rows(database_url, "INSERT INTO uid_epoch VALUES (2, now(), NULL, 3)", fetch=False)
    assert "3 uids" in runner.invoke(app, ["upkeep", "--run", "uids"]).stdout
    assert (ask("stats")["uids"]["pruned_uids"], ask("stats")["uids"]["epochs"]) == (3, 1)
    text = runner.invoke(app, ["stats"]).stdout
    assert "3 packed (until 2020-01-08)" in text


def test_rules_are_set_with_a_reason_and_shown(home: Home) -> None:
    assert ask("retention", "list") == []
    said = ("--by", "Prov", "--reason", "ingen journalhandling")
    refused = ask("retention", "set", "battery", "--days", "90", *said, code=1)
    assert refused["error"] == "too_short"
    ask("retention", "set", "battery", "--days", "90", "--no-record", *said)
    (rule,) = ask("retention", "list")
    assert (rule["what"], rule["keep_days"], rule["set_by"]) == ("battery", 90, "Prov")


def test_an_extract_holds_everything_and_stands_in_the_log(
    database_url: str, home: Home, tmp_path: Path
) -> None:
    store(database_url, home, 4)
    out = tmp_path / "extract.zip"
    told = ask("extract", PATIENT, "--out", str(out), "--by", "arkivarie")
    assert (told["rows"]["measurements"], told["rows"]["values"]) == (4, 12)
    assert out.stat().st_mode & 0o077 == 0
    with ZipFile(out) as archive:
        lines = [json.loads(line) for line in archive.read("measurements.jsonl").splitlines()]
        table = list(csv.DictReader(io.StringIO(archive.read("values.csv").decode("utf-8-sig"))))
        log = [json.loads(line) for line in archive.read("access_log.jsonl").splitlines()]
    assert {line["raw"] for line in lines} == {"\\x1e8000520060"}
    assert len(table) == 12
    assert table[0]["kind"] == "blood_pressure"
    assert [line["target"] for line in log] == ["hemma server extract"]
    logged = "SELECT login, action, patient_id FROM access_log"
    assert rows(database_url, logged) == [("arkivarie", "read", home.patient)]
    again = ask("extract", PATIENT, "--out", str(out), "--by", "arkivarie", code=1)
    assert again["error"] == "not_done"
    nobody = ask("extract", "x|y", "--out", str(tmp_path / "no.zip"), "--by", "arkivarie", code=1)
    assert nobody["error"] == "unknown_name"
    assert list(tmp_path.iterdir()) == [out], "nothing half-written is left"


def test_erasing_takes_two_calls(database_url: str, home: Home) -> None:
    store(database_url, home, 2)
    words = ("erase", PATIENT, "--order", "IVO 1/26", "--by", "Prov", "--reason", "beslut")
    first = ask(*words)
    assert (first["erasure"], first["would"]["measurement"]) == (None, 2)
    assert rows(database_url, "SELECT count(*) FROM observation") == [(6,)]
    assert ask(*words, "--confirm", "0000000000", code=1)["error"] == "not_done"
    assert ask("erase", PATIENT, code=2)["error"] == "usage"
    done = ask(*words, "--confirm", first["confirm"])
    assert done["erasure"] is not None
    assert rows(database_url, "SELECT count(*) FROM observation") == [(0,)]
    (listed,) = ask("erase", "--list")
    assert listed["reference"] == "IVO 1/26"
