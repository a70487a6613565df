"""What the server's commands share: one transaction, text or JSON, one sentence for an error."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from devices.wire.topics import GATEWAY_PATTERN
from server.settings import SettingsError, read_settings
from server.store.database import Database, Transaction
from server.store.errors import StoreError

T = TypeVar("T")
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

    with stop_on_errors():
        return asyncio.run(once())


@contextmanager
def stop_on_errors() -> Iterator[None]:
    """Turn what an operator can do something about into one sentence and exit code 1."""
    try:
        yield
    except (StoreError, SettingsError) as error:
        typer.echo(f"hemma: {error}", err=True)
        raise typer.Exit(1) from error


def answer(value: Any, text: str, *, as_json: bool) -> None:
    """Print ``value`` as one line of JSON, or ``text``."""
    typer.echo(msgspec.json.encode(value).decode() if as_json else text)
