"""``hemma gateway user``: who the person is to a device that keeps its users apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from devices.conversation import Consent
from gateway.command import app
from gateway.device_notes import DeviceNotes
from gateway.paired import PairedDevice, pair
from tests.gateway.fix_home import Home, make_home

SCALE = PairedDevice("C0:FF:EE:00:00:9D", "BF720", "beurer-scale")
runner = CliRunner()


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A gateway that runs beside the command."""
    monkeypatch.setenv("HEMMA_GATEWAY_DATA", str(tmp_path))
    monkeypatch.setenv("HEMMA_GATEWAY_NAME", "gw-1")
    home = make_home(tmp_path / "outbox.sqlite3")
    pair(home.outbox.connection, SCALE)
    yield home
    home.outbox.close()


def consent(home: Home) -> Consent | None:
    notes = DeviceNotes(outbox=home.outbox, clock=home.clock.read, uplink_bell=home.bell)
    return notes.consent(SCALE.dev)


def test_the_running_gateway_knows_the_code_at_its_next_link(running: Home) -> None:
    result = runner.invoke(app, ["user", SCALE.address.lower(), "1", "--json"], input="0042\n")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"device": SCALE.address, "dev": SCALE.dev, "user": 1}
    assert consent(running) == Consent(1, 42)
    assert "0042" not in result.output
    result = runner.invoke(app, ["user", SCALE.address, "--forget"])
    assert result.exit_code == 0
    assert consent(running) is None


@pytest.mark.parametrize(
    ("arguments", "typed", "why"),
    [
        ([SCALE.address], "", "numbers from 0 to 254"),
        ([SCALE.address, "255"], "", "numbers from 0 to 254"),
        ([SCALE.address, "1"], "10000\n", "number from 0 to 9999"),
        ([SCALE.address, "1"], "ett\n", "number from 0 to 9999"),
        (["AA:BB:CC:DD:EE:FF", "1"], "", "AA:BB:CC:DD:EE:FF"),
    ],
)
def test_what_cannot_be_is_refused_with_its_remedy(
    running: Home, arguments: list[str], typed: str, why: str
) -> None:
    result = runner.invoke(app, ["user", *arguments], input=typed)
    assert result.exit_code == 1
    assert why in result.output
    assert consent(running) is None
