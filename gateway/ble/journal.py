"""Where raw values go before anything else happens to them."""

from __future__ import annotations

import sqlite3
from typing import Protocol

from gateway.errors import GatewayError

JOURNAL_ERRORS = (GatewayError, sqlite3.Error, OSError)


class Journal(Protocol):
    """Where raw values go first."""

    def append(self, *, dev: str, model: str, characteristic: str, raw: bytes) -> None:
        """Keep ``raw``; durable when it returns, or it raises one of JOURNAL_ERRORS."""
