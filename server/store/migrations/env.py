"""Alembic's entry: run the pending migrations on the connection that ``server.store.migrate`` made.

Alembic executes this file; nothing imports it. Each migration is a transaction of its own.
"""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
