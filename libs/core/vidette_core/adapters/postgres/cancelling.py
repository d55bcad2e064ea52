"""The client's wish to end a job: one transaction that fences its workers and leaves the ending to the controller."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from vidette_core.adapters.postgres.engine import Database, changed
from vidette_core.adapters.postgres.fencing import fence_segments
from vidette_core.adapters.postgres.schema import JobRow
from vidette_core.domain.errors import ErrorCode
from vidette_core.domain.jobs import JobState
from vidette_core.ports.errors import Conflict, NotFound


class PostgresCancelling:
    """See `ports.jobs.Cancelling`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def request(self, job_id: UUID) -> None:
        """Write down that the job shall end, and fence its workers at once. Raises `NotFound` and `Conflict`."""
        jobs = (col(JobRow.id) == job_id) & col(JobRow.state).in_((JobState.PENDING, JobState.RUNNING))
        wish = func.coalesce(col(JobRow.cancel_requested_at), func.now())
        async with self._database.transaction() as session:
            await fence_segments(session, job_id, forgive=False)
            noted = await session.execute(
                update(JobRow).where(jobs).values(cancel_requested_at=wish, updated_at=func.now())
            )
            if not changed(noted):
                await _explain(session, job_id)


async def _explain(session: AsyncSession, job_id: UUID) -> None:
    """Why there was nothing to cancel; returns when that is just what was asked for."""
    job = await session.get(JobRow, job_id)
    if job is None or job.pipeline_digest is None:
        raise NotFound(f"job {job_id}")
    if job.error_code != ErrorCode.CANCELLED:
        raise Conflict(job.state.value)
