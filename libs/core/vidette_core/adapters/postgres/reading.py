"""The api's reads: a job as clients see it, and its chunks in order, a page at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from vidette_core.adapters.postgres.engine import Database
from vidette_core.adapters.postgres.schema import ChunkRow, JobRow, PipelineRow, problem_of
from vidette_core.domain.chunks import Chunk
from vidette_core.domain.jobs import Job, JobState, JobWarning, Tally, TextCounts
from vidette_core.domain.pipelines import Pipeline
from vidette_core.domain.sampling import Sampling
from vidette_core.ports.errors import NotFound

PAGE = 500
"""Chunk rows read at once: about 150 KB."""


class PostgresReader:
    """See `ports.jobs.JobReader`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def job(self, job_id: UUID) -> Job:
        """Raises `NotFound`, also for a job whose upload was never completed: nobody was given its id."""
        statement = (
            select(JobRow, col(PipelineRow.id))
            .join(PipelineRow, col(JobRow.pipeline_digest) == col(PipelineRow.digest))
            .where(col(JobRow.id) == job_id)
        )
        async with self._database.transaction() as session:
            found = (await session.execute(statement)).one_or_none()
        if found is None:
            raise NotFound(f"no job {job_id}")
        row, pipeline_id = found
        return _job(row, pipeline_id)

    async def pipeline(self, digest: str) -> Pipeline:
        """The pipeline that a job pinned. Raises `NotFound`."""
        async with self._database.transaction() as session:
            row = await session.get(PipelineRow, digest)
        if row is None:
            raise NotFound(f"no pipeline {digest}")
        return Pipeline.model_validate(row.document)

    async def chunks(self, job: Job, first_sample: int) -> AsyncIterator[Chunk]:
        """The committed chunks that hold samples from `first_sample` on, in order, in constant memory."""
        at = first_sample - first_sample % job.chunk_frames  # where the chunk that holds it begins
        while True:
            page = await self._page(job.id, at)
            for row in page:
                chunk = chunk_from_row(row)
                at = chunk.end_sample
                yield chunk
            if len(page) < PAGE:
                return

    async def _page(self, job_id: UUID, at: int) -> list[ChunkRow]:
        statement = (
            select(ChunkRow)
            .where(col(ChunkRow.job_id) == job_id, col(ChunkRow.first_sample) >= at)
            .order_by(col(ChunkRow.first_sample))
            .limit(PAGE)
        )
        async with self._database.transaction() as session:
            return list((await session.execute(statement)).scalars())


def _job(row: JobRow, pipeline_id: str) -> Job:
    assert row.pipeline_digest is not None, "the row has been submitted"
    return Job(
        id=row.id,
        tenant=row.tenant,
        state=JobState(row.state),
        pipeline_id=pipeline_id,
        pipeline_digest=row.pipeline_digest,
        sampling=Sampling(row.frame_stride or 1, row.max_frames),
        chunk_frames=row.chunk_frames or 1,
        progress=row.progress,
        problem=problem_of(row),
        warnings=tuple(JobWarning(**warning) for warning in row.warnings),
        tally=tally_from_row(row),
        text=None if row.lines_read is None else TextCounts(row.lines_read, row.lines_reused or 0),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def tally_from_row(row: JobRow) -> Tally | None:
    if row.frames_ok is None:
        return None
    return Tally(row.frames_ok, row.frames_decode_error or 0, row.frames_model_error or 0)


def chunk_from_row(row: ChunkRow) -> Chunk:
    return Chunk(
        segment=row.segment,
        first_sample=row.first_sample,
        tally=Tally(row.ok, row.decode_error, row.model_error),
        bytes=row.bytes,
        sha256=row.sha256,
        key=row.key,
    )
