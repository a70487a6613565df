"""``hemma rules evaluate``: files in, one decision a line out."""

from __future__ import annotations

import csv
import json
import os
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from alerts.command import app
from alerts.plan import NAMED
from alerts.rules import encode

HEAD = "patient,time,kind,code,value,unit\n"
ROWS = (
    "p1,2026-11-22T07:12:00Z,blood_pressure,150021,183,mm[Hg]\n"
    "p1,2026-11-22T07:12:00Z,blood_pressure,150022,82,mm[Hg]\n"
    "p2,2026-11-22T07:10:00Z,pulse_oximetry,150456,88,%\n"
)


def evaluate(*arguments: str, text: str = HEAD + ROWS) -> tuple[int, list[dict[str, object]], str]:
    told = CliRunner().invoke(app, ["evaluate", *arguments], input=text)
    said = [json.loads(line) for line in told.stdout.splitlines()] if not told.exit_code else []
    return told.exit_code, said, told.stderr


def test_a_line_for_each_decision_in_the_order_decided() -> None:
    code, said, _ = evaluate("--series", "-")
    assert code == 0
    assert [(one["patient"], one["rule"], one["severity"]) for one in said] == [
        ("p2", "spo2.target", "red"),
        ("p1", "bp.high", "yellow"),
    ]


def test_a_plan_by_name_holds_its_own_rules_only() -> None:
    _, said, _ = evaluate("--series", "-", "--plan", "hypertension")
    assert [one["rule"] for one in said] == ["bp.high"]


def test_until_is_as_of_when() -> None:
    _, said, _ = evaluate("--series", "-", "--until", "2026-11-22T07:11:00Z")
    assert [one["patient"] for one in said] == ["p2"]


def test_rules_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    low = next(rule for rule in NAMED["national"] if rule.rule == "spo2.target")
    file.write_bytes(b"[" + encode(low) + b"]")
    _, said, _ = evaluate("--series", "-", "--rules", str(file))
    assert [one["rule"] for one in said] == ["spo2.target"]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    file = tmp_path / "values.csv"
    file.write_text("\ufeff" + HEAD + ROWS.replace("\n", "\r\n"), encoding="utf-8")
    one = CliRunner().invoke(app, ["evaluate", "--series", str(file)])
    other = CliRunner().invoke(app, ["evaluate", "--series", "-"], input=HEAD + ROWS)
    assert one.stdout_bytes == other.stdout_bytes != b""


@pytest.mark.parametrize(
    ("arguments", "text", "said"),
    [
        (["--series", "nowhere.csv"], "", "nowhere.csv: No such file"),
        (["--series", "-"], "patient\n", "column time"),
        (["--series", "-"], HEAD + ROWS.replace("183", "high"), "line 2, column value"),
        (["--series", "-", "--plan", "best"], HEAD, "there are national, hypertension"),
        (["--series", "-", "--rules", "nowhere.json"], HEAD, "nowhere.json: No such file"),
        (["--series", "-", "--until", "soon"], HEAD, "write 2026-11-22T07:12:00Z"),
    ],
)
def test_what_cannot_be_read_is_refused(arguments: list[str], text: str, said: str) -> None:
    code, _, error = evaluate(*arguments, text=text)
    assert code == 2
    assert said in error


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rule: rule | {"direction": "up"}, "rule 2 (temp.high): Invalid enum value 'up'"),
        (lambda rule: rule | {"bounds": []}, "rule 2 (temp.high): temp.high reads no component"),
        (lambda rule: rule | {"rule": "temp.low"}, "stands there twice: temp.low"),
        (lambda rule: "temp.high", "rule 2: Expected `object`"),
    ],
)
def test_a_rule_that_is_wrong_is_named(tmp_path: Path, change, said: str) -> None:  # type: ignore[no-untyped-def]
    found = {rule.rule: msgspec.json.decode(encode(rule)) for rule in NAMED["national"]}
    file = tmp_path / "rules.json"
    file.write_bytes(msgspec.json.encode([found["temp.low"], change(found["temp.high"])]))
    code, _, error = evaluate("--series", "-", "--rules", str(file))
    assert code == 2
    assert said in error


def test_no_rows_no_decisions() -> None:
    assert evaluate("--series", "-", text=HEAD) == (0, [], "")


TIHM = os.environ.get("HEMMA_TIHM_DIR", "")
_CODES = {
    "Systolic blood pressure": "150021",
    "Diastolic blood pressure": "150022",
    "Heart rate": "149546",
}


@pytest.mark.skipif(
    not TIHM,
    reason="HEMMA_TIHM_DIR names no folder: that the plan suits real home data is not shown",
)
def test_the_hypertension_plan_alerts_seldom_and_sees_the_days_that_a_team_saw() -> None:
    """At most 0.5 alerts a patient-week, and 75 % of the days labelled (Palermo et al. 2023)."""
    with Path(TIHM, "physiology.csv").open() as file:
        rows = [one for one in csv.DictReader(file) if one["device_type"] in _CODES]
    text = HEAD + "".join(
        f"{one['patient_id']},{one['date']},blood_pressure,{_CODES[one['device_type']]},"
        f"{one['value']},{one['unit']}\n"
        for one in rows
    )
    _, said, _ = evaluate("--series", "-", "--plan", "hypertension", text=text)
    times: dict[str, list[datetime]] = defaultdict(list)
    for one in rows:
        times[one["patient_id"]].append(datetime.fromisoformat(one["date"]))
    weeks = sum((max(t) - min(t)).total_seconds() for t in times.values()) / (7 * 86400)
    fired = [one for one in said if one["decision"] == "fire"]
    seen = {
        (one["patient"], str(one["decided_at"])[:10])
        for one in said
        if one["decision"] in ("fire", "extend")
    }
    with Path(TIHM, "labels.csv").open() as file:
        labelled = {
            (one["patient_id"], one["date"][:10])
            for one in csv.DictReader(file)
            if one["type"] == "Blood pressure" and one["patient_id"] in times
        }
    assert len(labelled) > 100
    assert len(fired) / weeks <= 0.5
    assert len(seen & labelled) / len(labelled) >= 0.75
