"""``hemma rules news2``: the JSON of contract.md 3, exit codes, one answer a line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from alerts.command import app, score_case

RUN = CliRunner()
FULL = {
    "respiratory_rate": 22,
    "spo2": 93,
    "scale": 1,
    "on_oxygen": True,
    "systolic": 105,
    "pulse": 95,
    "consciousness": "A",
    "temperature": 36.05,
}


def test_a_complete_case_has_the_contracts_object() -> None:
    result = RUN.invoke(app, ["news2", json.dumps(FULL)])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "complete": True,
        "score": 8,
        "low": 8,
        "high": 8,
        "single_three": False,
        "components": {
            "respiratory_rate": 2,
            "spo2": 2,
            "on_oxygen": 2,
            "systolic": 1,
            "pulse": 1,
            "consciousness": 0,
            "temperature": 0,
        },
        "risk": "high",
    }


def test_null_and_absent_are_missing_alike() -> None:
    partial = {**FULL, "respiratory_rate": None, "consciousness": None}
    absent = {name: value for name, value in partial.items() if value is not None}
    answer = score_case(json.dumps(partial))
    assert answer == score_case(json.dumps(absent))
    assert (answer["complete"], answer["score"], answer["risk"]) == (False, None, "medium")
    assert (answer["low"], answer["high"]) == (6, 12)


def test_scale_1_unless_scale_2_is_asked_for() -> None:
    case = {name: value for name, value in FULL.items() if name != "scale"}
    assert score_case(json.dumps(case)) == score_case(json.dumps(FULL))
    assert score_case(json.dumps({**FULL, "scale": 2}))["score"] == 7


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("", "bad_json"),
        ("{", "bad_json"),
        ('{"spo2": NaN}', "bad_json"),
        ("\udcff", "bad_json"),
        ("[]", "bad_case"),
        ("97", "bad_case"),
        ('{"spo2": "97"}', "bad_case"),
        ('{"spo2": true}', "bad_case"),
        ('{"spo2": 1e999}', "bad_case"),
        ('{"SpO2": 97}', "bad_case"),
        ('{"scale": 3}', "bad_case"),
        ('{"scale": null}', "bad_case"),
        ('{"on_oxygen": 1}', "bad_case"),
        ('{"consciousness": "a"}', "bad_case"),
        ('{"spo2": 101}', "out_of_range"),
        ('{"spo2": 0.97}', "out_of_range"),
        ('{"temperature": 98.6}', "out_of_range"),
        ('{"systolic": 16}', "out_of_range"),
        ('{"pulse": -1}', "out_of_range"),
    ],
)
def test_an_error_has_its_reason_and_exits_2(case: str, error: str) -> None:
    result = RUN.invoke(app, ["news2", "--", case])
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["error"], set(answer)) == (2, error, {"error", "detail"})
    assert answer["detail"]


def test_lines_are_answered_one_by_one() -> None:
    lines = [json.dumps(FULL).encode(), b"", b"  ", b"\xff", b'{"spo2": 101}', b"{}"]
    result = RUN.invoke(app, ["news2", "-"], input=b"\n".join(lines))
    assert result.exit_code == 0
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer.get("error") for answer in answers] == [None, "bad_json", "out_of_range", None]
    assert (answers[0]["score"], answers[3]["high"]) == (8, 20)


def test_json_is_what_it_prints_anyway() -> None:
    plain = RUN.invoke(app, ["news2", json.dumps(FULL)]).stdout
    assert RUN.invoke(app, ["news2", "--json", json.dumps(FULL)]).stdout == plain


@given(st.text())
def test_any_text_is_answered(case: str) -> None:
    assert json.dumps(score_case(case))


def test_it_needs_nothing_of_the_server() -> None:
    unwanted = "('numpy', 'psycopg', 'fastapi', 'paho', 'bleak', 'server', 'gateway')"
    code = f"""
import sys
for name in {unwanted}:
    sys.modules[name] = None
from hemma.cli import app
app(["rules", "news2", '{{"systolic": 90}}'])
"""
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (said.returncode, said.stderr) == (0, "")
    assert json.loads(said.stdout)["single_three"] is True
