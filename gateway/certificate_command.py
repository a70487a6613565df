"""``hemma gateway certificate``: what the server certified, beside what this gateway sent."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from devices import wire
from gateway.certified import Checked, Numbers, check
from gateway.console import EXIT_FAILED, Json, failing, show
from gateway.errors import SettingsInvalid
from gateway.settings import from_environment
from gateway.storage import explained, open_for_reading

certificate_app = typer.Typer(
    no_args_is_help=True, help="What the server certified, beside what this gateway sent."
)
_ASK = "Ask for it again: hemma server completeness --certificate GATEWAY DAY --json."


@certificate_app.callback()
def certificate() -> None:
    """What the server certified, beside what this gateway sent."""


@certificate_app.command(name="check")
def check_certificates(
    files: Annotated[
        list[Path], typer.Argument(help="Certificates as JSON, of one day each; - for stdin.")
    ],
    json_: Json = False,
) -> None:
    """Compare certificates of the server with the outbox. Exit code 1: they do not agree.

    With certificates of several days in a row more can be told: a value may have been stored on
    another day than it was answered.
    """
    with failing(as_json=json_):
        settings = from_environment(os.environ)
        certificates = [_read(file, settings.name) for file in files]
        with (
            explained(settings.database),
            closing(open_for_reading(settings.database)) as connection,
        ):
            checked = check(connection, certificates)
        show(_answer(checked, as_json=json_), as_json=json_)
        if not checked.agrees:
            raise typer.Exit(EXIT_FAILED)


def _read(file: Path, gateway: str) -> wire.Certificate:
    try:
        text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        found = wire.read_certificate(text)
    except OSError as error:
        raise SettingsInvalid(f"{file} cannot be read ({error.strerror}).", _ASK) from error
    except wire.WireError as error:
        raise SettingsInvalid(f"{file} is no certificate ({error.reason}).", _ASK) from error
    if found.gateway != gateway:
        raise SettingsInvalid(f"{file} is of {found.gateway}, and this is {gateway}.", _ASK)
    return found


def _answer(checked: Checked, *, as_json: bool) -> dict[str, object]:
    lists = {
        "differing": checked.differing,
        "unproven": checked.unproven,
        "never_sent": checked.never_sent,
        "not_certified": checked.not_certified,
    }
    told: dict[str, object] = {
        name: [asdict(one) for one in numbers] if as_json else _text(numbers)
        for name, numbers in lists.items()
    }
    damaged = [day.isoformat() for day in checked.damaged]
    return {
        "agrees": checked.agrees,
        "proven": checked.proven,
        **told,
        "damaged": damaged if as_json else ", ".join(damaged) or "none",
        "verdict": _verdict(checked),
    }


def _text(numbers: tuple[Numbers, ...]) -> str:
    return ", ".join(f"boot {one.boot} {one.first}–{one.last}" for one in numbers) or "none"


def _verdict(checked: Checked) -> str:
    if checked.damaged:
        return f"The certificate does not agree with itself. {_ASK}"
    if checked.differing:
        return "The server has other values under these numbers: keep this outbox, and tell it."
    if checked.never_sent:
        return (
            "The server has numbers that this outbox never sent: it was begun anew since, or"
            " somebody else sends under this gateway's name."
        )
    if checked.not_certified:
        return (
            "The server answered that it had stored these and did not certify them. Ask for them:"
            " hemma server resend."
        )
    if checked.unproven:
        return "Nothing speaks against it; some rows left this outbox too long ago to prove it."
    return "Everything that the server certified was sent from here, and the reverse."
