"""What the rules decided, and why."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    """Run ``0003_decision.sql`` as it stands."""
    statements = (Path(__file__).parent.parent / "0003_decision.sql").read_text(encoding="utf-8")
    # Not op.execute, which reads ":name" in SQL as a parameter: the file goes as it stands.
    op.get_bind().exec_driver_sql(statements, execution_options={"no_parameters": True})
