"""Alembic's environment: migrations run on one connection that `migrate` hands over."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

from vidette_core.adapters.postgres import schema  # noqa: F401  (registers the tables)

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=SQLModel.metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
