"""Several segments of one video, and several workers: where a segment is planned to end, and how many workers a job may have."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("max_workers", sa.Integer))
    op.add_column("jobs", sa.Column("workers", sa.Integer, nullable=False, server_default="1"))
    op.add_column("segments", sa.Column("window_end", sa.BigInteger))
    op.add_column("segments", sa.Column("analysed_sample", sa.BigInteger, nullable=False, server_default="0"))
    completed = sa.text("state = 'completed'")
    op.create_index("jobs_completed", "jobs", ["pipeline_digest", "finished_at"], postgresql_where=completed)
    op.create_check_constraint("segments_in_window", "segments", "window_end IS NULL OR next_sample <= window_end")


def downgrade() -> None:
    op.drop_constraint("segments_in_window", "segments")
    op.drop_index("jobs_completed", "jobs")
    op.drop_column("segments", "analysed_sample")
    op.drop_column("segments", "window_end")
    op.drop_column("jobs", "workers")
    op.drop_column("jobs", "max_workers")
