"""The first schema."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    """Run ``0001_schema.sql`` as it stands."""
    statements = (Path(__file__).parent.parent / "0001_schema.sql").read_text(encoding="utf-8")
    # Not op.execute, which reads ":name" in SQL as a parameter: the file goes as it stands.
    op.get_bind().exec_driver_sql(statements, execution_options={"no_parameters": True})
