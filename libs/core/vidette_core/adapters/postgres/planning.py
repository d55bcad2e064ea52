"""The gateway's writes about a job's segments as a whole: making them by a plan, and going back to one."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import delete, func, text, update
from sqlmodel import col

from vidette_core.adapters.postgres.engine import Database, changed, database_now
from vidette_core.adapters.postgres.fencing import add_warnings, held, lock_segments
from vidette_core.adapters.postgres.schema import ChunkRow, JobRow, SegmentRow
from vidette_core.domain.errors import ErrorCode
from vidette_core.domain.jobs import Fence, JobWarning, SegmentState
from vidette_core.domain.planning import Plan, Window
from vidette_core.ports.errors import Conflict
from vidette_core.ports.jobs import Fenced

_READ_OTHERWISE = (
    "The video is read otherwise now than when it was analysed, so its results cannot be verified. That happens when workers "
    "have another FFmpeg than then; submit the video again to compare."
)
# By the database's clock, from commit to commit of one segment: a worker cannot say it, only be slow. The median, since between
# two commits a worker may have died, or waited for what was away.
_SECONDS_PER_SAMPLE = text(
    """
    WITH recent AS (
        SELECT id FROM jobs
        WHERE pipeline_digest = :digest AND state = 'completed' AND finished_at IS NOT NULL AND verifies IS NULL
        ORDER BY finished_at DESC LIMIT 10
    ), steps AS (
        SELECT samples, extract(epoch FROM created_at - lag(created_at) OVER (
                   PARTITION BY recent.id, segment ORDER BY first_sample)) AS seconds
        FROM recent CROSS JOIN LATERAL (
            SELECT segment, first_sample, created_at, ok + decode_error + model_error AS samples
            FROM chunks WHERE job_id = recent.id ORDER BY first_sample LIMIT 200
        ) AS first_chunks
    )
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds / samples) FROM steps WHERE seconds IS NOT NULL
    """
)


class PostgresPlanning:
    """See `ports.jobs.Planning`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def seconds_per_sample(self, pipeline_digest: str) -> float | None:
        """What one worker has lately taken for a sampled frame of the pipeline; None while no job of it tells."""
        async with self._database.transaction() as session:
            found = (await session.execute(_SECONDS_PER_SAMPLE, {"digest": pipeline_digest})).scalar_one()
        return None if found is None else float(found)

    async def post_plan(self, fence: Fence, plan: Plan) -> int | None:
        """Make the segments of the first plan that comes; a later one changes nothing. The holder's window end is returned."""
        async with self._database.transaction() as session:
            segment = await held(session, fence)
            first_plan = await session.execute(
                update(JobRow)
                .where(col(JobRow.id) == fence.job_id, col(JobRow.expected_samples).is_(None))
                .values(expected_samples=plan.expected_samples, progress=0.0, updated_at=func.now())
            )
            if changed(first_plan):
                first, *others = plan.windows
                segment.window_end = first.end_sample
                session.add_all(
                    open_segment(fence.job_id, index, window) for index, window in enumerate(others, start=1)
                )
                await add_warnings(session, fence.job_id, plan.warnings)
            return segment.window_end

    async def replan(self, fence: Fence, warning: JobWarning) -> None:
        """Drop all chunks, fence all workers, and begin anew with one segment that the decoder counts. Raises `Conflict`."""
        async with self._database.transaction() as session:
            segments = await lock_segments(session, fence.job_id)
            segment = await held(session, fence)
            job = await session.get_one(JobRow, fence.job_id)
            if job.verifies is not None:
                segment.error_code, segment.error_message = ErrorCode.INTERNAL.value, _READ_OTHERWISE
                return
            if segment.in_decoder_order:
                raise Conflict("the decoder counts the video's frames already")
            if job.expected_samples is None:
                raise Conflict("there is no plan yet")
            if segment.state is not SegmentState.OPEN:
                raise Fenced("the segment is done")
            first = segments[0]
            first.state, first.epoch = SegmentState.OPEN, max(each.epoch for each in segments) + 1
            first.next_sample = first.analysed_sample = 0
            first.window_end = first.end_sample = first.holder = None
            first.in_decoder_order = True
            first.lease_until = await database_now(session)  # a sign of life of the job
            first.stalled_claims, first.error_code, first.error_message = [], None, None
            await session.execute(delete(ChunkRow).where(col(ChunkRow.job_id) == fence.job_id))
            rest = (col(SegmentRow.job_id) == fence.job_id) & (col(SegmentRow.index) > 0)
            await session.execute(delete(SegmentRow).where(rest))
            await add_warnings(session, fence.job_id, (warning,))


def open_segment(job_id: UUID, index: int, window: Window, *, in_decoder_order: bool = False) -> SegmentRow:
    return SegmentRow(
        job_id=job_id,
        index=index,
        state=SegmentState.OPEN,
        first_sample=window.first_sample,
        next_sample=window.first_sample,
        analysed_sample=window.first_sample,
        window_end=window.end_sample,
        in_decoder_order=in_decoder_order,
    )
