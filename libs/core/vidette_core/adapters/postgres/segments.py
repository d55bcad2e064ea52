"""The gateway's writes: claims, leases and fenced commits, on the database's clock.

Every write locks the segment's row (`FOR NO KEY UPDATE`: a plain share lock would deadlock with a retried twin) and compares
its epoch with the fence. A zombie's epoch is lower, so it changes nothing and learns so by `Conflict`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Select, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from vidette_core.adapters.postgres.engine import Database, database_now
from vidette_core.adapters.postgres.fencing import add_warnings, held, locked_job
from vidette_core.adapters.postgres.schema import ChunkRow, JobRow, SegmentRow
from vidette_core.domain.chunks import ChunkClaim, chunk_key, is_on_boundary
from vidette_core.domain.errors import Problem
from vidette_core.domain.jobs import Fence, JobState, JobWarning, SegmentState
from vidette_core.domain.planning import progress_of
from vidette_core.domain.sampling import Sampling
from vidette_core.ports.errors import Conflict
from vidette_core.ports.jobs import Busy, Claimed, Committed, Expected, Over, Terms


class PostgresSegments:
    """See `ports.jobs.Segments`."""

    def __init__(self, database: Database, *, lease_s: float, max_stalled_claims: int) -> None:
        self._database = database
        self._lease = timedelta(seconds=lease_s)
        self._max_stalled_claims = max_stalled_claims

    async def claim(self, job_id: UUID, attempt: int, pod: str) -> Claimed | Busy | Over:
        """Give the pod a segment that nobody holds, whose lease ran out, or that it holds itself (a lost answer)."""
        async with self._database.transaction() as session:
            job = await session.get(JobRow, job_id, with_for_update={"read": True})
            if job is None or job.state is not JobState.RUNNING or job.attempt != attempt or job.cancel_requested_at:
                return Over()
            free = await session.execute(_claimable(job_id, pod, self._max_stalled_claims))
            segment = free.scalar_one_or_none()
            if segment is None:
                unfinished = await session.execute(_open(job_id))
                return Busy() if unfinished.scalar() else Over()
            if pod not in segment.stalled_claims:
                segment.stalled_claims = [*segment.stalled_claims, pod]
            segment.epoch += 1
            segment.holder = pod
            segment.lease_until = await self._lease_end(session)
            fence = Fence(job_id, segment.index, segment.epoch)
            planned = job.expected_samples is not None
            lease_s = self._lease.total_seconds()
            is_planned_by_index = segment.window_end is not None and job.verifies is None
            expected = job.expected_samples if is_planned_by_index else None
            at, end = segment.next_sample, segment.window_end
            return Claimed(fence, at, end, expected, segment.in_decoder_order, planned, lease_s, _terms(job))

    async def renew(self, fence: Fence, samples: int) -> None:
        """Extend the lease; `samples` is how many of the segment's are analysed. Progress never falls. Raises `Conflict`."""
        async with self._database.transaction() as session:
            segment = await held(session, fence)
            _expect_open(segment)
            segment.lease_until = await self._lease_end(session)
            await _raise_progress(session, segment, samples)

    async def terms(self, fence: Fence) -> Terms:
        """What the job pinned, for a holder in force. Raises `Conflict`."""
        async with self._database.transaction() as session:
            # The epoch of a segment that is done does not rise any more, so its token outlives its attempt: it gets no addresses.
            _expect_open(await held(session, fence, lock=False))
            return await _terms_of(session, fence.job_id)

    async def commit(self, fence: Fence, claim: ChunkClaim) -> Committed:
        """Make a stored chunk a result. The identical commit again is fine.

        Raises `Fenced` for a zombie, and `Conflict` for a gap, an overlap, a chunk off its boundary, behind the end or out of the
        window.
        """
        async with self._database.transaction() as session:
            segment = await held(session, fence)
            row, known = await _expected_row(session, segment, fence, claim)
            if known is not None:
                return known
            await session.execute(insert(ChunkRow).values(row))
            segment.next_sample = claim.first_sample + claim.tally.frames
            # Whoever commits and then dies has died on the frames behind this chunk.
            segment.stalled_claims = [segment.holder] if segment.holder else []
            segment.lease_until = await self._lease_end(session)
            await _advance(session, segment)
            return Committed(segment.next_sample, is_new=True)

    async def expect(self, fence: Fence, claim: ChunkClaim) -> Expected:
        """What `commit` would say of the chunk now: what cannot become a result need not be stored. Raises as `commit` does."""
        async with self._database.transaction() as session:
            row, known = await _expected_row(session, await held(session, fence, lock=False), fence, claim)
            return Expected(str(row["key"]), known)

    async def finish(self, fence: Fence, end_sample: int, warnings: tuple[JobWarning, ...]) -> None:
        """The holder has committed the segment's last chunk. The same again is fine, also once the job is over."""
        async with self._database.transaction() as session:
            known = await session.get(SegmentRow, (fence.job_id, fence.segment))
            if known is not None and (known.epoch, known.end_sample) == (fence.epoch, end_sample):
                return
            segment = await held(session, fence)
            _expect_open(segment)
            planned_end = end_sample if segment.window_end is None else segment.window_end
            if not segment.next_sample == end_sample == planned_end or end_sample == 0:
                raise Conflict(f"the segment is at sample {segment.next_sample}, it cannot end at {end_sample}")
            segment.state, segment.end_sample = SegmentState.DONE, end_sample
            # A sign of life of the job: its worker needs a moment to claim the next segment.
            segment.lease_until = await database_now(session)
            await add_warnings(session, fence.job_id, warnings)

    async def report(self, fence: Fence, problem: Problem) -> None:
        """The holder says that the job cannot succeed; the controller ends it. Raises `Conflict`."""
        async with self._database.transaction() as session:
            segment = await held(session, fence)
            _expect_open(segment)
            segment.error_code, segment.error_message = problem.code, problem.message

    async def _lease_end(self, session: AsyncSession) -> datetime:
        end = await session.execute(select(func.now() + self._lease))
        return end.scalar_one()


