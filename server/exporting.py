"""``hemma server export``: values of a unit or of one person as a file, for statistics."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, Annotated

import typer

from devices.kinds import KINDS
from server.console import JsonOption, NotDone, answer, inside
from server.export_files import Format, Writer, writer
from server.store import bindings, exports
from server.store.database import Transaction
from server.store.exports import Selection

STANDARD_OUTPUT = "-"
_DAY = ["%Y-%m-%d"]


def _known_kinds(kinds: list[str]) -> list[str]:
    for name in kinds:
        if name not in KINDS:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(KINDS)}")
    return kinds


def export(
    out: Annotated[str, typer.Option(help="The file to write, must not exist; - for a pipe.")],
    first: Annotated[datetime, typer.Option("--from", help="First day, 2026-10-01.", formats=_DAY)],
    last: Annotated[datetime, typer.Option("--to", help="Last day, included.", formats=_DAY)],
    unit: Annotated[str | None, typer.Option(help="All people of this unit.")] = None,
    patient: Annotated[str | None, typer.Option(help="One person: system|value.")] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="Of the catalogue; several times for several; none: all.",
            callback=lambda given: _known_kinds(given or []),
        ),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="csv or parquet.")] = Format.CSV,
    by: Annotated[str | None, typer.Option(help="Who takes it; default: who is logged in.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write values as CSV or Parquet, under pseudonyms, readable by you only.

    Each person whose values it may hold gets a line in the access log. People with protected
    identity are left out of a unit's. Days are Stockholm's.
    """
    if (unit is None) == (patient is None):
        raise typer.BadParameter("name either a unit or a patient", param_hint="--unit")
    if last < first:
        raise typer.BadParameter("it is before --from", param_hint="--to")
    chosen = _Wanted(first.date(), last.date(), tuple(kind or ()), unit, patient)
    who = by or os.environ.get("SUDO_USER") or getpass.getuser()
    with _opened(out) as stream, writer(form, stream) as sink:
        people, rows = _write(chosen, sink, who)
    if out != STANDARD_OUTPUT:
        text = f"{out}: {rows} values of {people} people."
        answer({"file": out, "people": people, "rows": rows}, text, as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What was asked for, by names."""

    first: date
    last: date
    kinds: tuple[str, ...]
    unit: str | None
    patient: str | None

    async def selection(self, tx: Transaction) -> Selection:
        """Find the names. Raises UnknownName."""
        unit_id = patient_id = None
        if self.unit is not None:
            unit_id = await bindings.id_of(tx, "unit", self.unit)
        else:
            patient_id = await bindings.patient_by_identifier(tx, self.patient or "")
        return Selection(self.first, self.last, unit_id, patient_id, self.kinds)


def _write(wanted: _Wanted, sink: Writer, who: str) -> tuple[int, int]:
    """Log, and when that is committed write; return how many people and how many values."""

    async def log(tx: Transaction) -> tuple[Selection, int]:
        selection = await wanted.selection(tx)
        return selection, await exports.log_export(tx, selection, by=who, at=datetime.now(UTC))

    async def write(tx: Transaction) -> int:
        number = 0
        async for rows in exports.exported(tx, selection):
            sink.write(rows)
            number += len(rows)
        return number

    selection, people = inside(log)
    return people, inside(write)


@contextmanager
def _opened(out: str) -> Iterator[IO[bytes]]:
    """Give what to write to; a file has its name only when it is complete."""
    if out == STANDARD_OUTPUT:
        if sys.stdout.isatty():
            raise NotDone("health data do not belong on a screen: name a file, or use a pipe")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(out)
    draft = path.with_name(f".{path.name}.part")
    for one in (path, draft):
        if one.exists():
            raise NotDone(f"{one} exists already")
    try:
        draft.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        raise NotDone(f"{path} cannot be written: {error.strerror}") from error
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
