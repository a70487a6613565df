"""The gateway's commands, its settings and its clock."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from devices import wire
from gateway.backoff import backoff_s
from gateway.ble.health import RadioHealth
from gateway.clock import SystemClock, boot_id, is_synchronised, moment_of, text_of
from gateway.command import app
from gateway.errors import SettingsInvalid, StorageUnusable
from gateway.link import LinkState
from gateway.main import _upkeep, run
from gateway.running import Notice, is_held, last_notice, only_one
from gateway.settings import Settings, from_environment
from gateway.storage import open_for_reading
from hemma.broker import Broker as Mosquitto
from tests.gateway.fix_home import make_home, until
from tests.gateway.fix_server import serving

runner = CliRunner()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEMMA_GATEWAY_DATA", str(tmp_path))
    monkeypatch.setenv("HEMMA_GATEWAY_NAME", "gw-1")
    return tmp_path


def test_outbox_and_status_read_beside_a_running_gateway(data: Path) -> None:
    home = make_home(data / "outbox.sqlite3")
    home.measure(150)
    answer = json.loads(runner.invoke(app, ["outbox", "--json"]).stdout)
    assert (answer["open"], answer["counts"]["waiting"]) == (1, 1)
    assert answer["rows"][0]["seq"] == 1
    assert "uid" not in answer["rows"][0]
    answer = json.loads(runner.invoke(app, ["status", "--json"]).stdout)
    assert (answer["gateway"], answer["outbox"], answer["paired"]) == ("gw-1", 1, [])
    home.outbox.close()


def status_of() -> dict[str, Any]:
    result = runner.invoke(app, ["status", "--json"])
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_status_where_nothing_has_run_or_nothing_runs_any_more(data: Path) -> None:
    home = make_home(data / "outbox.sqlite3")
    answer = status_of()
    assert (answer["running"], answer["link"], answer["radio"]) == (False, None, None)
    link = LinkState(is_up=True, since_mono_ms=home.clock.read().mono_ms)
    radio = RadioHealth()
    radio.started(0)
    notice = Notice(outbox=home.outbox, clock=home.clock.read, radio=radio, link=lambda: link)
    assert notice.look()
    # Killed since: what it wrote is not taken for now.
    answer = status_of()
    assert answer["running"] is False
    assert answer["link"] == {"up": False, "since": None, "reason": "The gateway does not run."}
    assert (answer["radio"]["state"], answer["clock"]) == ("absent", None)
    home.outbox.close()


def test_notice_writes_changes_only_and_counts_back_from_a_corrected_clock(data: Path) -> None:
    home = make_home(data / "outbox.sqlite3")
    home.clock.quality, home.clock.wrong = "none", -timedelta(days=365)
    links = [LinkState(is_up=True, since_mono_ms=home.clock.read().mono_ms)]
    radio = RadioHealth()
    notice = Notice(outbox=home.outbox, clock=home.clock.read, radio=radio, link=lambda: links[-1])
    with only_one(data):
        assert notice.look()
        assert not notice.look()
        home.clock.push(60)
        home.clock.quality, home.clock.wrong = "ntp", timedelta(0)
        assert notice.look()
        answer = status_of()
        now = home.clock.read()
        assert (answer["running"], answer["clock"]) == (True, "ntp")
        assert answer["link"]["up"] is True
        since = moment_of(answer["link"]["since"])
        assert abs(now.utc - timedelta(seconds=60) - since) < timedelta(seconds=2)
        assert answer["radio"] == {"state": "absent", "resets": 0}
        radio.started(0)
        links.append(LinkState(False, now.mono_ms, "No broker answers."))
        assert notice.look()
        answer = status_of()
        assert answer["link"]["reason"] == "No broker answers."
        assert answer["radio"]["state"] == "ok"
        assert answer["counts"]["waiting"] == 0
    home.outbox.close()


def test_notice_outlives_a_full_file(data: Path) -> None:
    home = make_home(data / "outbox.sqlite3")
    connection = home.outbox.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages}")
    links = [LinkState(False, 0, "x" * 100_000)]
    notice = Notice(
        outbox=home.outbox, clock=home.clock.read, radio=RadioHealth(), link=lambda: links[-1]
    )
    assert not notice.look()
    links.append(LinkState(False, 0, "x"))
    assert notice.look()
    home.outbox.close()


def test_file_of_an_older_version_is_told_to_who_looks(data: Path) -> None:
    home = make_home(data / "outbox.sqlite3")
    home.outbox.connection.execute("PRAGMA user_version=1")
    home.outbox.close()
    assert "older version" in status_of()["error"]


def test_pair_without_bluetooth_then_refused_address(data: Path) -> None:
    told = ["--without-bluetooth", "--profile", "a-and-d-blood-pressure", "--model", "UA-651BLE"]
    result = runner.invoke(app, ["pair", "c0:ff:ee:00:00:01", *told, "--json"])
    assert json.loads(result.stdout)["dev"] == "ble-c0ffee000001"
    result = runner.invoke(app, ["pair", "kitchen", *told, "--json"])
    assert result.exit_code == 1
    assert "remedy" in json.loads(result.stdout)


def test_enrolment_is_read_at_the_next_start_and_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEMMA_GATEWAY_DATA", str(tmp_path))
    monkeypatch.delenv("HEMMA_GATEWAY_NAME", raising=False)
    told = ["--name", "gw-9", "--broker", "broker.test:8883", "--password-file", "-"]
    result = runner.invoke(app, ["enrol", *told, "--json"], input="secret\n")
    assert result.exit_code == 0, result.output
    settings = from_environment({"HEMMA_GATEWAY_DATA": str(tmp_path)})
    assert (settings.name, settings.mqtt_host, settings.mqtt_port) == ("gw-9", "broker.test", 8883)
    assert settings.password_file is not None
    assert settings.password_file.read_text() == "secret\n"
    assert settings.password_file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("name", "broker", "key", "password", "reason"),
    [
        ("Kök", "broker.test:8883", "", "secret\n", "name is not"),
        ("gw-9", "broker.test", "", "secret\n", "not HOST:PORT"),
        ("gw-9", ":8883", "", "secret\n", "not HOST:PORT"),
        ("gw-9", "broker.test:mqtt", "", "secret\n", "not HOST:PORT"),
        ("gw-9", "broker.test:8883", "short", "secret\n", "HEMMA_CONFIG_KEY"),
        ("gw-9", "broker.test:8883", "", "\n", "password is empty"),
    ],
)
def test_wrong_enrolment_is_refused_and_nothing_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    broker: str,
    key: str,
    password: str,
    reason: str,
) -> None:
    monkeypatch.setenv("HEMMA_GATEWAY_DATA", str(tmp_path))
    told = ["--name", name, "--broker", broker, "--config-key", key, "--password-file", "-"]
    result = runner.invoke(app, ["enrol", *told, "--json"], input=password)
    assert result.exit_code == 1
    assert reason in json.loads(result.stdout)["error"]
    assert list(tmp_path.iterdir()) == []


def test_enrolment_that_cannot_be_kept_or_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("HEMMA_GATEWAY_DATA", str(file / "data"))
    told = ["--name", "gw-9", "--broker", "broker.test:8883", "--password-file", "-"]
    result = runner.invoke(app, ["enrol", *told, "--json"], input="secret\n")
    assert "could not be written" in json.loads(result.stdout)["error"]
    for content in ("{torn", "[]"):
        (tmp_path / "enrolment.json").write_text(content)
        with pytest.raises(SettingsInvalid, match="Enrol the gateway again"):
            from_environment({"HEMMA_GATEWAY_DATA": str(tmp_path)})


def test_answers_and_errors_read_as_text_too(data: Path) -> None:
    result = runner.invoke(app, ["status"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "There is no outbox" in result.stderr
    make_home(data / "outbox.sqlite3").outbox.close()
    result = runner.invoke(app, ["status"])
    assert "gateway: gw-1" in result.stdout.splitlines()


@pytest.mark.parametrize(("sent", "flag"), [(signal.SIGTERM, ["--json"]), (signal.SIGINT, [])])
def test_run_ends_cleanly_when_told_to_with_the_broker_away(
    data: Path, sent: signal.Signals, flag: list[str]
) -> None:
    environment = {**os.environ, "HEMMA_MQTT_PORT": "1"}
    command = [sys.executable, "-c", "from gateway.command import app; app()", "run", *flag]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            lines = iter(process.stderr)
            assert any("link_lost" in line for line in lines)
            process.send_signal(sent)
            assert process.wait(20) == 0
        finally:
            process.kill()
    assert not is_held(data)


async def test_password_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    settings = Settings("gw-1", tmp_path, password_file=tmp_path / "none")
    with pytest.raises(ExceptionGroup) as group:
        await run(settings, stop=asyncio.Event())
    assert group.group_contains(SettingsInvalid, match="password file")


async def test_upkeep_discards_by_a_clock_that_knows_the_time(tmp_path: Path) -> None:
    home = make_home(tmp_path / "outbox.sqlite3")
    for systolic in (150, 151):
        home.measure(systolic)
    now_ms = home.clock.read().mono_ms
    rows = home.outbox.fresh(now_ms=now_ms, limit=9)
    home.outbox.mark_sent(rows, msg="m", now_ms=now_ms, next_try_ms=[now_ms] * 2)
    home.outbox.mark_stored(home.outbox.boot, [(1, 1)], at=home.clock.read().utc)
    home.clock.push(8 * 86_400)
    qualities: tuple[wire.ClockQuality, ...] = ("none", "ntp")
    for quality, left in zip(qualities, (2, 1), strict=True):
        home.clock.quality = quality
        keeping = asyncio.create_task(_upkeep(home.outbox, home.clock.read))
        await asyncio.sleep(0)
        keeping.cancel()
        counts = home.outbox.counts()
        assert counts.stored + counts.open == left
    home.outbox.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"HEMMA_GATEWAY_NAME": ""},
        {"HEMMA_GATEWAY_NAME": "Åsa"},
        {"HEMMA_MQTT_PORT": "x"},
        {"HEMMA_MQTT_PORT": "0"},
        {"HEMMA_CONFIG_KEY": "not a key"},
        {"HEMMA_TIMEZONE": "Sweden/Kramfors"},
        {"HEMMA_GATEWAY_QUOTA_BYTES": "1"},
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, wrong: dict[str, str]) -> None:
    right = {"HEMMA_GATEWAY_DATA": str(tmp_path), "HEMMA_GATEWAY_NAME": "gw-1"}
    assert from_environment(right).name == "gw-1"
    with pytest.raises(SettingsInvalid):
        from_environment({**right, **wrong})


def test_clock_says_how_far_it_can_be_trusted() -> None:
    answers = [False, True, False]
    clock = SystemClock(lambda: answers.pop(0))
    readings = [clock.read() for _ in range(3)]
    assert [reading.quality for reading in readings] == ["none", "ntp", "estimated"]
    assert readings[0].mono_ms <= readings[1].mono_ms <= readings[2].mono_ms
    assert isinstance(is_synchronised(), bool)
    assert len(boot_id()) == 36
    text = text_of(readings[0].utc)
    assert text_of(moment_of(text)) == text


def test_waits_grow_to_their_bound_and_jitter_only_shortens() -> None:
    waits = [backoff_s(n, first_s=10, max_s=600, jitter=lambda: 0.0) for n in range(1, 9)]
    assert waits == [10, 20, 40, 80, 160, 320, 600, 600]
    assert backoff_s(1, first_s=10, max_s=600, jitter=lambda: 0.9) == 10
    assert backoff_s(2, first_s=10, max_s=600, jitter=lambda: 1.0) == 10


def is_linked(connection: sqlite3.Connection, data: Path) -> bool:
    running = last_notice(connection, data)
    return running is not None and running.link.up and running.link.since is not None


@pytest.mark.integration
async def test_whole_process_starts_takes_what_was_left_and_stops(
    broker: Mosquitto, gateway_password_file: Path, tmp_path: Path
) -> None:
    """Without a radio: what a former run left in the journal reaches the server."""
    settings = Settings(
        "gw-1", tmp_path, mqtt_port=broker.port or 0, password_file=gateway_password_file
    )
    home = make_home(settings.database)
    home.journal.append(dev="ble-c0ffee000001", model="m", characteristic="2A19", raw=b"\x50")
    home.outbox.close()
    stop, events = asyncio.Event(), []
    with serving(broker) as server:
        async with asyncio.TaskGroup() as group:
            group.create_task(
                run(settings, stop=stop, on_event=lambda name, _: events.append(name))
            )
            await until(lambda: "stored" in events)
            with closing(open_for_reading(settings.database)) as connection:
                await until(lambda: is_linked(connection, tmp_path))
            with pytest.raises(StorageUnusable, match="Another gateway"):
                await run(settings, stop=stop)
            stop.set()
        await until(lambda: server.status()[-1].reason == "shutdown")
    assert not is_held(tmp_path)
    assert [name for name in events if name != "journaled"] == ["queued", "puback", "stored"]
    assert wire.decode_envelope(server.of("backlog", "measurements")[0].payload).v == 1
