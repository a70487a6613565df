"""``hemma rules evaluate``: rules over a table of values, with no server (contract.md 3)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from alerts import rule_file, series_table
from alerts.errors import AlertsError
from alerts.plan import NAMED
from alerts.replay import Arrival, line, replay
from alerts.rules import Rule

_PLANS = ", ".join(NAMED)


def evaluate_command(
    series: Annotated[str, typer.Option(metavar="CSV", help="the values, or - for standard input")],
    rules: Annotated[Path | None, typer.Option(help="a JSON array of rules")] = None,
    plan: Annotated[str, typer.Option(help=f"one of: {_PLANS}")] = "national",
    until: Annotated[str, typer.Option(help="as of when; default: the last row of all")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON (it always does).")] = False,
) -> None:
    """Print each decision as a line of JSON, in the order decided; what cannot be read exits 2.

    Columns: patient,time,kind,code,value,unit and, where wanted, received,device,flags,ctx. The
    rules are --rules FILE or else --plan.
    """
    try:
        chosen = _rules(rules, plan)
        history = series_table.read(_lines(series))
        known_until = _until(until, history)
    except AlertsError as error:
        _refuse(str(error))
    for decision in replay(chosen, history, until=known_until):
        sys.stdout.buffer.write(line(decision) + b"\n")
    sys.stdout.buffer.flush()


def _rules(file: Path | None, plan: str) -> Sequence[Rule]:
    if file is not None:
        try:
            return rule_file.read(file.read_bytes())
        except OSError as error:
            _refuse(f"{file}: {error.strerror}")
        except AlertsError as error:
            _refuse(f"{file}: {error}")
    if plan not in NAMED:
        _refuse(f"there is no plan {plan!r}; there are {_PLANS}")
    return NAMED[plan]


def _lines(series: str) -> Iterable[str]:
    if series == "-":
        return sys.stdin.read().removeprefix("\ufeff").splitlines()
    try:
        return Path(series).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        _refuse(f"{series}: {error.strerror}")
    except UnicodeError:
        _refuse(f"{series}: is not text in UTF-8")


def _until(text: str, history: Mapping[str, Sequence[Arrival]]) -> datetime:
    if not text:
        arrivals = (one.received_at for came in history.values() for one in came)
        return max(arrivals, default=datetime.min.replace(tzinfo=UTC))
    try:
        until = datetime.fromisoformat(text)
    except ValueError:
        _refuse(f"--until {text!r} is no time; write 2026-11-22T07:12:00Z")
    return until.replace(tzinfo=UTC) if until.tzinfo is None else until.astimezone(UTC)


def _refuse(reason: str) -> NoReturn:
    typer.echo(f"hemma rules evaluate: {reason}", err=True)
    raise typer.Exit(2)
