"""What the server's commands share: one transaction, text or JSON, one sentence for an error."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec
import typer
from typer.core import TyperGroup

from devices.wire.topics import GATEWAY_PATTERN
from server.settings import SettingsError, read_settings
from server.store.database import Database, Transaction
from server.store.errors import StoreError

T = TypeVar("T")
# typer carries a click of its own and exports only this child of its usage error.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer with one JSON value.")]


def gateway_name(name: str) -> str:
    """Return ``name`` when a gateway may be called so (contract.md 1); else a usage error."""
    if not re.fullmatch(GATEWAY_PATTERN, name):
        raise typer.BadParameter("a gateway's name has 1 to 40 of a–z, 0–9 and -")
    return name


def device_name(name: str) -> str:
    """Return ``name`` when a device may be called so (contract.md 1); else a usage error."""
    if not re.fullmatch(r"ble-[0-9a-f]{12}", name):
        raise typer.BadParameter(
            "a device's name is ble- and the 12 lower hex digits of its address"
        )
    return name


def inside(work: Callable[[Transaction], Awaitable[T]]) -> T:
    """Run ``work`` in one transaction of the database that the environment names."""

    async def once() -> T:
        url = read_settings(os.environ).database_url
        async with (
            Database.connect(url, name="hemma-command", size=1) as database,
            database.transaction() as tx,
        ):
            return await work(tx)

    return asyncio.run(once())


class NotDone(StoreError):
    """A command that had nothing to do, or was given what it may not take; the text says what."""


class Commands(TyperGroup):
    """A group whose commands fail with one sentence, or with ``--json`` in one JSON object.

    The object is ``{"error","detail"}`` on standard output; ``error`` is the error's class in
    snake case, or ``usage`` for a command that was wrongly called (exit code 2, else 1).
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command; raises click's Exit after an error has been told."""
        is_json = "--json" in ctx.args
        try:
            return super().invoke(ctx)
        except (StoreError, SettingsError) as error:
            _tell(_name(error), str(error), as_json=is_json)
            raise typer.Exit(1) from error
        except _USAGE_ERROR as error:
            if not is_json:
                raise
            _tell("usage", str(error), as_json=True)
            raise typer.Exit(2) from error


def _tell(name: str, detail: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode({"error": name, "detail": detail}).decode())
    else:
        typer.echo(f"hemma: {detail}", err=True)


def _name(error: Exception) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()


def answer(value: Any, text: str, *, as_json: bool) -> None:
    """Print ``value`` as one line of JSON, or ``text``."""
    typer.echo(msgspec.json.encode(value).decode() if as_json else text)
