"""Jobs made by hand on a real database, through the adapters that the services use."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from uuid import UUID, uuid4

from pydantic import SecretStr
from sqlalchemy import update
from sqlmodel import col

from vidette_core.adapters.postgres.cancelling import PostgresCancelling
from vidette_core.adapters.postgres.engine import Database
from vidette_core.adapters.postgres.planning import PostgresPlanning
from vidette_core.adapters.postgres.reading import PostgresReader
from vidette_core.adapters.postgres.schedule import PostgresSchedule
from vidette_core.adapters.postgres.schema import JobRow
from vidette_core.adapters.postgres.segments import PostgresSegments
from vidette_core.adapters.postgres.submissions import PostgresSubmissions
from vidette_core.adapters.postgres.verifying import PostgresVerifying
from vidette_core.domain.chunks import ChunkClaim, source_key
from vidette_core.domain.jobs import Tally
from vidette_core.domain.pipelines import Pipeline
from vidette_core.domain.planning import Plan, Window
from vidette_core.domain.sampling import Sampling
from vidette_core.ports.jobs import (
    Cancelling,
    Caps,
    Claimed,
    JobReader,
    Launch,
    Planning,
    Schedule,
    Segments,
    Submission,
    Submissions,
    Verifying,
    WorkerCaps,
)
from vidette_core.settings import DatabaseSettings

PIPELINE = Pipeline(id="nothing", description="No model at all.", detector=None, text=None)
CHUNK_FRAMES = 10
PLENTY = Caps(1000, 1000)
MANY_WORKERS = WorkerCaps(1000, 1000)


@dataclass(frozen=True, slots=True)
class Adapters:
    """Everything of one database."""

    database: Database
    submissions: Submissions
    reader: JobReader
    segments: Segments
    planning: Planning
    schedule: Schedule
    cancelling: Cancelling
    verifying: Verifying

    async def submit(
        self,
        sampling: Sampling | None = None,
        *,
        chunk_frames: int = CHUNK_FRAMES,
        tenant: str = "default",
        priority: int = 0,
    ) -> UUID:
        """A pending job. Its priority is set directly: the api has no field for it yet."""
        job_id = uuid4()
        await self.submissions.begin(job_id, container="mov", source_key=source_key(job_id), tenant=tenant)
        submission = Submission(PIPELINE, sampling or Sampling(), chunk_frames, source_bytes=1000)
        await self.submissions.submit(job_id, submission)
        change = update(JobRow).where(col(JobRow.id) == job_id).values(priority=priority)
        async with self.database.transaction() as session:
            await session.execute(change)
        return job_id

    async def run(self, caps: Caps = PLENTY) -> list[UUID]:
        """Claim what is pending, as the controller does."""
        return await self.schedule.claim(caps, launch)

    async def claim(self, job_id: UUID, pod: str = "pod-1", attempt: int = 1) -> Claimed:
        claimed = await self.segments.claim(job_id, attempt, pod)
        assert isinstance(claimed, Claimed), claimed
        return claimed

    async def plan(self, claimed: Claimed, frames: int, workers: int = 1) -> int | None:
        """As the gateway does; `workers` is the number of segments, if there are chunks enough."""
        made = cut(claimed.terms.sampling.count(frames), claimed.terms.chunk_frames, workers)
        return await self.planning.post_plan(claimed.fence, made)


def cut(samples: int, chunk_frames: int, workers: int) -> Plan:
    """A plan of as many windows, if there are chunks enough: shorter ones than any that is worth a worker."""
    chunks = -(-samples // chunk_frames)
    count = min(workers, chunks)
    bounds = [number * chunks // count * chunk_frames for number in range(count)] + [samples]
    windows = (Window(0),) if count == 1 else tuple(Window(first, end) for first, end in pairwise(bounds))
    return Plan(samples, windows)


def launch(job_id: UUID, attempt: int) -> Launch:
    return Launch(f"vidette-{job_id}-a{attempt}", "spec")


def chunk(first_sample: int, frames: int = CHUNK_FRAMES, content: str = "", **errors: int) -> ChunkClaim:
    """What a worker would say of a chunk; `errors` are counts of decode_error and model_error among its frames."""
    tally = replace(Tally(ok=frames - sum(errors.values())), **errors)
    digest = hashlib.sha256(f"{first_sample} {content}".encode()).hexdigest()
    return ChunkClaim(first_sample, tally, 100, digest)


@asynccontextmanager
async def adapters(
    url: str, *, lease_s: float = 30.0, max_stalled_claims: int = 12, timeout_s: float = 10.0
) -> AsyncIterator[Adapters]:
    database = Database(DatabaseSettings(url=SecretStr(url), timeout_s=timeout_s))
    try:
        yield Adapters(
            database,
            PostgresSubmissions(database),
            PostgresReader(database),
            PostgresSegments(database, lease_s=lease_s, max_stalled_claims=max_stalled_claims),
            PostgresPlanning(database),
            PostgresSchedule(database),
            PostgresCancelling(database),
            PostgresVerifying(database),
        )
    finally:
        await database.close()