async def _expected_row(
    session: AsyncSession, segment: SegmentRow, fence: Fence, claim: ChunkClaim
) -> tuple[dict[str, object], Committed | None]:
    """The chunk's row, and what its commit was answered where it is there already. Raises `Conflict` where it has no place."""
    chunk_frames = (await _terms_of(session, fence.job_id)).chunk_frames
    row = _chunk_row(fence, claim, chunk_frames)
    known = await session.get(ChunkRow, (fence.job_id, claim.first_sample))
    if known is not None:
        if any(getattr(known, name) != value for name, value in row.items()):
            raise Conflict(f"sample {claim.first_sample} is committed with other content")
        return row, Committed(segment.next_sample, is_new=False)
    _expect_open(segment)
    if claim.first_sample != segment.next_sample or not is_on_boundary(claim, chunk_frames):
        raise Conflict(f"a chunk at sample {segment.next_sample} is expected, not at {claim.first_sample}")
    _expect_inside(segment, claim, chunk_frames)
    return row, None


def _expect_open(segment: SegmentRow) -> None:
    if segment.state is not SegmentState.OPEN:
        raise Conflict(f"segment {segment.index} is done: it ends at sample {segment.end_sample}")


def _expect_inside(segment: SegmentRow, claim: ChunkClaim, chunk_frames: int) -> None:
    """A window is filled to its end by whole chunks, and only the one that ends it may be shorter."""
    if segment.window_end is None:
        return
    end = claim.first_sample + claim.tally.frames
    if end > segment.window_end or (claim.tally.frames < chunk_frames and end < segment.window_end):
        raise Conflict(f"the segment ends at sample {segment.window_end}, a chunk cannot end at {end}")


def _claimable(job_id: UUID, pod: str, max_stalled_claims: int) -> Select[SegmentRow]:
    """Its own first: a pod that asks again has only missed an answer. One with too many claims ends the job (`no_progress`)."""
    segment = SegmentRow
    few = func.cardinality(col(segment.stalled_claims)) < max_stalled_claims
    known = col(segment.stalled_claims).contains([pod])
    free = or_(col(segment.holder).is_(None), col(segment.lease_until) < func.now(), col(segment.holder) == pod)
    return (
        select(segment)
        .where(col(segment.job_id) == job_id, col(segment.state) == SegmentState.OPEN, free)
        .where(col(segment.error_code).is_(None), or_(few, known))
        .order_by(col(segment.holder).is_distinct_from(pod), col(segment.index))
        .limit(1)
        .with_for_update(key_share=True, skip_locked=True)
    )


def _open(job_id: UUID) -> Select[int]:
    condition = (col(SegmentRow.job_id) == job_id) & (col(SegmentRow.state) == SegmentState.OPEN)
    return select(func.count()).select_from(SegmentRow).where(condition)


async def _terms_of(session: AsyncSession, job_id: UUID) -> Terms:
    job = await session.get(JobRow, job_id)
    assert job is not None, "the segment's foreign key"
    return _terms(job)


def _terms(job: JobRow) -> Terms:
    assert job.pipeline_digest is not None, "the job was submitted"
    assert job.frame_stride is not None, "the job was submitted"
    assert job.chunk_frames is not None, "the job was submitted"
    sampling = Sampling(job.frame_stride, job.max_frames)
    return Terms(job.source_key, job.container, job.pipeline_digest, sampling, job.chunk_frames, job.max_workers)


async def _advance(session: AsyncSession, segment: SegmentRow) -> None:
    """A commit: whatever attempts failed before it, the job is not stalled."""
    await _raise_progress(session, segment, segment.next_sample)
    since = (col(JobRow.stalled_attempts) > 0) | (col(JobRow.waited_attempts) > 0)
    reset = update(JobRow).where(col(JobRow.id) == segment.job_id, since).values(stalled_attempts=0, waited_attempts=0)
    await session.execute(reset)


async def _raise_progress(session: AsyncSession, segment: SegmentRow, analysed: int) -> None:
    """`analysed`: the sample behind the last one that the segment's holder has analysed; all segments count."""
    segment.analysed_sample = max(segment.analysed_sample, analysed)
    await session.flush()
    own = col(SegmentRow.job_id) == segment.job_id
    samples = await session.execute(select(func.sum(SegmentRow.analysed_sample - SegmentRow.first_sample)).where(own))
    job = await locked_job(session, segment.job_id)
    progress = progress_of(int(samples.scalar_one()), job.expected_samples) if job.expected_samples else None
    if progress is not None and progress > (job.progress or 0.0):
        job.progress = progress
        job.updated_at = await database_now(session)


def _chunk_row(fence: Fence, claim: ChunkClaim, chunk_frames: int) -> dict[str, object]:
    return {
        "job_id": fence.job_id,
        "first_sample": claim.first_sample,
        "segment": fence.segment,
        "epoch": fence.epoch,
        "ok": claim.tally.ok,
        "decode_error": claim.tally.decode_error,
        "model_error": claim.tally.model_error,
        "lines_read": claim.text.read,
        "lines_reused": claim.text.reused,
        "bytes": claim.bytes,
        "sha256": claim.sha256,
        "key": chunk_key(fence, claim, chunk_frames),
    }
