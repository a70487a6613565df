"""``hemma rules``: rules and scores on files alone, with no server (contract.md 3)."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from alerts.errors import VitalsError
from alerts.evaluate_command import evaluate_command
from alerts.news2 import Score, Vitals, news2
from devices.answers import cases, print_answers

app = typer.Typer(help="Rules and scores, on files alone.", no_args_is_help=True)

_AS_JSON = typer.Option("--json", help="Print JSON (news2 always does).")
_VITALS = msgspec.json.Decoder(Vitals)


app.command("evaluate")(evaluate_command)


@app.callback()
def rules_command() -> None:
    """Rules and scores, on files alone. Ej CE-märkt, för utveckling och utvärdering."""


@app.command("news2")
def news2_command(
    case: Annotated[str, typer.Argument(metavar="JSON", help="one object, or - for one a line")],
    as_json: Annotated[bool, _AS_JSON] = False,
) -> None:
    """Score one occasion by NEWS2 (Royal College of Physicians 2017); an error exits 2.

    With - each line of standard input is a case, and is answered by a line, also where it is wrong.
    Items that are missing or null give an interval, and no total.
    """
    if case == "-":
        print_answers(score_case(line) for line in cases())
        return
    answer = score_case(case)
    print_answers([answer])
    if "error" in answer:
        raise typer.Exit(2)


def score_case(case: str) -> dict[str, object]:
    """Return contract.md 3's JSON object for one case, or ``error`` and ``detail``.

    Errors: ``bad_json`` is not JSON, ``bad_case`` is not the object of the contract,
    ``out_of_range`` holds a number that cannot be of its item in its unit.
    """
    try:
        vitals = _VITALS.decode(case)
    except msgspec.ValidationError as error:
        cause = error.__cause__
        reason = cause.reason if isinstance(cause, VitalsError) else "bad_case"
        return {"error": reason, "detail": str(error)}
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return {"error": "bad_json", "detail": str(error)}
    return _fields(news2(vitals))


def _fields(score: Score) -> dict[str, object]:
    return {
        "complete": score.is_complete,
        "score": score.total,
        "low": score.low,
        "high": score.high,
        "single_three": score.single_three,
        "components": {item.value: points for item, points in score.points.items()},
        "risk": score.risk.value,
    }
