"""A client's wish to cancel, and how many lines of text were read and how many reused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COUNTS = ("lines_read", "lines_reused")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("cancel_requested_at", sa.DateTime(timezone=True)))
    for name in COUNTS:
        op.add_column("jobs", sa.Column(name, sa.BigInteger))
        op.add_column("chunks", sa.Column(name, sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    for name in COUNTS:
        op.drop_column("chunks", name)
        op.drop_column("jobs", name)
    op.drop_column("jobs", "cancel_requested_at")
