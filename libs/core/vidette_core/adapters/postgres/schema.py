"""The tables. Columns say what they are for where the name does not; states are documented in `domain.jobs`."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Enum, Index, String, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from vidette_core.domain.errors import ErrorCode, Problem
from vidette_core.domain.jobs import JobState, SegmentState
from vidette_core.domain.traceparents import LENGTH


def _enum(kind: type[JobState] | type[SegmentState], name: str) -> Enum:
    return Enum(kind, name=name, values_callable=lambda members: [member.value for member in members])


def _time(*, nullable: bool = True, now: bool = False) -> Any:
    default = func.now() if now else None
    return Column(DateTime(timezone=True), nullable=nullable, server_default=default)


class PipelineRow(SQLModel, table=True):
    """A pipeline as some job pinned it, stored once under the digest of its content."""

    __tablename__ = "pipelines"

    digest: str = Field(primary_key=True, sa_type=Text)
    id: str = Field(sa_type=Text)
    document: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))


class JobRow(SQLModel, table=True):
    """One job, from the first byte of its upload on."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("jobs_pending", text("priority DESC"), "created_at", postgresql_where=text("state = 'pending'")),
        Index("jobs_running", "tenant", postgresql_where=text("state = 'running'")),
        Index("jobs_uploading", "heartbeat_at", postgresql_where=text("state = 'uploading'")),
        Index("jobs_unswept", "finished_at", postgresql_where=text("finished_at IS NOT NULL AND swept_at IS NULL")),
        Index("jobs_finished", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
        Index("jobs_completed", "pipeline_digest", "finished_at", postgresql_where=text("state = 'completed'")),
    )

    id: UUID = Field(primary_key=True)
    tenant: str = Field(sa_column=Column(Text, nullable=False, server_default="default"))
    priority: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    state: JobState = Field(sa_column=Column(_enum(JobState, "job_state"), nullable=False))

    container: str = Field(sa_type=Text)
    source_key: str = Field(sa_type=Text)
    source_bytes: int | None = Field(default=None, sa_type=BigInteger)
    upload_id: str | None = Field(default=None, sa_type=Text)
    heartbeat_at: datetime = Field(sa_column=_time(nullable=False, now=True))

    # Unknown while uploading: the fields of the form may come after the file.
    pipeline_digest: str | None = Field(default=None, foreign_key="pipelines.digest", sa_type=Text)
    frame_stride: int | None = None
    max_frames: int | None = None
    chunk_frames: int | None = None
    max_workers: int | None = None
    """The most workers at once that the job's client wants; null: as many as the installation allows."""
    verifies: UUID | None = Field(default=None, foreign_key="jobs.id", ondelete="CASCADE", index=True)
    """The job whose results this one looks at again; null for all jobs that were submitted."""

    attempt: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    stalled_attempts: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Attempts that ended by their own fault since a chunk was last committed."""
    waited_attempts: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Attempts since then that ended for want of something else."""
    more_memory: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    """An attempt ran out of memory: all that follow are launched with more."""
    launch_name: str | None = Field(default=None, sa_type=Text)
    launch_uid: str | None = Field(default=None, sa_type=Text)
    spec_hash: str | None = Field(default=None, sa_type=Text)
    workers: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    """How many its attempt has been given, within the caps. It keeps them until it ends."""
    started_at: datetime | None = Field(default=None, sa_column=_time())

    traceparent: str | None = Field(default=None, sa_type=String(LENGTH))
    """Of the request that submitted it, where requests are traced."""

    cancel_requested_at: datetime | None = Field(default=None, sa_column=_time())
    """The client's wish; the controller fulfils it."""

    expected_samples: int | None = Field(default=None, sa_type=BigInteger)
    progress: float | None = None
    warnings: list[dict[str, str]] = Field(
        default_factory=list, sa_column=Column(JSONB, nullable=False, server_default=text("'[]'::jsonb"))
    )
    error_code: str | None = Field(default=None, sa_type=Text)
    error_message: str | None = Field(default=None, sa_type=Text)
    frames_ok: int | None = Field(default=None, sa_type=BigInteger)
    frames_decode_error: int | None = Field(default=None, sa_type=BigInteger)
    frames_model_error: int | None = Field(default=None, sa_type=BigInteger)
    lines_read: int | None = Field(default=None, sa_type=BigInteger)
    lines_reused: int | None = Field(default=None, sa_type=BigInteger)

    created_at: datetime = Field(sa_column=_time(nullable=False, now=True))
    updated_at: datetime = Field(sa_column=_time(nullable=False, now=True))
    finished_at: datetime | None = Field(default=None, sa_column=_time())
    swept_at: datetime | None = Field(default=None, sa_column=_time())
    """When the sweeper last removed what the job left in the store; null while it may still find something."""


class SegmentRow(SQLModel, table=True):
    """A run of samples of one job, held by at most one epoch at a time."""

    __tablename__ = "segments"

    job_id: UUID = Field(primary_key=True, foreign_key="jobs.id", ondelete="CASCADE")
    index: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    state: SegmentState = Field(sa_column=Column(_enum(SegmentState, "segment_state"), nullable=False))
    first_sample: int = Field(sa_type=BigInteger)
    next_sample: int = Field(sa_type=BigInteger)
    end_sample: int | None = Field(default=None, sa_type=BigInteger)
    window_end: int | None = Field(default=None, sa_type=BigInteger)
    """The sample behind its last one, as planned; null where only the decoder will know."""
    in_decoder_order: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    """The container's index cannot say which frame is which: frames are counted as the decoder hands them out."""
    analysed_sample: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    """The sample behind the last one that was analysed, committed or not: the greatest that any holder told."""
    epoch: int = 0
    holder: str | None = Field(default=None, sa_type=Text)
    lease_until: datetime | None = Field(default=None, sa_column=_time())
    stalled_claims: list[str] = Field(
        default_factory=list, sa_column=Column(ARRAY(Text), nullable=False, server_default=text("'{}'"))
    )
    """The pods that claimed the segment since a chunk was last committed."""
    error_code: str | None = Field(default=None, sa_type=Text)
    error_message: str | None = Field(default=None, sa_type=Text)
    """What the holder reported as the job's end; the controller acts on it."""


class ChunkRow(SQLModel, table=True):
    """A committed chunk. A row here is what makes an object in the store a result."""

    __tablename__ = "chunks"

    job_id: UUID = Field(primary_key=True, foreign_key="jobs.id", ondelete="CASCADE")
    first_sample: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    segment: int
    epoch: int
    ok: int
    decode_error: int
    model_error: int
    lines_read: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    lines_reused: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    bytes: int = Field(sa_type=BigInteger)
    sha256: str = Field(sa_type=Text)
    key: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_column=_time(nullable=False, now=True))


def problem_of(row: JobRow | SegmentRow) -> Problem | None:
    """Why the job failed, or what the segment's holder reported."""
    return None if row.error_code is None else Problem(ErrorCode(row.error_code), row.error_message or "")
