"""``hemma devices``: the JSON of contract.md 3, exit codes, one answer a line."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
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


def test_several_records_in_one_value() -> None:
    # Nordic Android-BLE-Library, ContinuousGlucoseMeasurementDataCallbackTest "double".
    answer = describe("2AA7", "06 00 0C10 0500 06 00 0C10 0600")
    assert answer == {
        "characteristic": "2AA7",
        "kind": "cgm",
        "records": [
            {
                "kind": "cgm",
                "samples": [
                    {
                        "code": "160212",
                        "name": "glucose",
                        "value": 6.661,
                        "unit": "mmol/L",
                        "absent": None,
                        "as_sent": {"value": 120.0, "unit": "mg/dL"},
                    }
                ],
                "flags": [],
                "ctx": {"time_offset_min": minutes},
                "dev_t": None,
                "seq": None,
            }
            for minutes in (5, 6)
        ],
    }


def test_records_of_several_kinds() -> None:
    # By hand: 25.3 % fat and 79.6 kg.
    answer = describe("2A9C", "0004 FD00 303E")
    assert answer["kind"] == "body_composition"
    records = answer["records"]
    assert isinstance(records, list)
    assert [record["kind"] for record in records] == ["body_composition", "body_weight"]


def test_glucose_has_a_number_and_the_users_time() -> None:
    # By hand: no. 8, base time 07:12 and 60 minutes, 5.5 mmol/L as 55e-4 mol/L.
    answer = describe("2A18", "07 0800 EA07 0B 16 07 0C 00 3C00 37C0 11")
    assert (answer["seq"], answer["dev_t"]) == (8, "2026-11-22T08:12:00")
    assert answer["samples"] == [
        {
            "code": "160184",
            "name": "glucose",
            "value": 5.5,
            "unit": "mmol/L",
            "absent": None,
            "as_sent": {"value": 0.0055, "unit": "mol/L"},
        }
    ]


def test_a_measurement_in_passing_is_none() -> None:
    answer = describe("2A36", "00 D7F0 0000 0000")  # Nordic, IntermediateCuffPressure "minimal"
    assert answer["kind"] is None
    assert "samples" not in answer
    assert isinstance(answer["fields"], dict)
    assert answer["fields"]["cuff_pressure"]["value"] == 21.5


@given(st.sampled_from(sorted(gatt.CHARACTERISTICS)), st.binary(max_size=60))
def test_every_answer_is_one_line_of_json(uuid: str, raw: bytes) -> None:
    answer = describe(uuid, raw.hex())
    line = json.dumps(answer, allow_nan=False)
    assert "\n" not in line
    assert set(answer) in (
        {"error", "detail"},
        {"characteristic", "kind", "fields"},
        {"characteristic", "kind", "records"},
        {"characteristic", "kind", "samples", "flags", "ctx", "dev_t", "seq"},
    )


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


def test_cases_may_be_objects() -> None:
    lines = (
        b'{"uuid": "2A19", "hex": "32"}',
        b'{"uuid": "2A19"}',
        b'{"uuid": 1, "hex": "32"}',
        b'{"uuid": "2A19", "hex": 32}',
        b"{",
        b'{"uuid":' * 100_000,
        b'{"uuid": "2A19", "hex": "32"}',
    )
    result = RUN.invoke(app, ["decode", "-"], input=b"\n".join(lines))
    assert result.exit_code == 0
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one.get("error") for one in answers] == [None, *["bad_case"] * 5, None]


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
