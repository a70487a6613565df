"""``hemma devices trace`` from outside."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from devices.command import app
from devices.trace import recording
from tests.devices.trace.fix_traces import BTMON, CUFF

RUNNER = CliRunner()


def test_it_tells_and_makes_a_device(tmp_path: Path) -> None:
    out = tmp_path / "cuff.json"
    result = RUNNER.invoke(app, ["trace", str(BTMON), "--device", str(out), "--address", CUFF])
    assert result.exit_code == 0
    assert "systolic 128 mm[Hg]" in result.stdout
    assert f"Written: {out}, 2 sessions of A&D_UA-651BLE_V1." in result.stdout
    assert not recording.decode(out.read_text()).values_kept


def test_json_is_one_object(tmp_path: Path) -> None:
    out = tmp_path / "cuff.json"
    asked = ["trace", str(BTMON), "--json", "--device", str(out), "--address", CUFF]
    result = RUNNER.invoke(app, [*asked, "--keep-values"])
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert [device["name"] for device in told["devices"]] == [
        "A&D_UA-651BLE_V1",
        "Virtual thermometer",
    ]
    sent = [h for h in told["devices"][0]["links"][1]["happenings"] if h["did"] == "sent"]
    assert (sent[0]["uuid"], sent[0]["by"], sent[0]["confirmed"]) == ("2A35", "device", True)
    assert recording.decode(out.read_text()).values_kept


def test_failures_have_a_reason_and_an_exit_code(tmp_path: Path) -> None:
    missing = RUNNER.invoke(app, ["trace", str(tmp_path / "none"), "--json"])
    assert missing.exit_code == 2
    assert json.loads(missing.stdout)["error"] == "unreadable"
    several = RUNNER.invoke(app, ["trace", str(BTMON), "--device", str(tmp_path / "x"), "--json"])
    assert several.exit_code == 2
    assert json.loads(several.stdout)["error"] == "many_devices"
    assert not (tmp_path / "x").exists()
    other = RUNNER.invoke(app, ["trace", __file__])
    assert other.exit_code == 2
    assert "does not begin with the word btsnoop" in other.output
