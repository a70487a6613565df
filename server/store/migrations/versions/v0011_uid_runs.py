"""Uids of old epochs, packed close together."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0011"
down_revision: str | None = "0010"


def upgrade() -> None:
    """Run ``0011_uid_runs.sql`` as it stands."""
    path = Path(__file__).parent.parent / "0011_uid_runs.sql"
    # Not op.execute: it reads ":name" in SQL as a parameter; here the file goes to the server
    # untouched.
    op.get_bind().exec_driver_sql(
        path.read_text(encoding="utf-8"), execution_options={"no_parameters": True}
    )
