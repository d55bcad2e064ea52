"""Fencing all workers of a job at once: whoever holds one of its segments can write no more."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from vidette_core.adapters.postgres.schema import SegmentRow
from vidette_core.domain.jobs import SegmentState


async def fence_segments(session: AsyncSession, job_id: UUID, *, forgive: bool) -> None:
    """Raise the epoch of every unfinished segment. `forgive` forgets the claims that came to nothing.

    To be called before the job's own row is changed, since commits lock segments first: the other way round the two would
    deadlock.
    """
    fence = update(SegmentRow).where(col(SegmentRow.job_id) == job_id, col(SegmentRow.state) == SegmentState.OPEN)
    fence = fence.values(epoch=col(SegmentRow.epoch) + 1, holder=None, lease_until=None)
    await session.execute(fence.values(stalled_claims=[]) if forgive else fence)
