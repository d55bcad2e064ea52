"""Jobs, their segments and chunks, and the pipelines they pinned."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Written out, not imported: a migration describes the past. A test holds the current enums against the database's.
JOB_STATE = pg.ENUM("uploading", "pending", "running", "completed", "failed", name="job_state", create_type=False)
SEGMENT_STATE = pg.ENUM("open", "done", name="segment_state", create_type=False)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    JOB_STATE.create(op.get_bind())
    SEGMENT_STATE.create(op.get_bind())
    _pipelines()
    _jobs()
    _segments()
    _chunks()


def _pipelines() -> None:
    op.create_table(
        "pipelines",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("document", pg.JSONB, nullable=False),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False, server_default="default"),
        sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
        sa.Column("state", JOB_STATE, nullable=False),
        sa.Column("container", sa.Text, nullable=False),
        sa.Column("source_key", sa.Text, nullable=False),
        sa.Column("source_bytes", sa.BigInteger),
        sa.Column("upload_id", sa.Text),
        sa.Column("heartbeat_at", TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("pipeline_digest", sa.Text, sa.ForeignKey("pipelines.digest")),
        sa.Column("frame_stride", sa.Integer),
        sa.Column("max_frames", sa.Integer),
        sa.Column("chunk_frames", sa.Integer),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("stalled_attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("waited_attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("launch_name", sa.Text),
        sa.Column("launch_uid", sa.Text),
        sa.Column("spec_hash", sa.Text),
        sa.Column("started_at", TIME),
        sa.Column("expected_samples", sa.BigInteger),
        sa.Column("progress", sa.Float),
        sa.Column("warnings", pg.JSONB, nullable=False, server_default=sa.text("'[]'::jsonb")),
        sa.Column("error_code", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("frames_ok", sa.BigInteger),
        sa.Column("frames_decode_error", sa.BigInteger),
        sa.Column("frames_model_error", sa.BigInteger),
        sa.Column("created_at", TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("finished_at", TIME),
        sa.Column("swept_at", TIME),
        sa.CheckConstraint("progress >= 0 AND progress <= 1", "jobs_progress_range"),
        sa.CheckConstraint("(state = 'completed') = (progress IS NOT NULL AND progress = 1)", "jobs_progress_done"),
        sa.CheckConstraint("(state = 'failed') = (error_code IS NOT NULL)", "jobs_failed_has_reason"),
        sa.CheckConstraint(
            "state IN ('uploading', 'failed') OR (pipeline_digest IS NOT NULL AND frame_stride >= 1 "
            "AND chunk_frames >= 1 AND source_bytes IS NOT NULL)",
            "jobs_submitted_is_whole",
        ),
    )
    pending, running = sa.text("state = 'pending'"), sa.text("state = 'running'")
    op.create_index("jobs_pending", "jobs", [sa.text("priority DESC"), "created_at"], postgresql_where=pending)
    op.create_index("jobs_running", "jobs", ["tenant"], postgresql_where=running)
    op.create_index("jobs_uploading", "jobs", ["heartbeat_at"], postgresql_where=sa.text("state = 'uploading'"))
    unswept = sa.text("finished_at IS NOT NULL AND swept_at IS NULL")
    op.create_index("jobs_unswept", "jobs", ["finished_at"], postgresql_where=unswept)


def _segments() -> None:
    op.create_table(
        "segments",
        sa.Column("job_id", sa.Uuid, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("index", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("state", SEGMENT_STATE, nullable=False),
        sa.Column("first_sample", sa.BigInteger, nullable=False),
        sa.Column("next_sample", sa.BigInteger, nullable=False),
        sa.Column("end_sample", sa.BigInteger),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("lease_until", TIME),
        sa.Column("stalled_claims", pg.ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("error_code", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.CheckConstraint("next_sample >= first_sample", "segments_forward"),
        sa.CheckConstraint("end_sample IS NULL OR next_sample <= end_sample", "segments_inside"),
        sa.CheckConstraint("state <> 'done' OR next_sample = end_sample", "segments_done_is_whole"),
    )


def _chunks() -> None:
    op.create_table(
        "chunks",
        sa.Column("job_id", sa.Uuid, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("first_sample", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("segment", sa.Integer, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("ok", sa.Integer, nullable=False),
        sa.Column("decode_error", sa.Integer, nullable=False),
        sa.Column("model_error", sa.Integer, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("ok >= 0 AND decode_error >= 0 AND model_error >= 0", "chunks_counts"),
        sa.CheckConstraint("ok + decode_error + model_error > 0", "chunks_not_empty"),
    )


def downgrade() -> None:
    for table in ("chunks", "segments", "jobs", "pipelines"):
        op.drop_table(table)
    SEGMENT_STATE.drop(op.get_bind())
    JOB_STATE.drop(op.get_bind())
