"""The client's wish to have a job verified: a job of its own, whose segments are given beforehand."""

from __future__ import annotations

from random import Random
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from vidette_core.adapters.postgres.engine import Database
from vidette_core.adapters.postgres.planning import open_segment
from vidette_core.adapters.postgres.schema import JobRow, SegmentRow
from vidette_core.domain.containers import Container
from vidette_core.domain.jobs import DEFAULT_TENANT, JobState
from vidette_core.domain.verifying import MOST_FRAMES_WITHOUT_INDEX, drawn, frames_in
from vidette_core.ports.errors import Conflict, NotFound

_PINNED = (
    *("tenant", "priority", "container", "source_key", "source_bytes", "pipeline_digest"),
    *("frame_stride", "max_frames", "chunk_frames"),
)
"""What a verification shares with its job."""


class PostgresVerifying:
    """See `ports.jobs.Verifying`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def request(
        self, job_id: UUID, verification_id: UUID, frames: int, seed: int, tenant: str = DEFAULT_TENANT
    ) -> None:
        """Make the verification, `pending`. Raises `NotFound`, and `Conflict` where the job is not completed."""
        async with self._database.transaction() as session:
            job = await session.get(JobRow, job_id, with_for_update={"read": True})
            if job is None or job.tenant != tenant or job.pipeline_digest is None:
                raise NotFound(f"job {job_id}")
            if job.state is not JobState.COMPLETED or job.verifies is not None:
                raise Conflict(job.state.value)
            assert job.chunk_frames is not None, "a completed job was submitted"
            samples = (job.frames_ok or 0) + (job.frames_decode_error or 0) + (job.frames_model_error or 0)
            first_segment = await session.get(SegmentRow, (job_id, 0))
            in_decoder_order = first_segment is not None and first_segment.in_decoder_order
            # Then every window costs a pass from the video's first frame on.
            is_costly = in_decoder_order or job.container == Container.AVI
            most = min(frames, MOST_FRAMES_WITHOUT_INDEX) if is_costly else frames
            windows = drawn(samples, job.chunk_frames, most, Random(seed).sample)
            values = {name: getattr(job, name) for name in _PINNED}
            expected = frames_in(windows)
            values |= {"state": JobState.PENDING, "max_workers": 1, "expected_samples": expected, "verifies": job_id}
            await session.execute(insert(JobRow).values(id=verification_id, **values))
            session.add_all(
                open_segment(verification_id, index, window, in_decoder_order=in_decoder_order)
                for index, window in enumerate(windows)
            )
