"""When what could not be judged is tried again."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    """Run ``0004_inbox_retry.sql`` as it stands."""
    statements = (Path(__file__).parent.parent / "0004_inbox_retry.sql").read_text(encoding="utf-8")
    # Not op.execute: it reads ":name" in SQL as a parameter; here the file goes to the server
    # untouched.
    op.get_bind().exec_driver_sql(statements, execution_options={"no_parameters": True})
