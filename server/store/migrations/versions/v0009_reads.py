"""What is read over days and weeks, and the state of the upkeep."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0009"
down_revision: str | None = "0008"


def upgrade() -> None:
    """Run ``0009_reads.sql`` as it stands."""
    path = Path(__file__).parent.parent / "0009_reads.sql"
    # Not op.execute: it reads ":name" in SQL as a parameter; here the file goes to the server
    # untouched.
    op.get_bind().exec_driver_sql(
        path.read_text(encoding="utf-8"), execution_options={"no_parameters": True}
    )
