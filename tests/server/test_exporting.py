"""Exports: what is in the file, who may read it, what the access log says, and what is left out."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from typer.testing import CliRunner, Result

from server.command import app
from server.export_files import Format, writer
from server.store import exports
from server.store.database import Database
from server.store.exports import Row, Selection
from tests.server.homes import NOON, rows, settle
from tests.server.store.fix_reads import Shelf

pytestmark = pytest.mark.integration

PERSON = "urn:hemma:demo|DEMO-01"
NEIGHBOUR = "urn:hemma:demo|DEMO-02"
DAYS = ("--from", "2026-11-20", "--to", "2026-11-22")


@pytest.fixture
async def shelf(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.setenv("HEMMA_DATABASE_URL", database_url)
    home = settle(database_url)
    async with Database.connect(database_url, name="test") as database:
        shelf = Shelf(database, home)
        for days, systolic, flags in ((0, 128.0, ()), (1, "pos_inf", ()), (2, 120.0, ("testing",))):
            await shelf.put(NOON - timedelta(days=days), systolic, flags=flags)
        await shelf.put(NOON - timedelta(days=3), 119.0)
        return shelf


def export(*given: str) -> Result:
    return CliRunner().invoke(app, ["export", *given])


def _read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def _log(url: str) -> list[tuple[Any, ...]]:
    return rows(
        url, "SELECT login, role, action, target, patient_id, unit_id FROM access_log ORDER BY id"
    )


def test_a_unit_as_csv(shelf: Shelf, database_url: str, tmp_path: Path) -> None:
    out = tmp_path / "nord.csv"
    done = export("--unit", "Hemsjukvården", *DAYS, "--out", str(out), "--by", "dag", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"file": str(out), "people": 2, "rows": 9}
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [out]
    found = [row for row in _read(out) if row["component"] == "systolic"]
    assert [(row["value"], row["absent"], row["counts"], row["flags"]) for row in found] == [
        ("120.0", "", "0", "testing"), ("", "pos_inf", "1", ""), ("128.0", "", "1", ""),
    ]  # fmt: skip
    [(public_id,)] = rows(
        database_url, "SELECT public_id::text FROM patient WHERE identifier_value = 'DEMO-01'"
    )
    assert found[2] == {
        "person": public_id,
        "measured_at": "2026-11-22T12:00:00.000+00:00",
        "measured_how": "device",
        "stored_at": "2026-11-22T12:00:01.000+00:00",
        "kind": "blood_pressure",
        "component": "systolic",
        "code": "150021",
        "value": "128.0",
        "unit": "mm[Hg]",
        "absent": "",
        "counts": "1",
        "flags": "",
    }
    assert "DEMO-01" not in out.read_text(encoding="utf-8")


def test_who_took_what_is_in_the_access_log(
    shelf: Shelf, database_url: str, tmp_path: Path
) -> None:
    unit = ("--unit", "Hemsjukvården", "--kind", "blood_pressure", "--kind", "glucose")
    export(*unit, *DAYS, "--out", str(tmp_path / "a.csv"), "--by", "dag")
    home, said = shelf.home, "export blood_pressure,glucose 2026-11-20 to 2026-11-22"
    assert _log(database_url) == [
        ("dag", "operator", "list", said, None, home.unit),
        ("dag", "operator", "read", said, home.patient, home.unit),
        ("dag", "operator", "read", said, home.neighbour, home.unit),
    ]


def test_without_a_name_it_is_who_is_logged_in(
    shelf: Shelf, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "eva")
    export("--patient", PERSON, *DAYS, "--out", str(tmp_path / "a.csv"))
    assert [line[0] for line in _log(database_url)] == ["eva"]


def test_protected_people_only_when_named(shelf: Shelf, database_url: str, tmp_path: Path) -> None:
    rows(database_url, "UPDATE patient SET protected = true", fetch=False)
    one, all_ = tmp_path / "one.csv", tmp_path / "all.csv"
    assert export("--unit", "Hemsjukvården", *DAYS, "--out", str(all_)).exit_code == 0
    assert export("--patient", PERSON, *DAYS, "--out", str(one)).exit_code == 0
    assert (len(_read(all_)), len(_read(one))) == (0, 9)
    assert [line[2] for line in _log(database_url)] == ["list", "read_protected"]


def test_kinds_and_days_select(shelf: Shelf, tmp_path: Path) -> None:
    glucose, day = tmp_path / "glucose.csv", tmp_path / "day.csv"
    export("--patient", PERSON, *DAYS, "--kind", "glucose", "--out", str(glucose))
    export("--patient", PERSON, "--from", "2026-11-21", "--to", "2026-11-21", "--out", str(day))
    assert (len(_read(glucose)), len(_read(day))) == (0, 3)


def test_parquet_holds_the_same(shelf: Shelf, tmp_path: Path) -> None:
    as_csv, as_parquet = tmp_path / "a.csv", tmp_path / "a.parquet"
    export("--patient", PERSON, *DAYS, "--out", str(as_csv))
    done = export("--patient", PERSON, *DAYS, "--format", "parquet", "--out", str(as_parquet))
    assert done.exit_code == 0, done.output
    table = parquet.read_table(as_parquet)
    assert table.column_names == list(Row._fields)
    assert {str(table.schema.field(name).type) for name in ("measured_at", "stored_at")} == {
        "timestamp[us, tz=UTC]"
    }
    told = [
        {
            name: "" if value is None
            else value.isoformat(timespec="milliseconds") if name.endswith("_at")
            else str(int(value)) if isinstance(value, bool)
            else str(value)
            for name, value in row.items()
        }
        for row in table.to_pylist()
    ]  # fmt: skip
    assert told == _read(as_csv)


@pytest.mark.parametrize("form", list(Format))
def test_nothing_is_a_file_with_columns(shelf: Shelf, tmp_path: Path, form: Format) -> None:
    out = tmp_path / "none"
    done = export("--patient", NEIGHBOUR, *DAYS, "--format", form, "--out", str(out))
    assert done.exit_code == 0, done.output
    if form is Format.PARQUET:
        assert parquet.read_table(out).column_names == list(Row._fields)
    else:
        assert out.read_text(encoding="utf-8") == ",".join(Row._fields) + "\n"


def test_to_a_pipe(shelf: Shelf) -> None:
    done = export("--patient", PERSON, *DAYS, "--out", "-")
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == 10


def test_without_pyarrow_the_remedy_is_named(
    shelf: Shelf, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    out = tmp_path / "a.parquet"
    done = export("--patient", PERSON, *DAYS, "--format", "parquet", "--out", str(out))
    assert done.exit_code == 1
    assert "pip install 'hemma[export]'" in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert _log(database_url) == []


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ((*DAYS,), 2),
        (("--unit", "x", "--patient", "y|z", *DAYS), 2),
        (("--unit", "x", "--from", "2026-11-22", "--to", "2026-11-21"), 2),
        (("--unit", "x", "--kind", "mood", *DAYS), 2),
        (("--unit", "x", *DAYS), 1),
        (("--patient", "urn:hemma:demo|DEMO-99", *DAYS), 1),
    ],
)
def test_what_is_wrongly_asked_leaves_nothing(
    shelf: Shelf, database_url: str, tmp_path: Path, given: Sequence[str], code: int
) -> None:
    done = export(*given, "--out", str(tmp_path / "a.csv"))
    assert done.exit_code == code, done.output
    assert list(tmp_path.iterdir()) == []
    assert _log(database_url) == []


def test_a_file_that_exists_is_never_written_over(shelf: Shelf, tmp_path: Path) -> None:
    out = tmp_path / "a.csv"
    out.write_text("mine")
    assert export("--patient", PERSON, *DAYS, "--out", str(out)).exit_code == 1
    assert out.read_text() == "mine"
    assert export("--patient", PERSON, *DAYS, "--out", str(out / "b" / "c")).exit_code == 1


async def test_rows_come_in_batches(shelf: Shelf, database_url: str) -> None:
    selection = Selection(
        (NOON - timedelta(days=9)).date(), NOON.date(), patient_id=shelf.home.patient
    )
    async with (
        Database.connect(database_url, name="test") as database,
        database.transaction() as tx,
    ):
        found = [batch async for batch in exports.exported(tx, selection, rows_at_once=2)]
    assert {len(batch) for batch in found} == {1, 2}
    assert sum(map(len, found)) == 12


def test_what_is_written_leaves_at_once(tmp_path: Path) -> None:
    reader, end = os.pipe()
    with os.fdopen(end, "wb", buffering=0) as stream, writer(Format.CSV, stream):
        assert os.read(reader, 10) == b"person,mea"
    os.close(reader)
