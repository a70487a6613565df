"""``hemma server extract``: everything of one patient in one file, and its line in the log."""

from __future__ import annotations

import csv
import io
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Any
from zipfile import ZIP_DEFLATED, ZipFile

import msgspec
import typer

from server.console import JsonOption, NotDone, answer, inside
from server.store import bindings
from server.store import extract as stored
from server.store.database import Transaction

README = """Everything that Hemma stores of one person, as of {at}.

Each .jsonl file holds one JSON object a line; values.csv and access_log.csv hold the same as a
table. Times are UTC. In measurements, raw is what the device sent, in hex. access_log says when
which unit looked, in which role, at what.
"""


def extract(
    patient: Annotated[str, typer.Argument(help="system|value, e.g. urn:hemma:demo|DEMO-01.")],
    out: Annotated[Path, typer.Option(help="The ZIP file to write; it must not exist.")],
    by: Annotated[str, typer.Option(help="Who takes it: stands in the access log.")],
    as_json: JsonOption = False,
) -> None:
    """Write everything that is stored of one patient into a ZIP file, readable by you only."""
    if out.exists():
        raise NotDone(f"{out} exists already")
    at = datetime.now(UTC)
    draft = out.with_name(f".{out.name}.part")

    async def work(tx: Transaction) -> dict[str, int]:
        patient_id = await bindings.patient_by_identifier(tx, patient)
        await stored.log_extract(tx, patient_id, by=by, at=at)
        return await _write(tx, file, patient_id, at)

    draft.touch(mode=0o600, exist_ok=False)
    try:
        with draft.open("wb") as file:
            counts = inside(work)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(out)
    finally:
        draft.unlink(missing_ok=True)
    text = f"{out}: " + ", ".join(f"{number} {name}" for name, number in counts.items())
    answer({"file": str(out), "rows": counts}, text, as_json=as_json)


async def _write(tx: Transaction, file: IO[bytes], patient_id: int, at: datetime) -> dict[str, int]:
    counts = {}
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", README.format(at=f"{at:%Y-%m-%d %H:%M}Z"))
        for part in stored.PARTS:
            counts[part.name] = await _write_part(tx, archive, part, patient_id)
    return counts


async def _write_part(tx: Transaction, archive: ZipFile, part: stored.Part, patient_id: int) -> int:
    count = 0
    with archive.open(f"{part.name}.jsonl", "w", force_zip64=True) as file:
        async for row in stored.rows(tx, part, patient_id):
            file.write(msgspec.json.encode(row) + b"\n")
            count += 1
    if part.as_table:
        await _write_table(tx, archive, part, patient_id)
    return count


async def _write_table(
    tx: Transaction, archive: ZipFile, part: stored.Part, patient_id: int
) -> None:
    with archive.open(f"{part.name}.csv", "w", force_zip64=True) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        table: csv.DictWriter[Any] | None = None
        async for row in stored.rows(tx, part, patient_id):
            if table is None:
                table = csv.DictWriter(text, list(row))
                table.writeheader()
            table.writerow(row)
        text.flush()
        text.detach()
