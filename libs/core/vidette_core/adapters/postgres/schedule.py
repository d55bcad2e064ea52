"""The controller's reads and writes: who runs, which attempt, and when a job is over.

Every write is a compare-and-set on what the planner saw (state and attempt), so that any number of controllers may run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from sqlalchemy import Update, func, select, text, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from vidette_core.adapters.postgres.engine import Database, changed, database_now
from vidette_core.adapters.postgres.fencing import fence_segments
from vidette_core.adapters.postgres.schema import ChunkRow, JobRow, PipelineRow, SegmentRow, problem_of
from vidette_core.domain.errors import ErrorCode, Problem
from vidette_core.domain.jobs import JobState, SegmentState, Tally, TextCounts
from vidette_core.domain.ledger import Entry, Imbalance, SegmentRecord, reconcile
from vidette_core.domain.schedule import LEAVING, RunningJob, RunningSegment, Snapshot
from vidette_core.ports.jobs import Caps, Launch, WorkerCaps

_CAPS_LOCK = 0x636C61696D  # "claim" in ASCII: the caps are counted and used up by one controller at a time

# Fair order: the tenant with the fewest running jobs first, counting those picked here; then priority, then age.
_FAIR_ORDER = text(
    """
    WITH running AS (
        SELECT tenant, count(*) AS n FROM jobs WHERE state = 'running' GROUP BY tenant
    ), queued AS (
        SELECT j.id, j.tenant, j.priority, j.created_at,
               coalesce(r.n, 0) + row_number() OVER (
                   PARTITION BY j.tenant ORDER BY j.priority DESC, j.created_at, j.id) AS turn
        FROM jobs j LEFT JOIN running r USING (tenant)
        WHERE j.state = 'pending' AND j.cancel_requested_at IS NULL
    ), picked AS (
        SELECT id, turn FROM queued
        WHERE turn <= :per_tenant
        ORDER BY turn, priority DESC, created_at, id
        LIMIT greatest(0, :running - (SELECT coalesce(sum(n), 0) FROM running))
    )
    SELECT j.id FROM jobs j JOIN picked p USING (id)
    ORDER BY p.turn, j.priority DESC, j.created_at, j.id
    FOR NO KEY UPDATE OF j SKIP LOCKED
    """
)


class PostgresSchedule:
    """See `ports.jobs.Schedule`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, caps: Caps, launch: Callable[[UUID, int], Launch]) -> list[UUID]:
        """`pending` → `running`, as many as the caps allow, counted and claimed in one transaction."""
        async with self._database.transaction() as session:
            await _lock_caps(session)
            limits = {"running": caps.running, "per_tenant": caps.running_per_tenant}
            picked = [UUID(str(row.id)) for row in await session.execute(_FAIR_ORDER, limits)]
            for job_id in picked:
                await session.execute(_start_attempt(job_id, JobState.PENDING, 0, launch(job_id, 1)))
                # Here and not at the first claim of a worker, so that fencing an attempt always meets a segment.
                await session.execute(_first_segment(job_id))
        return picked

    async def end_cancelled(self, problem: Problem) -> list[UUID]:
        """`pending` → `failed` for every job that shall be cancelled and was never claimed."""
        condition = (col(JobRow.state) == JobState.PENDING) & col(JobRow.cancel_requested_at).is_not(None)
        statement = update(JobRow).where(condition).values(**_failed(problem), updated_at=func.now())
        async with self._database.transaction() as session:
            return list((await session.execute(statement.returning(col(JobRow.id)))).scalars())

    async def snapshot(self) -> Snapshot:
        """All running jobs with their segments, and the database's time."""
        running = col(JobRow.state) == JobState.RUNNING
        is_pinned = col(PipelineRow.digest) == col(JobRow.pipeline_digest)
        jobs_of = select(JobRow, col(PipelineRow.id)).join(PipelineRow, is_pinned).where(running)
        segments_of = (
            select(SegmentRow)
            .join(JobRow, col(JobRow.id) == col(SegmentRow.job_id))
            .where(running)
            .order_by(col(SegmentRow.index))
        )
        ended_of = select(col(JobRow.id)).where(
            col(JobRow.finished_at) > func.now() - LEAVING, col(JobRow.error_code).is_distinct_from(ErrorCode.CANCELLED)
        )
        pending_of = select(func.count(), func.min(col(JobRow.created_at))).where(col(JobRow.state) == JobState.PENDING)
        async with self._database.transaction() as session:
            now = await database_now(session)
            jobs = (await session.execute(jobs_of.order_by(col(JobRow.started_at)))).all()
            segments = (await session.execute(segments_of)).scalars().all()
            ended = frozenset((await session.execute(ended_of)).scalars())
            pending, oldest = (await session.execute(pending_of)).one()
        own: dict[UUID, list[SegmentRow]] = {}
        for segment in segments:
            own.setdefault(segment.job_id, []).append(segment)
        running_jobs = tuple(_running_job(job, pipeline, own.get(job.id, ())) for job, pipeline in jobs)
        return Snapshot(now, running_jobs, ended, pending, oldest)

    async def record_uid(self, job_id: UUID, attempt: int, uid: str) -> bool:
        """Store the uid of the attempt's launched job. False when the attempt is not the current one, or has another."""
        free = col(JobRow.launch_uid).is_(None) | (col(JobRow.launch_uid) == uid)
        return await self._change(_running(job_id, attempt).where(free).values(launch_uid=uid))

    async def grow(self, job_id: UUID, attempt: int, wanted: int, caps: WorkerCaps) -> int:
        """Give the job up to `wanted` workers, as far as the caps have room, and return how many it has now."""
        running = col(JobRow.state) == JobState.RUNNING
        async with self._database.transaction() as session:
            await _lock_caps(session)
            job = await session.get(JobRow, job_id, with_for_update={"key_share": True})
            if job is None or job.state is not JobState.RUNNING or job.attempt != attempt:
                return 0
            own = func.sum(JobRow.workers).filter(col(JobRow.tenant) == job.tenant)
            everyone, tenant = (await session.execute(select(func.sum(JobRow.workers), own).where(running))).one()
            room = max(0, min(caps.workers - everyone, caps.workers_per_tenant - tenant))
            job.workers = max(job.workers, min(wanted, job.workers + room))
            return job.workers

    async def next_attempt(
        self, job_id: UUID, attempt: int, launch: Launch, *, blame: bool, more_memory: bool = False
    ) -> bool:
        """Raise the attempt and every segment's epoch, which fences the old attempt's workers at once.

        `blame` counts the attempt against the job; without it, the claims of its pods are forgiven too. `more_memory` is kept
        for this attempt and all that follow. It begins with one worker.
        """
        async with self._database.transaction() as session:
            await fence_segments(session, job_id, forgive=not blame)
            start = _start_attempt(job_id, JobState.RUNNING, attempt, launch).values(
                stalled_attempts=col(JobRow.stalled_attempts) + int(blame),
                waited_attempts=col(JobRow.waited_attempts) + int(not blame),
                more_memory=col(JobRow.more_memory) | more_memory,
                workers=1,
            )
            result = await session.execute(start)
            if not changed(result):
                await session.rollback()
                return False
            return True

    async def release(self, job_id: UUID, attempt: int, pods: Sequence[str], blameless: Sequence[str]) -> bool:
        """Let the segments of pods that have ended be claimed at once, instead of after their lease.

        The claims of `blameless` pods, which ended for want of something else, do not count as stalled.
        """
        statement = (
            select(SegmentRow)
            .join(JobRow, col(JobRow.id) == col(SegmentRow.job_id))
            .where(col(SegmentRow.job_id) == job_id, col(JobRow.attempt) == attempt, col(SegmentRow.holder).in_(pods))
            .order_by(col(SegmentRow.index))
            .with_for_update(key_share=True, of=SegmentRow)
            .execution_options(populate_existing=True)
        )
        async with self._database.transaction() as session:
            segments = (await session.execute(statement)).scalars().all()
            now = await database_now(session)
            for segment in segments:
                segment.holder, segment.lease_until = None, now
                segment.stalled_claims = [pod for pod in segment.stalled_claims if pod not in blameless]
        return bool(segments)

    async def fail(self, job_id: UUID, attempt: int, problem: Problem) -> bool:
        """`running` → `failed`. A commit under way may still land; readers are shown nothing of a failed job."""
        return await self._change(_running(job_id, attempt).values(**_failed(problem)))

    async def finish(self, job_id: UUID, judge: Callable[[Tally | Imbalance], Problem | None]) -> str | None:
        """`running` → `completed`, or `failed` by the judge's problem; the ledger is read under a lock on the row.

        Returns the outcome (`completed` or the problem's code), or None when the job is not running any more or shall be
        cancelled.
        """
        async with self._database.transaction() as session:
            job = await session.get(JobRow, job_id, with_for_update={"key_share": True})
            if job is None or job.state is not JobState.RUNNING or job.cancel_requested_at:
                return None
            balance = await _balance(session, job_id, has_gaps=job.verifies is not None)
            # Frames that err are no failure of a verification: it is there to tell whether they erred before.
            problem = judge(balance) if job.verifies is None or isinstance(balance, Imbalance) else None
            values: dict[str, object] = {
                "state": JobState.FAILED if problem else JobState.COMPLETED,
                "progress": job.progress if problem else 1.0,
                "error_code": problem.code if problem else None,
                "error_message": problem.message if problem else None,
                "finished_at": func.now(),
            }
            if isinstance(balance, Tally):
                values["frames_ok"] = balance.ok
                values["frames_decode_error"] = balance.decode_error
                values["frames_model_error"] = balance.model_error
                text_counts = await _text_counts(session, job_id)
                values["lines_read"], values["lines_reused"] = text_counts.read, text_counts.reused
            await session.execute(_running(job_id, job.attempt).values(**values))
        return problem.code.value if problem else JobState.COMPLETED.value

    async def _change(self, statement: Update) -> bool:
        async with self._database.transaction() as session:
            return changed(await session.execute(statement))


