"""``hemma gateway …``: the Pi's commands. Each has ``--json`` and exits non-zero on failure."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
import typer

from gateway.certificate_command import certificate_app
from gateway.clock import text_of
from gateway.console import Json, failing, show
from gateway.enrolment import enrol
from gateway.errors import SettingsInvalid
from gateway.instructions import last_config
from gateway.pair_command import pair_device, unpair_device
from gateway.paired import paired
from gateway.rows import by_state, count_rows
from gateway.running import is_held, last_notice
from gateway.settings import NAME, Settings, config_key_of, from_environment
from gateway.storage import explained, open_for_reading
from gateway.user_command import device_user

app = typer.Typer(no_args_is_help=True, help="The Raspberry Pi in the home.")

ROWS_SHOWN = 50

app.command(name="pair")(pair_device)
app.command(name="unpair")(unpair_device)
app.command(name="user")(device_user)
app.add_typer(certificate_app, name="certificate")


@app.command()
def run(json_: Json = False) -> None:
    """Listen to the paired devices and send what they say, until SIGTERM or Ctrl-C."""
    _log_to_stderr(as_json=json_ or not sys.stderr.isatty())
    with failing(as_json=json_):
        asyncio.run(_run(from_environment(os.environ)))


@app.command()
def status(json_: Json = False) -> None:
    """Show what this gateway knows of itself; works while it runs."""
    with failing(as_json=json_):
        settings = from_environment(os.environ)
        with _reading(settings) as connection:
            answer = _status(settings, connection)
        show(answer, as_json=json_)


@app.command()
def outbox(json_: Json = False, rows: int = ROWS_SHOWN) -> None:
    """Show how many rows wait, since when, and the newest of them."""
    with failing(as_json=json_):
        with _reading(from_environment(os.environ)) as connection:
            counts = count_rows(connection)
            newest = connection.execute(
                "SELECT boot, seq, type, state, attempts, reason, written_t, acked_t, seen_t"
                " FROM outbox ORDER BY rowid DESC LIMIT ?",
                (rows,),
            ).fetchall()
        answer = {
            "open": counts.open,
            "counts": by_state(counts),
            "oldest": None if counts.oldest is None else text_of(counts.oldest),
            "rows": [dict(each) for each in newest],
        }
        show(answer, as_json=json_)


@app.command(name="enrol")
def enrol_gateway(
    name: Annotated[str, typer.Option(help="The name that the server gave this gateway.")],
    broker: Annotated[str, typer.Option(help="The broker as HOST:PORT.")],
    password_file: Annotated[Path, typer.Option(help="File with the password; - for stdin.")],
    config_key: Annotated[str, typer.Option(help="The server's Ed25519 key, base64url.")] = "",
    json_: Json = False,
) -> None:
    """Write down what the server's administrator gave for this gateway."""
    with failing(as_json=json_):
        host, port = _broker(broker)
        if not NAME.fullmatch(name):
            raise SettingsInvalid("The name is not 1-40 of a-z, 0-9 and -.", "Ask for the name.")
        config_key_of(config_key)
        variables = {
            "HEMMA_GATEWAY_NAME": name,
            "HEMMA_MQTT_HOST": host,
            "HEMMA_MQTT_PORT": port,
            "HEMMA_CONFIG_KEY": config_key,
        }
        data = Path(os.environ.get("HEMMA_GATEWAY_DATA", "/var/lib/hemma-gateway"))
        try:
            path = enrol(data, variables, _secret(password_file))
        except OSError as error:
            raise SettingsInvalid(
                f"The enrolment could not be written ({error}).", "Check HEMMA_GATEWAY_DATA."
            ) from error
        show({"enrolled": name, "file": str(path)}, as_json=json_)


def _status(settings: Settings, connection: sqlite3.Connection) -> dict[str, object]:
    counts, config = count_rows(connection), last_config(connection)
    running = last_notice(connection, settings.data)
    devices = connection.execute(
        "SELECT dev, battery, last_seen FROM device ORDER BY dev"
    ).fetchall()
    return {
        "gateway": settings.name,
        "running": is_held(settings.data),
        "broker": f"{settings.mqtt_host}:{settings.mqtt_port}",
        "link": None if running is None else msgspec.to_builtins(running.link),
        "radio": None if running is None else msgspec.to_builtins(running.radio),
        "clock": None if running is None else running.clock,
        "outbox": counts.open,
        "counts": by_state(counts),
        "oldest": None if counts.oldest is None else text_of(counts.oldest),
        "quarantine": counts.rejected,
        "config_serial": None if config is None else config.serial,
        "paired": [
            {"address": each.address, "model": each.model, "profile": each.profile}
            for each in paired(connection)
        ],
        "devices": [dict(each) for each in devices],
    }


async def _run(settings: Settings) -> None:
    from gateway.main import run as run_gateway

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run_gateway(settings, stop=stop)


def _broker(text: str) -> tuple[str, str]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise SettingsInvalid("The broker is not HOST:PORT.", "Write e.g. broker.example:8883.")
    return host, port


def _secret(path: Path) -> str:
    text = sys.stdin.readline() if str(path) == "-" else path.read_text(encoding="utf-8")
    password = text.strip("\r\n")
    if not password:
        raise SettingsInvalid("The password is empty.", "Ask the administrator for it.")
    return password


@contextmanager
def _reading(settings: Settings) -> Iterator[sqlite3.Connection]:
    with (
        explained(settings.database),
        closing(open_for_reading(settings.database)) as connection,
    ):
        yield connection


def _log_to_stderr(*, as_json: bool) -> None:
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
