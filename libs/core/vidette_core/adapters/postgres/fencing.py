"""Who may write a segment: its fence in force. And fencing all workers of a job at once, so that none of them can any more."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from vidette_core.adapters.postgres.engine import database_now
from vidette_core.adapters.postgres.schema import JobRow, SegmentRow
from vidette_core.domain.jobs import Fence, JobState, JobWarning, SegmentState
from vidette_core.ports.jobs import Fenced


async def held(session: AsyncSession, fence: Fence, *, lock: bool = True) -> SegmentRow:
    """The fence's segment, locked, of a running job. Raises `Conflict` when the fence is not in force."""
    statement = (
        select(SegmentRow)
        .join(JobRow, col(JobRow.id) == col(SegmentRow.job_id))
        .where(
            col(SegmentRow.job_id) == fence.job_id,
            col(SegmentRow.index) == fence.segment,
            col(SegmentRow.epoch) == fence.epoch,
            col(JobRow.state) == JobState.RUNNING,
        )
    )
    if lock:
        statement = statement.with_for_update(key_share=True, of=SegmentRow)
    # As it is behind the lock, also if the session has met the row before.
    statement = statement.execution_options(populate_existing=True)
    segment = (await session.execute(statement)).scalar_one_or_none()
    if segment is None:
        raise Fenced("another worker has taken over, or the job is over")
    return segment


async def fence_segments(session: AsyncSession, job_id: UUID, *, forgive: bool) -> None:
    """Raise the epoch of every unfinished segment. `forgive` forgets the claims that came to nothing.

    To be called before the job's own row is changed, since commits lock segments first: the other way round the two would
    deadlock.
    """
    await lock_segments(session, job_id)
    fence = update(SegmentRow).where(col(SegmentRow.job_id) == job_id, col(SegmentRow.state) == SegmentState.OPEN)
    fence = fence.values(epoch=col(SegmentRow.epoch) + 1, holder=None, lease_until=None)
    await session.execute(fence.values(stalled_claims=[]) if forgive else fence)


async def lock_segments(session: AsyncSession, job_id: UUID) -> list[SegmentRow]:
    """All segments of the job, locked in their order: whoever locks several does so by this, or two would deadlock."""
    ordered = select(SegmentRow).where(col(SegmentRow.job_id) == job_id).order_by(col(SegmentRow.index))
    locked = ordered.with_for_update(key_share=True).execution_options(populate_existing=True)
    return list((await session.execute(locked)).scalars())


async def locked_job(session: AsyncSession, job_id: UUID) -> JobRow:
    """The row of a job that has segments, behind whose locks it is locked."""
    job = await session.get(JobRow, job_id, with_for_update={"key_share": True}, populate_existing=True)
    assert job is not None, "the segment's foreign key"
    return job


async def add_warnings(session: AsyncSession, job_id: UUID, warnings: Sequence[JobWarning]) -> None:
    """Those that the job does not have yet: of several segments, each may have the same to say."""
    job = await locked_job(session, job_id)
    told = [{"code": warning.code, "message": warning.message} for warning in warnings]
    new = [row for row in told if row not in job.warnings]
    if new:
        job.warnings = [*job.warnings, *new]
        job.updated_at = await database_now(session)