async def _lock_caps(session: AsyncSession) -> None:
    await session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _CAPS_LOCK})


def _running(job_id: UUID, attempt: int) -> Update:
    job = (col(JobRow.id) == job_id) & (col(JobRow.state) == JobState.RUNNING) & (col(JobRow.attempt) == attempt)
    return update(JobRow).where(job).values(updated_at=func.now())


def _failed(problem: Problem) -> dict[str, object]:
    return {
        "state": JobState.FAILED,
        "error_code": problem.code,
        "error_message": problem.message,
        "finished_at": func.now(),
    }


def _start_attempt(job_id: UUID, state: JobState, attempt: int, launch: Launch) -> Update:
    job = (col(JobRow.id) == job_id) & (col(JobRow.state) == state) & (col(JobRow.attempt) == attempt)
    return (
        update(JobRow)
        .where(job)
        .values(
            state=JobState.RUNNING,
            attempt=attempt + 1,
            launch_name=launch.name,
            launch_uid=None,
            spec_hash=launch.spec_hash,
            started_at=func.now(),
            updated_at=func.now(),
        )
    )


def _first_segment(job_id: UUID) -> Insert:
    values = {"job_id": job_id, "index": 0, "state": SegmentState.OPEN, "first_sample": 0, "next_sample": 0, "epoch": 0}
    return insert(SegmentRow).values(values).on_conflict_do_nothing()


