"""What the server's commands share: one transaction, text or JSON, one sentence for an error."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from server.settings import SettingsError, read_settings
from server.store.database import Database, Transaction
from server.store.errors import StoreError

T = TypeVar("T")
JsonOption = Annotated[bool, typer.Option("--json", help="Answer with one JSON value.")]


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
