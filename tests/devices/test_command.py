"""``hemma devices``: the JSON of contract.md 3, exit codes, one answer a line."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from devices import gatt
from devices.command import app, describe
from devices.kinds import KINDS

RUN = CliRunner()
CUFF = "1E 8000 5200 6300 EA07 0B 16 07 0C 00 4800 01 0400"  # by hand, as in test_gatt


def test_decode_prints_the_contracts_object() -> None:
    result = RUN.invoke(app, ["decode", "2a35", CUFF])
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    first = {
        "code": "150021",
        "name": "systolic",
        "value": 128.0,
        "unit": "mm[Hg]",
        "absent": None,
    }
    assert answer.pop("samples")[0] == first
    assert answer == {
        "characteristic": "2A35",
        "kind": "blood_pressure",
        "flags": ["irregular_pulse"],
        "ctx": {"user_index": 1},
        "dev_t": "2026-11-22T07:12:00",
        "seq": None,
    }


def test_what_was_converted_is_shown_as_sent() -> None:
    samples = describe("2A1C", "01D20300FF")["samples"]
    assert samples == [
        {
            "code": "150364",
            "name": "temperature",
            "value": 36.56,
            "unit": "Cel",
            "absent": None,
            "as_sent": {"value": 97.8, "unit": "[degF]"},
        }
    ]


def test_absence_has_its_reason() -> None:
    text = json.dumps(describe("2A1C", "00FFFF7F00"))
    assert json.loads(text)["samples"][0]["absent"] == "nan"


def test_what_is_no_measurement_has_fields() -> None:
    assert describe("2A08", "EA070B16070C00") == {
        "characteristic": "2A08",
        "kind": None,
        "fields": {"time": "2026-11-22T07:12:00"},
    }


def test_several_records_in_one_value(monkeypatch: pytest.MonkeyPatch) -> None:
    # No characteristic of today holds two; the shape of the answer is settled in the contract.
    single = gatt.decode("2A19", b"\x64")
    assert isinstance(single, gatt.Reading)
    double = gatt.Reading(single.measurements * 2)
    monkeypatch.setattr(gatt, "decode", lambda _uuid, _raw: double)
    answer = describe("2A19", "64")
    assert answer["kind"] == "battery"
    records = answer["records"]
    assert isinstance(records, list)
    assert len(records) == 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["2A35", "1E80"], "truncated"),
        (["2A35", ""], "truncated"),
        (["2A35"], "truncated"),
        (["2A35", "1E8"], "bad_hex"),
        (["2A35", "zz"], "bad_hex"),
        (["2AFF", "00"], "unknown_characteristic"),
        (["nothing", "00"], "bad_uuid"),
    ],
)
def test_an_error_exits_2_and_says_why_on_standard_output(
    arguments: list[str], reason: str
) -> None:
    result = RUN.invoke(app, ["decode", *arguments, "--json"])
    assert result.exit_code == 2
    answer = json.loads(result.stdout)
    assert answer["error"] == reason
    assert set(answer) == {"error", "detail"}


def test_lines_are_answered_one_by_one() -> None:
    lines = [
        b"2A19 64",
        b"",
        b"   ",
        b"00002a19-0000-1000-8000-00805F9B34FB\t3 2",
        b"2A19",
        b"2A19 65",
        b"\xff\xfe 64",
        b"2A19 32\r",
    ]
    result = RUN.invoke(app, ["decode", "-"], input=b"\n".join(lines))
    assert result.exit_code == 0
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer.get("error") for answer in answers] == [
        None,
        None,
        "truncated",
        "reserved_value",
        "bad_uuid",
        None,
    ]
    assert answers[1]["samples"][0]["value"] == 50.0


def test_no_lines_no_answers() -> None:
    result = RUN.invoke(app, ["decode", "-"], input=b"")
    assert (result.exit_code, result.stdout) == (0, "")


def test_kinds_as_json() -> None:
    result = RUN.invoke(app, ["kinds", "--json"])
    kinds = json.loads(result.stdout)["kinds"]
    assert [kind["name"] for kind in kinds] == list(KINDS)
    assert kinds[0]["components"][0]["code"] == "150021"


def test_kinds_as_a_table() -> None:
    result = RUN.invoke(app, ["kinds"])
    assert result.exit_code == 0
    assert "150021" in result.stdout


def test_a_reader_that_leaves_is_no_error() -> None:
    script = "from devices.command import app; app(['decode', '-'])"
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, complaint = process.communicate(b"2A19 64\n" * 20_000)
    assert (process.returncode, complaint) == (0, b"")


def test_a_reader_that_leaves_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stdout:  # noqa: PTH123 - a descriptor has no path
        monkeypatch.setattr("sys.stdout", stdout)
        app(["decode", "2A19", "64"], standalone_mode=False)
        monkeypatch.undo()
