"""The sweeper's reads and writes: uploads that nobody continues, and ended jobs that may have left something in the store."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select, tuple_, update
from sqlmodel import col

from vidette_core.adapters.postgres.engine import Database, changed
from vidette_core.adapters.postgres.schema import ChunkRow, JobRow
from vidette_core.domain.errors import Problem
from vidette_core.domain.jobs import JobState
from vidette_core.ports.jobs import Leftover

BATCH = 100


class PostgresSweeping:
    """See `ports.jobs.Sweeping`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def give_up_uploads(self, silence_s: float, problem: Problem) -> list[Leftover]:
        """`uploading` → `failed` for every job whose heartbeat is older than `silence_s`."""
        silent = col(JobRow.heartbeat_at) < func.now() - timedelta(seconds=silence_s)
        statement = (
            update(JobRow)
            .where(col(JobRow.state) == JobState.UPLOADING, silent)
            .values(
                state=JobState.FAILED,
                error_code=problem.code,
                error_message=problem.message,
                finished_at=func.now(),
                updated_at=func.now(),
            )
            .returning(JobRow)
        )
        async with self._database.transaction() as session:
            return [_leftover(row) for row in (await session.execute(statement)).scalars()]

    async def unswept(self, age_s: float, after: Leftover | None) -> list[Leftover]:
        """A batch of jobs that ended `age_s` ago or earlier and were not swept yet, the oldest first."""
        expired = col(JobRow.finished_at) < func.now() - timedelta(seconds=age_s)
        statement = select(JobRow).where(expired, col(JobRow.swept_at).is_(None))
        if after is not None:
            statement = statement.where(
                tuple_(col(JobRow.finished_at), col(JobRow.id)) > (after.ended_at, after.job_id)
            )
        statement = statement.order_by(col(JobRow.finished_at), col(JobRow.id)).limit(BATCH)
        async with self._database.transaction() as session:
            return [_leftover(row) for row in (await session.execute(statement)).scalars()]

    async def committed(self, job_id: UUID) -> set[str]:
        """The keys that are results: about 100 bytes for each chunk, 5 MB for ten million frames."""
        statement = select(col(ChunkRow.key)).where(col(ChunkRow.job_id) == job_id)
        async with self._database.transaction() as session:
            return set((await session.execute(statement)).scalars())

    async def mark_swept(self, job_id: UUID) -> bool:
        statement = update(JobRow).where(col(JobRow.id) == job_id).values(swept_at=func.now())
        async with self._database.transaction() as session:
            return changed(await session.execute(statement))


def _leftover(row: JobRow) -> Leftover:
    assert row.finished_at is not None, "the job has ended"
    return Leftover(row.id, row.source_key, row.upload_id, row.finished_at, row.pipeline_digest is not None)
