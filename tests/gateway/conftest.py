"""What all tests of the gateway share."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.gateway.fix_home import Home, make_home


@pytest.fixture(autouse=True)
def close_outboxes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what a test left open, as the end of a killed process does.

    Python 3.13 warns of every connection that is forgotten, and a warning fails the run.
    """
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def noted(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", noted)
    yield
    for connection in opened:
        with contextlib.suppress(sqlite3.ProgrammingError):  # another thread's, already ended
            connection.close()


@pytest.fixture(autouse=True)
def fresh_logs() -> Iterator[None]:
    """Forget a log that a command bound to the output of its test, which is closed by now."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A gateway's parts without radio and broker, on an outbox of its own."""
    home = make_home(tmp_path / "outbox.sqlite3")
    yield home
    home.outbox.close()
