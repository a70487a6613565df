"""Which user of a device the person at home is, and the code that opens that user's data."""

from __future__ import annotations

import sqlite3

from devices.conversation import Consent
from gateway.storage import transaction


def read_consent(connection: sqlite3.Connection, dev: str) -> Consent | None:
    """Return what was said about ``dev``, None where nobody said."""
    row = connection.execute("SELECT user_index, code FROM consent WHERE dev=?", (dev,)).fetchone()
    return None if row is None else Consent(row["user_index"], row["code"])


def write_consent(connection: sqlite3.Connection, dev: str, consent: Consent | None) -> None:
    """Remember ``consent`` for ``dev``, durably, or forget what was said."""
    with transaction(connection):
        if consent is None:
            connection.execute("DELETE FROM consent WHERE dev=?", (dev,))
        else:
            connection.execute(
                "INSERT OR REPLACE INTO consent (dev, user_index, code) VALUES (?, ?, ?)",
                (dev, consent.user_index, consent.code),
            )
