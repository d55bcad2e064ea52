"""The sweeper on a real PostgreSQL and a real store: what died halfway goes, what a reader may want stays."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, update
from sqlmodel import col

from tests.support.jobs import CHUNK_FRAMES, Adapters, adapters, chunk
from tests.support.servers import StoreEndpoint
from tests.support.stores import blob_store
from vidette_controller.settings import SweepSettings
from vidette_controller.sweep import Sweeper
from vidette_core.adapters.postgres.schema import JobRow
from vidette_core.adapters.postgres.sweeping import PostgresSweeping
from vidette_core.adapters.s3 import S3BlobStore
from vidette_core.domain.chunks import chunk_key, results_prefix, source_key
from vidette_core.domain.errors import ErrorCode, Problem
from vidette_core.domain.ledger import verdict
from vidette_core.ports.errors import Conflict, NotFound

PART = b"x" * 5 * 2**20


@dataclass(frozen=True, slots=True)
class World:
    db: Adapters
    store: S3BlobStore
    sweeper: Sweeper

    async def keys(self, prefix: str) -> set[str]:
        return {key async for key in self.store.list(prefix)}

    async def begin_upload(self) -> tuple[UUID, str]:
        """An upload with one part in the store, and its id."""
        job_id = uuid.uuid4()
        await self.db.submissions.begin(job_id, container="mov", source_key=source_key(job_id))
        upload_id = await self.store.create_upload(source_key(job_id))
        await self.db.submissions.record_upload(job_id, upload_id)
        await self.store.upload_part(source_key(job_id), upload_id, 1, PART)
        return job_id, upload_id

    async def make_older(self, job_id: UUID, seconds: float) -> None:
        age = timedelta(seconds=seconds)
        change = update(JobRow).where(col(JobRow.id) == job_id)
        change = change.values(heartbeat_at=func.now() - age, finished_at=col(JobRow.finished_at) - age)
        async with self.db.database.transaction() as session:
            await session.execute(change)


@pytest.fixture
async def world(postgres_url: str, s3: StoreEndpoint) -> AsyncIterator[World]:
    async with adapters(postgres_url) as db, blob_store(s3) as store:
        yield World(db, store, Sweeper(PostgresSweeping(db.database), store, SweepSettings()))


async def test_an_upload_without_a_heartbeat_is_failed_and_its_parts_are_dropped(world: World) -> None:
    job_id, upload_id = await world.begin_upload()
    await world.make_older(job_id, 3600)
    await world.sweeper.sweep()
    with pytest.raises(Conflict):
        await world.db.submissions.heartbeat(job_id)
    with pytest.raises(NotFound):
        await world.store.upload_part(source_key(job_id), upload_id, 2, PART)


async def test_an_upload_with_a_heartbeat_is_left_alone(world: World) -> None:
    job_id, upload_id = await world.begin_upload()
    await world.sweeper.sweep()
    await world.db.submissions.heartbeat(job_id)
    assert await world.store.upload_part(source_key(job_id), upload_id, 2, PART)


async def test_a_video_that_was_stored_but_never_submitted_is_removed_once_its_job_has_failed(world: World) -> None:
    job_id, upload_id = await world.begin_upload()
    etag = await world.store.upload_part(source_key(job_id), upload_id, 1, PART)
    await world.store.complete_upload(source_key(job_id), upload_id, {1: etag})
    await world.db.submissions.abandon(job_id, Problem(ErrorCode.UPLOAD_ABORTED, "gone"))
    await world.make_older(job_id, 3600)
    await world.sweeper.sweep()
    assert await world.keys(source_key(job_id)) == set()


async def finished_job(world: World) -> tuple[UUID, str, str]:
    """A completed job; its committed chunk's key, and that of a chunk which came from a zombie and was never committed."""
    job_id = await world.db.submit()
    await world.db.run()
    claimed = await world.db.claim(job_id)
    await world.store.put(source_key(job_id), b"content")
    committed, lost = chunk(0), chunk(0, content="zombie")
    keys = [chunk_key(claimed.fence, some, CHUNK_FRAMES) for some in (committed, lost)]
    for key in keys:
        await world.store.put(key, b"content")
    await world.db.segments.commit(claimed.fence, committed)
    await world.db.segments.finish(claimed.fence, CHUNK_FRAMES, ())
    assert await world.db.schedule.finish(job_id, lambda balance: verdict(balance, 1.0)) == "completed"
    return job_id, keys[0], keys[1]


async def test_chunks_that_nobody_committed_go_when_the_job_has_ended_and_results_and_video_stay(world: World) -> None:
    job_id, committed, lost = await finished_job(world)
    await world.make_older(job_id, 3600)
    await world.sweeper.sweep()
    keys = await world.keys(results_prefix(job_id))
    assert committed in keys
    assert lost not in keys
    assert await world.store.size(source_key(job_id)) > 0


async def test_nothing_of_a_job_is_touched_while_a_write_may_still_land(world: World) -> None:
    job_id, committed, lost = await finished_job(world)
    await world.make_older(job_id, SweepSettings().settle_s / 2)
    await world.sweeper.sweep()
    assert await world.keys(results_prefix(job_id)) == {committed, lost}


async def test_a_running_job_is_never_touched_however_old(world: World) -> None:
    job_id = await world.db.submit()
    await world.db.run()
    claimed = await world.db.claim(job_id)
    uploaded = chunk_key(claimed.fence, chunk(0), CHUNK_FRAMES)
    await world.store.put(uploaded, b"content")
    await world.make_older(job_id, 10**6)
    await world.sweeper.sweep()
    assert await world.keys(results_prefix(job_id)) == {uploaded}
