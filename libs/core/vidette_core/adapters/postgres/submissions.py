"""The api's writes: a job from the first byte of its upload to `pending`, or to `failed` when the upload breaks off."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Result, Update, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from vidette_core.adapters.postgres.engine import Database, changed
from vidette_core.adapters.postgres.schema import JobRow, PipelineRow
from vidette_core.domain.errors import Problem
from vidette_core.domain.jobs import DEFAULT_TENANT, JobState
from vidette_core.domain.traceparents import well_formed
from vidette_core.ports.errors import Conflict
from vidette_core.ports.jobs import Submission


class PostgresSubmissions:
    """See `ports.jobs.Submissions`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, job_id: UUID, *, container: str, source_key: str, tenant: str = DEFAULT_TENANT) -> None:
        """Write the row before the multipart upload opens, so that nothing in the store is without one."""
        row = {"id": job_id, "tenant": tenant, "container": container, "source_key": source_key}
        async with self._database.transaction() as session:
            await session.execute(insert(JobRow).values(**row, state=JobState.UPLOADING))

    async def record_upload(self, job_id: UUID, upload_id: str) -> None:
        """Store the multipart upload's id, by which the sweeper can abort it. Raises `Conflict`: no longer uploading."""
        await self._change(job_id, upload_id=upload_id)

    async def heartbeat(self, job_id: UUID) -> None:
        """Say that the upload goes on. Raises `Conflict` when the sweeper has given it up."""
        await self._change(job_id)

    async def submit(self, job_id: UUID, submission: Submission) -> None:
        """`uploading` → `pending`, with the pipeline pinned. Raises `Conflict` when the sweeper has given the upload up."""
        pipeline = submission.pipeline
        async with self._database.transaction() as session:
            await session.execute(
                insert(PipelineRow)
                .values(digest=pipeline.digest, id=pipeline.id, document=pipeline.model_dump(mode="json"))
                .on_conflict_do_nothing()
            )
            result = await session.execute(
                _while_uploading(job_id).values(
                    state=JobState.PENDING,
                    pipeline_digest=pipeline.digest,
                    frame_stride=submission.sampling.stride,
                    max_frames=submission.sampling.max_frames,
                    chunk_frames=submission.chunk_frames,
                    max_workers=submission.max_workers,
                    source_bytes=submission.source_bytes,
                    traceparent=well_formed(submission.traceparent),
                    upload_id=None,
                )
            )
            _expect_one(result)

    async def abandon(self, job_id: UUID, problem: Problem) -> None:
        """`uploading` → `failed`. Raises `Conflict` when the job is not uploading (any more)."""
        await self._change(
            job_id,
            state=JobState.FAILED,
            error_code=problem.code,
            error_message=problem.message,
            finished_at=func.now(),
        )

    async def _change(self, job_id: UUID, **values: object) -> None:
        async with self._database.transaction() as session:
            _expect_one(await session.execute(_while_uploading(job_id).values(**values)))


def _while_uploading(job_id: UUID) -> Update:
    condition = (col(JobRow.id) == job_id) & (col(JobRow.state) == JobState.UPLOADING)
    return update(JobRow).where(condition).values(heartbeat_at=func.now(), updated_at=func.now())


def _expect_one(result: Result[Any]) -> None:
    if not changed(result):
        raise Conflict("the job is not uploading any more")
