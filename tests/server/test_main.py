"""The command and the supervisor, as an operator meets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from hemma.broker import Broker
from server.command import app, bind_app, unit_app, user_app
from server.main import RESTART_MAX_S, STEADY_S, Pause
from server.settings import Settings, SettingsError, read_settings
from server.store.migrate import _LOCK
from tests.server.homes import rows, settle

DEADLINE_S = 40.0
runner = CliRunner()


def test_settings_name_what_is_wrong() -> None:
    with pytest.raises(SettingsError, match="HEMMA_DATABASE_URL"):
        read_settings({})
    with pytest.raises(SettingsError, match="HEMMA_WEB_PORT"):
        read_settings({"HEMMA_DATABASE_URL": "x", "HEMMA_WEB_PORT": "http"})
    settings = read_settings({"HEMMA_DATABASE_URL": "x", "HEMMA_WEB_PORT": "8123"})
    assert settings.base_url == "http://127.0.0.1:8123"


def test_a_missing_password_file_is_said(tmp_path: Path) -> None:
    settings = Settings("x", mqtt_password_file=tmp_path / "gone")
    with pytest.raises(SettingsError, match="HEMMA_MQTT_PASSWORD_FILE"):
        settings.mqtt_password()


def test_restarts_slow_down_and_recover() -> None:
    pause = Pause()
    waits = [pause.next(0.1) for _ in range(12)]
    assert waits[0] < 1 < waits[4]
    assert max(waits) <= RESTART_MAX_S * 1.2
    assert pause.next(STEADY_S) < 1


def test_a_database_that_is_away_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEMMA_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    for command in (["migrate"], ["stats", "--json"], ["quarantine", "--json"]):
        result = runner.invoke(app, command)
        assert result.exit_code == 1, command
        if "--json" in command:
            told = json.loads(result.stdout)
            assert told["error"] == "database_unavailable"
            assert "the database does not answer" in told["detail"]
        else:
            assert "the database does not answer" in result.stderr
            assert result.stdout == ""
    wrong = runner.invoke(app, ["quarantine", "--limit", "0", "--json"])
    assert (wrong.exit_code, json.loads(wrong.stdout)["error"]) == (2, "usage")


@pytest.mark.integration
def test_the_registers(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(database_url)
    monkeypatch.setenv("HEMMA_DATABASE_URL", database_url)

    def ask(which: object, *words: str, typed: str = "") -> object:
        result = runner.invoke(which, [*words, "--json"], input=typed)  # type: ignore[arg-type]
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    ask(unit_app, "add", "Provkommunen", "Nattpatrullen", "--watch", "Dygnet runt")
    ask(unit_app, "gateway", "Nattpatrullen", "hem-07")
    bound = ask(
        bind_app, "add", "ble-bbbbbbbbbbbb", "urn:hemma:demo|DEMO-02",
        "--since", "2026-11-01", "--gateway", "hem-07",
    )  # fmt: skip
    assert isinstance(bound, dict)
    assert bound["placed"] == 0
    assert ask(bind_app, "end", "ble-bbbbbbbbbbbb", "--at", "2026-11-02") == {
        "ended": 1,
        "values": 0,
    }
    listed = ask(bind_app, "list")
    assert isinstance(listed, list)
    assert len(listed) == 2
    user = ("add", "nina", "--name", "Nina", "--unit", "Nattpatrullen", "--role", "nurse")
    ask(user_app, *user, typed="ett långt lösenord\n")
    taken = runner.invoke(user_app, user, input="ett långt lösenord\n")
    assert (taken.exit_code, "is taken" in taken.stderr) == (1, True)
    short = runner.invoke(user_app, user, input="kort\n")
    assert (short.exit_code, "12 characters" in short.stderr) == (1, True)
    wrong = runner.invoke(bind_app, ["add", "ble-bbbbbbbbbbbb", "urn:hemma:demo|DEMO-99"])
    assert (wrong.exit_code, "no patient" in wrong.stderr) == (1, True)
    overlap = ["add", "ble-bbbbbbbbbbbb", "urn:hemma:demo|DEMO-01", "--since", "2026-11-01"]
    assert runner.invoke(bind_app, overlap).exit_code == 1
    nonsense = [
        (bind_app, ["add", "banana", "urn:hemma:demo|DEMO-01"]),
        (bind_app, [*overlap[:3], "--since", "2026-11-02", "--until", "2026-11-01"]),
        (unit_app, ["gateway", "Nattpatrullen", "GW 1"]),
        (app, ["resend", "GW 1"]),
        (app, ["completely"]),
    ]
    for which, words in nonsense:
        result = runner.invoke(which, words)
        assert (result.exit_code, result.stdout) == (2, ""), words
    ended_twice = runner.invoke(bind_app, ["end", "ble-bbbbbbbbbbbb", "--json"])
    assert (ended_twice.exit_code, json.loads(ended_twice.stdout)["error"]) == (1, "not_done")
    counts = ask(app, "stats")
    assert isinstance(counts, dict)
    assert counts["rows"]["gateway"] == 2
    assert ask(app, "quarantine") == []


@pytest.mark.integration
def test_all_roles_start_come_back_and_stop(
    empty_database_url: str, broker: Broker, server_password_file: Path, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "HEMMA_DATABASE_URL": empty_database_url,
        "HEMMA_MQTT_PORT": str(broker.port),
        "HEMMA_MQTT_PASSWORD_FILE": str(server_password_file),
        "HEMMA_WEB_PORT": "0",
    }
    out = tmp_path / "log"
    command = "from server.command import app; app()"
    with out.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", command, "run"], env=environment, stdout=log, stderr=log
        )

    def started() -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for line in out.read_text().splitlines():
            if '"role_started"' in line:
                event = json.loads(line)
                found.setdefault(event["name"], []).append(event["pid"])
        return found

    try:
        wait(lambda: set(started()) == {"ingest", "engine", "notify", "web"}, out)
        wait(lambda: "hemma-ingest" in out.read_text(), out)
        os.kill(started()["ingest"][0], signal.SIGKILL)
        wait(lambda: len(started()["ingest"]) == 2, out)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0, out.read_text()
    finally:
        process.kill()
        process.wait()
    for pid in (pid for pids in started().values() for pid in pids):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.integration
def test_it_stops_within_ten_seconds_also_while_a_migration_waits(database_url: str) -> None:
    environment = {**os.environ, "HEMMA_DATABASE_URL": database_url}
    command = "from server.command import app; app()"
    held = "SELECT FROM pg_stat_activity WHERE application_name = 'hemma-migrate-lock'"
    with psycopg.connect(database_url) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        process = subprocess.Popen([sys.executable, "-c", command, "run"], env=environment)
        try:
            deadline_s = time.monotonic() + DEADLINE_S
            while not rows(database_url, held):
                assert time.monotonic() < deadline_s
                time.sleep(0.1)
            asked_s = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.wait(DEADLINE_S)
            assert time.monotonic() - asked_s < 10
        finally:
            process.kill()
            process.wait()


def wait(is_so: Callable[[], bool], log: Path) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline_s, log.read_text()
        time.sleep(0.05)
