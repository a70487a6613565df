"""The command `hemma`: each part brings its own commands, and is loaded only when it is asked for.

So a gateway can be installed without the server's packages, and the reverse (design.md).
"""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from typer.main import get_command

from hemma.errors import HemmaError, MissingPartError

FAILED: Final = 1


@dataclass(frozen=True, slots=True)
class Part:
    """Where a part's typer app lies, and the extra that installs what it needs."""

    module: str
    app: str
    extra: str
    about: str


PARTS: Final[Mapping[str, Part]] = {
    "devices": Part("devices.command", "app", "gateway", "What a device's bytes mean."),
    "gateway": Part(
        "gateway.command", "app", "gateway", "The gateway at home: run, outbox, status."
    ),
    "server": Part(
        "server.command", "app", "server", "The server: run, migrate, quarantine, stats."
    ),
    "rules": Part("alerts.command", "app", "server", "Rules and scores, on files alone."),
    "audit": Part("server.command", "audit_app", "server", "Is the access log as it was written."),
    "bind": Part(
        "server.command", "bind_app", "server", "Which patient uses which device, and when."
    ),
    "unit": Part("server.command", "unit_app", "server", "Care units."),
    "user": Part("server.command", "user_app", "server", "Staff, their roles and passwords."),
}

app = typer.Typer(
    name="hemma",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Measurements at home, from the device to the nurse who can act on them.",
)


def load(name: str) -> typer.Typer:
    """Return the typer app of a part; raises MissingPartError when what it needs is not here."""
    part = PARTS[name]
    try:
        module = importlib.import_module(part.module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name == part.module:
            raise MissingPartError(
                f"This version has no `hemma {name}`.", "upgrade hemma"
            ) from error
        raise _missing(name, error.name, part.extra) from error
    found = getattr(module, part.app, None)
    if not isinstance(found, typer.Typer):
        raise MissingPartError(f"This version has no `hemma {name}`.", "upgrade hemma")
    return found


def _missing(command: str, package: str, extra: str) -> MissingPartError:
    return MissingPartError(
        f"`hemma {command}` needs the Python package {package}, which is not installed.",
        f"{sys.executable} -m pip install 'hemma[{extra}]', or here: sh deploy/demo.sh",
    )


@contextmanager
def _server_part(command: str) -> Iterator[None]:
    """Say what to do when a command of ours needs the server's packages, and they are not here."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise _missing(command, error.name or "?", "server") from error


def _pass_on(name: str) -> None:
    """Register a command that hands all its arguments to the part's own app."""

    def run(context: typer.Context) -> None:
        command = get_command(load(name))
        command.main(args=list(context.args), prog_name=f"hemma {name}")

    app.command(
        name,
        help=PARTS[name].about,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(run)


for _name in PARTS:
    _pass_on(_name)


@app.command()
def doctor(
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object on standard output.")
    ] = False,
    role: Annotated[
        str, typer.Option(help="What this machine is to be: demo, gateway or server.")
    ] = "demo",
) -> None:
    """Say what is missing on this machine, and the exact remedy."""
    from hemma.doctor import ROLES, examine, report

    if role not in ROLES:
        raise typer.BadParameter(f"one of {', '.join(ROLES)}", param_hint="--role")
    if not report(examine(role), as_json=json):
        raise typer.Exit(FAILED)


@app.command()
def demo(
    check: Annotated[
        bool, typer.Option("--check", help="Headless: measure, report, stop.")
    ] = False,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the nurse's work list in a browser.")
    ] = True,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the data, and use it next time.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Where --keep keeps the data.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="With --check the report is always one JSON object.")
    ] = False,
) -> None:
    """Start everything on this machine with twelve invented patients, on loopback only."""
    from hemma.demo import Wishes, run_demo

    if folder is not None and not keep:
        raise typer.BadParameter("a folder is only used with --keep", param_hint="DIR")
    wishes = Wishes(
        check=check or json, open_browser=open_browser and not check, keep=keep, folder=folder
    )
    raise typer.Exit(run_demo(wishes))


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="A new folder, made for this backup.")],
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object on standard output.")
    ] = False,
) -> None:
    """Write the whole database into a folder, while the server runs."""
    with _server_part("backup"):
        from hemma.backup_command import run_backup
    raise typer.Exit(run_backup(folder, as_json=json))


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="What `hemma backup` has written.")],
    into: Annotated[
        str | None, typer.Option(help="The empty database's address; else HEMMA_DATABASE_URL.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Compare with what the backup held.")
    ] = True,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object on standard output.")
    ] = False,
) -> None:
    """Put a backup into an empty database, verify it, and order from the homes what came since."""
    with _server_part("restore"):
        from hemma.backup_command import run_restore
    raise typer.Exit(run_restore(folder, into=into, verify=verify, as_json=json))


def main() -> None:
    """Run the command; what we know how to explain is told without a traceback."""
    try:
        app()
    except HemmaError as error:
        print(f"hemma: {error}", file=sys.stderr)
        sys.exit(FAILED)
