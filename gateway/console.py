"""How the gateway's commands answer and fail, the same for all of them."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import structlog
import typer

from gateway.errors import GatewayError

EXIT_FAILED = 1

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


@contextmanager
def failing(*, as_json: bool) -> Iterator[None]:
    """End the command with its reason and remedy where the block raises one of our errors."""
    failure: BaseException | None = None
    try:
        yield
    except* GatewayError as group:
        failure = group.exceptions[0]
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
    if failure is None:
        return
    assert isinstance(failure, GatewayError)
    if as_json:
        typer.echo(json.dumps({"error": failure.reason, "remedy": failure.remedy}))
    else:
        typer.echo(f"{failure.reason} {failure.remedy}", err=True)
    # Not from within except*, which would wrap it in a group.
    raise typer.Exit(EXIT_FAILED)


def show(answer: Mapping[str, object], *, as_json: bool) -> None:
    """Print an answer: one JSON object, or a line for each name and value."""
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    for name, value in answer.items():
        typer.echo(f"{name}: {value}")


def log_errors_only() -> None:
    """Keep the log out of a conversation with a person: errors only, on standard error."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
