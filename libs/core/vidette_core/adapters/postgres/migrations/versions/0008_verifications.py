"""Jobs that analyse some frames of a completed job once more, to be compared with its results."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("verifies", sa.Uuid))
    op.create_foreign_key("jobs_verifies_fkey", "jobs", "jobs", ["verifies"], ["id"], ondelete="CASCADE")
    op.create_index("ix_jobs_verifies", "jobs", ["verifies"])


def downgrade() -> None:
    op.drop_index("ix_jobs_verifies", "jobs")
    op.drop_constraint("jobs_verifies_fkey", "jobs")
    op.drop_column("jobs", "verifies")
