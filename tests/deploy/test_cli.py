"""The command: loads a part only when asked, and says exactly what to do when a part is missing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from hemma import cli
from hemma.errors import MissingPartError

HEMMA = Path(sys.executable).with_name("hemma")


def hemma(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HEMMA, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_help_names_every_part() -> None:
    said = hemma("--help")
    assert said.returncode == 0
    assert all(name in said.stdout for name in (*cli.PARTS, "demo", "doctor"))


def test_a_part_gets_its_own_arguments_and_exit_code() -> None:
    said = hemma("devices", "decode", "2A35", "00")
    assert said.returncode == 2
    assert json.loads(said.stdout)["error"] == "truncated"


@pytest.mark.parametrize("name", list(cli.PARTS))
def test_every_part_of_the_table_exists(name: str) -> None:
    assert isinstance(cli.load(name), typer.Typer)


def test_a_missing_package_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for loaded in [name for name in sys.modules if name.startswith("server.")]:
        monkeypatch.delitem(sys.modules, loaded)
    with pytest.raises(MissingPartError, match=r"psycopg.*\n.*hemma\[server\]"):
        cli.load("server")


def test_the_top_of_the_command_needs_no_part() -> None:
    code = "import sys, hemma.cli; print([n for n in ('psycopg', 'bleak') if n in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_doctor_as_json_tells_every_check_and_its_remedy() -> None:
    said = hemma("doctor", "--json")
    told = json.loads(said.stdout)
    assert told["ok"] == (said.returncode == 0)
    assert {"python", "mosquitto", "postgresql", "disk", "clock", "bluetooth adapter"} <= {
        check["name"] for check in told["checks"]
    }
    assert all(check["remedy"] for check in told["checks"] if check["state"] == "fail")


def test_doctor_fails_with_the_remedy_when_the_data_folder_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/proc/1")
    said = hemma("doctor", "--json")
    bad = [one for one in json.loads(said.stdout)["checks"] if one["name"] == "data folder"]
    assert said.returncode == 1
    assert "writable" in bad[0]["remedy"]
