"""The api's reads: a job as clients see it, and its chunks in order, a page at a time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
from sqlalchemy import select
from sqlmodel import col

from vidette_core.adapters.postgres.engine import Database
from vidette_core.adapters.postgres.schema import ChunkRow, JobRow, PipelineRow
from vidette_core.domain.chunks import Chunk
from vidette_core.domain.errors import ErrorCode, Problem
from vidette_core.domain.jobs import DEFAULT_TENANT, Job, JobState, JobWarning, Tally, TextCounts
from vidette_core.domain.pipelines import Pipeline
from vidette_core.domain.sampling import Sampling
from vidette_core.ports.errors import NotFound
from vidette_core.ports.jobs import PipelinesInUse

PAGE = 500
"""Chunk rows read at once: about 150 KB."""

_JOB = """
    SELECT jobs.id, jobs.tenant, jobs.state::text AS state, pipelines.id AS pipeline_id, jobs.pipeline_digest,
           frame_stride, max_frames, chunk_frames, progress, error_code, error_message, warnings,
           frames_ok, frames_decode_error, frames_model_error, lines_read, lines_reused, created_at, updated_at,
           jobs.verifies
    FROM jobs JOIN pipelines ON pipelines.digest = jobs.pipeline_digest
    WHERE jobs.id = $1 AND jobs.tenant = $2
"""


class PostgresReader:
    """See `ports.jobs.JobReader`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def job(self, job_id: UUID, tenant: str = DEFAULT_TENANT) -> Job:
        """Raises `NotFound`, also for another tenant's job, and for one whose upload was never completed."""
        found = await self._database.single_reads.one(_JOB, job_id, tenant)
        if found is None:
            raise NotFound(f"no job {job_id}")
        return _job(found)

    async def pipeline(self, digest: str) -> Pipeline:
        """The pipeline that a job pinned. Raises `NotFound`."""
        async with self._database.transaction() as session:
            row = await session.get(PipelineRow, digest)
        if row is None:
            raise NotFound(f"no pipeline {digest}")
        return Pipeline.model_validate(row.document)

    async def pipelines_in_use(self) -> PipelinesInUse:
        """Every pipeline that a pending or running job pinned, each once; and whether any job is still being uploaded."""
        unfinished = col(JobRow.state).in_((JobState.PENDING, JobState.RUNNING))
        pinned = select(col(JobRow.pipeline_digest)).where(unfinished)
        async with self._database.transaction() as session:
            # Uploads first: a job that is submitted between the two statements is then seen by one of them at least.
            uploads = select(col(JobRow.id)).where(col(JobRow.state) == JobState.UPLOADING).limit(1)
            uploading = (await session.execute(uploads)).first() is not None
            documents = select(col(PipelineRow.document)).where(col(PipelineRow.digest).in_(pinned))
            found = (await session.execute(documents)).scalars()
            return PipelinesInUse(tuple(Pipeline.model_validate(document) for document in found), uploading)

    async def chunk(self, job: Job, first_sample: int) -> Chunk:
        """The committed chunk that begins there. Raises `NotFound`."""
        async with self._database.transaction() as session:
            row = await session.get(ChunkRow, (job.id, first_sample))
        if row is None:
            raise NotFound(f"no chunk of job {job.id} begins at sample {first_sample}")
        return chunk_from_row(row)

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


def _job(row: asyncpg.Record) -> Job:
    code = row["error_code"]
    return Job(
        id=row["id"],
        tenant=row["tenant"],
        state=JobState(row["state"]),
        pipeline_id=row["pipeline_id"],
        pipeline_digest=row["pipeline_digest"],
        sampling=Sampling(row["frame_stride"] or 1, row["max_frames"]),
        chunk_frames=row["chunk_frames"] or 1,
        progress=row["progress"],
        problem=None if code is None else Problem(ErrorCode(code), row["error_message"] or ""),
        warnings=tuple(JobWarning(**warning) for warning in json.loads(row["warnings"])),
        tally=_tally(row),
        text=None if row["lines_read"] is None else TextCounts(row["lines_read"], row["lines_reused"] or 0),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        verifies=row["verifies"],
    )


def _tally(row: asyncpg.Record) -> Tally | None:
    if row["frames_ok"] is None:
        return None
    return Tally(row["frames_ok"], row["frames_decode_error"] or 0, row["frames_model_error"] or 0)


def chunk_from_row(row: ChunkRow) -> Chunk:
    return Chunk(
        segment=row.segment,
        first_sample=row.first_sample,
        tally=Tally(row.ok, row.decode_error, row.model_error),
        bytes=row.bytes,
        sha256=row.sha256,
        key=row.key,
    )
