"""Cancelling on a real PostgreSQL: workers are fenced in the same moment, and the job always ends as cancelled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.support.jobs import CHUNK_FRAMES, Adapters, adapters, chunk
from vidette_controller.checks import CANCELLED
from vidette_core.domain.jobs import JobState
from vidette_core.domain.ledger import verdict
from vidette_core.ports.errors import Conflict, NotFound
from vidette_core.ports.jobs import Claimed, Fenced, Over


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[Adapters]:
    async with adapters(postgres_url) as made:
        yield made


async def test_a_waiting_job_is_never_started_and_ends_as_cancelled(db: Adapters) -> None:
    job_id, other = await db.submit(), await db.submit()
    await db.cancelling.request(job_id)
    assert await db.run() == [other]
    assert await db.schedule.end_cancelled(CANCELLED) == [job_id]
    assert await db.schedule.end_cancelled(CANCELLED) == []
    job = await db.reader.job(job_id)
    assert (job.state, job.problem) == (JobState.FAILED, CANCELLED)


async def test_a_running_jobs_worker_can_write_no_more_and_no_other_gets_the_segment(db: Adapters) -> None:
    job_id = await db.submit()
    await db.run()
    claimed = await db.segments.claim(job_id, 1, "pod-1")
    assert isinstance(claimed, Claimed)
    await db.cancelling.request(job_id)
    with pytest.raises(Fenced):
        await db.segments.commit(claimed.fence, chunk(0))
    assert isinstance(await db.segments.claim(job_id, 1, "pod-2"), Over)
    (running,) = (await db.schedule.snapshot()).jobs
    assert running.cancelled
    assert await db.schedule.fail(job_id, 1, CANCELLED)
    assert (await db.reader.job(job_id)).problem == CANCELLED


async def test_a_job_whose_last_frame_came_first_is_cancelled_all_the_same(db: Adapters) -> None:
    job_id = await db.submit()
    await db.run()
    claimed = await db.segments.claim(job_id, 1, "pod-1")
    assert isinstance(claimed, Claimed)
    await db.segments.commit(claimed.fence, chunk(0))
    await db.segments.finish(claimed.fence, CHUNK_FRAMES, ())
    await db.cancelling.request(job_id)
    assert await db.schedule.finish(job_id, lambda balance: verdict(balance, 1.0)) is None
    assert await db.schedule.fail(job_id, 1, CANCELLED)


async def test_asking_again_is_fine_also_once_it_has_ended(db: Adapters) -> None:
    job_id = await db.submit()
    await db.cancelling.request(job_id)
    await db.cancelling.request(job_id)
    await db.schedule.end_cancelled(CANCELLED)
    await db.cancelling.request(job_id)


async def test_a_job_that_ended_otherwise_cannot_be_cancelled(db: Adapters) -> None:
    job_id = await db.submit()
    await db.run()
    claimed = await db.segments.claim(job_id, 1, "pod-1")
    assert isinstance(claimed, Claimed)
    await db.segments.commit(claimed.fence, chunk(0))
    await db.segments.finish(claimed.fence, CHUNK_FRAMES, ())
    assert await db.schedule.finish(job_id, lambda balance: verdict(balance, 1.0)) == "completed"
    with pytest.raises(Conflict):
        await db.cancelling.request(job_id)
    assert (await db.reader.job(job_id)).state is JobState.COMPLETED


async def test_what_is_no_job_for_clients_cannot_be_cancelled(db: Adapters) -> None:
    uploading = uuid4()
    await db.submissions.begin(uploading, container="mov", source_key=f"sources/{uploading}")
    for job_id in (uploading, uuid4()):
        with pytest.raises(NotFound):
            await db.cancelling.request(job_id)
