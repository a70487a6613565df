"""Training: devices and faults by name, commands as lines, a host at a socket."""

import asyncio
import json
import os
import socket
from datetime import timedelta
from pathlib import Path

import pytest
from bumble.transport import open_transport

from devices.virtual import __main__ as training
from devices.virtual.designs import DESIGNS
from devices.virtual.faults import Faults
from devices.virtual.place import Place


def events(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_everything_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert training.main(["list"]) == 0
    told = events(capsys.readouterr().out)
    assert {one["name"] for one in told if one["event"] == "design"} == set(DESIGNS)
    assert {one["name"] for one in told if one["event"] == "fault"} == set(Faults.__slots__)
    assert any(one["name"] == "DEMO-05" for one in told if one["event"] == "person")


def test_a_device_is_asked_for_with_its_faults() -> None:
    assert training.asked_for("cuff") == ("cuff", Faults())
    assert training.asked_for("scale:nan_values,battery_percent=9,clock_error=-3600") == (
        "scale",
        Faults(nan_values=True, battery_percent=9, clock_error=timedelta(hours=-1)),
    )
    for word in ("toaster", "cuff:is_late"):
        with pytest.raises(training.BadCommand):
            training.asked_for(word)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--device", "toaster"],
        ["--device", "cuff", "--person", "nobody"],
        ["--device", "cuff", "--transport", "unix:/nowhere/hci"],
    ],
)
async def test_what_cannot_be_is_said(arguments: list[str]) -> None:
    options = training.parser().parse_args(["run", "--transport", "unix:/nowhere", *arguments])
    with pytest.raises((training.BadCommand, OSError)):
        await training.run(options, asyncio.StreamReader())


async def test_the_digits_on_a_display_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    async with Place() as place:
        meter = await place.add("glucose_meter")
        telling = asyncio.create_task(training.show_passkeys(place))
        for shown in (7, None):
            meter.bonds.shown_passkey = shown
            await asyncio.sleep(0.15)
        telling.cancel()
        await asyncio.wait({telling})
    told = events(capsys.readouterr().out)
    assert told == [{"event": "shows", "dev": meter.dev, "passkey": "000007"}]


def test_standard_input_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "hci"
    reading, writing = os.pipe()
    os.close(writing)
    with socket.socket(socket.AF_UNIX) as server, os.fdopen(reading) as ended:
        server.bind(str(path))
        server.listen()
        monkeypatch.setattr("sys.stdin", ended)
        arguments = ["run", f"--transport=unix:{path}", "--device=scale"]
        assert training.main(arguments) == 0
    assert [one["event"] for one in events(capsys.readouterr().out)] == ["device", "ready"]


def test_a_bad_option_ends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading) as ended:
        monkeypatch.setattr("sys.stdin", ended)
        assert training.main(["run", "--transport=unix:/nowhere", "--device=toaster"]) == 2
    assert "toaster" in capsys.readouterr().err


async def test_a_run_obeys_its_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "hci"
    transport = await open_transport(f"unix-server:{path}")
    devices = ["cuff:window_s=0.02", "glucose_meter:window_s=0.02", "cuff:window_s=0.02"]
    options = training.parser().parse_args(
        ["run", f"--transport=unix:{path}", *(f"--device={one}" for one in devices)]
    )
    lines = asyncio.StreamReader()
    for command in (
        {"do": "measure", "id": 7, "device": "cuff", "values": {"systolic": 128, "diastolic": 81}},
        {"do": "measure", "id": 8, "device": "glucose_meter"},
        {"do": "store", "device": "cuff-2", "values": {"systolic": 128, "diastolic": 81}},
        {"do": "wake", "device": "cuff-2"},
        {"do": "faults", "device": "cuff", "faults": {"nan_values": True}},
        {"do": "pairing_mode", "device": "cuff", "on": True},
        {"do": "forget_bond", "device": "cuff"},
        {"do": "dance", "device": "cuff"},
        {"do": "wake", "device": "toaster"},
        ["nothing"],
    ):
        lines.feed_data(json.dumps(command).encode() + b"\n")
    lines.feed_data(b"{\n")
    lines.feed_eof()
    async with asyncio.timeout(5):
        await training.run(options, lines)
    transport.server.close()  # type: ignore[attr-defined]
    told = events(capsys.readouterr().out)
    assert [one["name"] for one in told if one["event"] == "device"] == [
        "cuff",
        "glucose_meter",
        "cuff-2",
    ]
    assert {one["id"]: one["delivered"] for one in told if one["event"] == "measured"} == {
        7: False,
        8: False,
    }
    assert [one["links"] for one in told if one["event"] == "slept"] == [0]
    assert len([one for one in told if one["event"] == "refused"]) == 4