async def _balance(session: AsyncSession, job_id: UUID, *, has_gaps: bool) -> Tally | Imbalance:
    segments = await session.execute(select(SegmentRow).where(col(SegmentRow.job_id) == job_id))
    records = [
        SegmentRecord(row.index, SegmentState(row.state), row.first_sample, row.next_sample, row.end_sample)
        for row in segments.scalars()
    ]
    counts = (col(ChunkRow.ok), col(ChunkRow.decode_error), col(ChunkRow.model_error))
    chunks = await session.execute(select(col(ChunkRow.first_sample), *counts).where(col(ChunkRow.job_id) == job_id))
    entries = [Entry(first_sample, Tally(*ends)) for first_sample, *ends in chunks]
    return reconcile(records, entries, has_gaps=has_gaps)


async def _text_counts(session: AsyncSession, job_id: UUID) -> TextCounts:
    sums = select(func.coalesce(func.sum(ChunkRow.lines_read), 0), func.coalesce(func.sum(ChunkRow.lines_reused), 0))
    return TextCounts(*(await session.execute(sums.where(col(ChunkRow.job_id) == job_id))).one())


def _running_job(job: JobRow, pipeline_id: str, segments: Sequence[SegmentRow]) -> RunningJob:
    assert job.launch_name is not None, "a running job has been claimed"
    assert job.started_at is not None, "a running job has been claimed"
    return RunningJob(
        id=job.id,
        attempt=job.attempt,
        stalled_attempts=job.stalled_attempts,
        waited_attempts=job.waited_attempts,
        launch_name=job.launch_name,
        launch_uid=job.launch_uid,
        started_at=job.started_at,
        cancelled=job.cancel_requested_at is not None,
        segments=tuple(_running_segment(row) for row in segments),
        workers=job.workers,
        max_workers=job.max_workers,
        more_memory=job.more_memory,
        pipeline_id=pipeline_id,
        traceparent=job.traceparent,
    )


def _running_segment(row: SegmentRow) -> RunningSegment:
    return RunningSegment(
        index=row.index,
        done=SegmentState(row.state) is SegmentState.DONE,
        holder=row.holder,
        lease_until=row.lease_until,
        stalled_claims=tuple(row.stalled_claims),
        problem=problem_of(row),
    )
