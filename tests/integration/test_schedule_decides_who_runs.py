"""The controller's claims and ends on a real PostgreSQL: caps hold, order is fair, and only a balanced ledger completes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, update

from tests.support.jobs import PIPELINE, Adapters, adapters, chunk, launch
from vidette_core.adapters.postgres.schema import JobRow
from vidette_core.domain.errors import ErrorCode, Problem
from vidette_core.domain.jobs import JobState, Tally
from vidette_core.domain.ledger import Imbalance, verdict
from vidette_core.domain.schedule import LEAVING
from vidette_core.ports.errors import Conflict, NotFound
from vidette_core.ports.jobs import Caps, WorkerCaps


@pytest.fixture
async def stack(postgres_url: str) -> AsyncIterator[Adapters]:
    async with adapters(postgres_url) as made:
        yield made


async def test_caps_hold_however_many_controllers_claim_at_once(stack: Adapters) -> None:
    for _ in range(12):
        await stack.submit()
    claimed = await asyncio.gather(*(stack.run(Caps(5, 100)) for _ in range(6)))
    flat = [job_id for batch in claimed for job_id in batch]
    assert len(flat) == len(set(flat)) == 5


async def test_a_tenant_never_has_more_running_than_its_cap(stack: Adapters) -> None:
    for _ in range(4):
        await stack.submit(tenant="loud")
    quiet = await stack.submit(tenant="quiet")
    claimed = await stack.run(Caps(100, 2))
    assert len(claimed) == 3
    assert quiet in claimed
    assert await stack.run(Caps(100, 2)) == []


async def test_tenants_take_turns_and_within_one_priority_goes_before_age(stack: Adapters) -> None:
    loud = [await stack.submit(tenant="loud") for _ in range(3)]
    urgent = await stack.submit(tenant="loud", priority=5)
    quiet = await stack.submit(tenant="quiet")
    assert await stack.run(Caps(2, 100)) == [urgent, quiet]
    assert await stack.run(Caps(4, 100)) == loud[:2]


async def test_workers_are_given_as_far_as_the_caps_have_room_and_never_taken(stack: Adapters) -> None:
    loud, other, quiet = [await stack.submit(tenant=tenant) for tenant in ("loud", "loud", "quiet")]
    await stack.run()
    caps = WorkerCaps(workers=9, workers_per_tenant=6)
    assert await stack.schedule.grow(loud, 1, 4, caps) == 4
    assert await stack.schedule.grow(other, 1, 4, caps) == 2, "of the tenant's six"
    assert await stack.schedule.grow(quiet, 1, 8, caps) == 3, "of all nine"
    assert await stack.schedule.grow(loud, 1, 2, caps) == 4
    assert await stack.schedule.grow(loud, 2, 5, caps) == 0, "another attempt"
    await stack.schedule.fail(quiet, 1, Problem(ErrorCode.INTERNAL, "x"))
    assert await stack.schedule.grow(loud, 1, 8, caps) == 4
    assert await stack.schedule.grow(loud, 1, 8, WorkerCaps(9, 9)) == 7


async def test_caps_on_workers_hold_however_many_ask_at_once(stack: Adapters) -> None:
    jobs = [await stack.submit() for _ in range(4)]
    await stack.run()
    given = await asyncio.gather(*(stack.schedule.grow(job, 1, 5, WorkerCaps(10, 100)) for job in jobs * 2))
    assert sum(job.workers for job in (await stack.schedule.snapshot()).jobs) == 10
    assert max(given) <= 5


async def test_only_one_attempt_is_raised_when_two_controllers_see_the_same(stack: Adapters) -> None:
    job_id = await stack.submit()
    (claimed,) = await stack.run()
    assert claimed == job_id
    assert await stack.schedule.record_uid(job_id, 1, "uid-1")
    assert not await stack.schedule.record_uid(job_id, 2, "uid-2")
    (running,) = (await stack.schedule.snapshot()).jobs
    assert (running.attempt, running.launch_name, running.launch_uid) == (1, f"vidette-{job_id}-a1", "uid-1")


async def test_a_snapshot_knows_the_pipeline_and_who_ended_a_moment_ago_unless_cancelled(stack: Adapters) -> None:
    ended, cancelled, running = [await stack.submit() for _ in range(3)]
    await stack.run()
    assert await stack.schedule.fail(ended, 1, Problem(ErrorCode.INVALID_VIDEO, "no video"))
    assert await stack.schedule.fail(cancelled, 1, Problem(ErrorCode.CANCELLED, "as its client asked"))
    snapshot = await stack.schedule.snapshot()
    assert [(job.id, job.pipeline_id) for job in snapshot.jobs] == [(running, PIPELINE.id)]
    assert snapshot.just_ended == {ended}
    async with stack.database.transaction() as session:
        await session.execute(update(JobRow).values(finished_at=func.now() - LEAVING - timedelta(seconds=1)))
    assert (await stack.schedule.snapshot()).just_ended == frozenset()


async def test_a_balanced_ledger_completes_the_job_with_its_tally(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    claimed = await stack.claim(job_id)
    await stack.plan(claimed, 13)
    await stack.segments.commit(claimed.fence, chunk(0, decode_error=1))
    await stack.segments.commit(claimed.fence, chunk(10, 3, model_error=1))
    await stack.segments.finish(claimed.fence, 13, ())
    assert await stack.schedule.finish(job_id, lambda balance: verdict(balance, 1.0)) == "completed"
    assert await stack.schedule.finish(job_id, lambda balance: verdict(balance, 1.0)) is None
    job = await stack.reader.job(job_id)
    assert (job.state, job.progress, job.tally) == (JobState.COMPLETED, 1.0, Tally(11, 1, 1))


async def test_a_job_whose_ledger_does_not_balance_is_never_completed(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    fence = (await stack.claim(job_id)).fence
    await stack.segments.commit(fence, chunk(0))
    seen: list[Tally | Imbalance] = []

    def judge(balance: Tally | Imbalance) -> Problem | None:
        seen.append(balance)
        return verdict(balance, 1.0)

    assert await stack.schedule.finish(job_id, judge) == ErrorCode.INTERNAL
    assert isinstance(seen[0], Imbalance)
    assert (await stack.reader.job(job_id)).state is JobState.FAILED


async def test_a_released_segment_is_claimed_at_once_by_another_pod(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    await stack.claim(job_id, "dead")
    assert await stack.schedule.release(job_id, 1, ["dead"], [])
    assert not await stack.schedule.release(job_id, 1, ["dead"], [])
    assert (await stack.claim(job_id, "alive")).fence.epoch == 2


async def test_an_upload_given_up_by_the_sweeper_cannot_be_submitted_any_more(stack: Adapters) -> None:
    job_id = uuid4()
    await stack.submissions.begin(job_id, container="mov", source_key="sources/x")
    await stack.submissions.record_upload(job_id, "upload-1")
    with pytest.raises(NotFound):
        await stack.reader.job(job_id)
    await stack.submissions.abandon(job_id, Problem(ErrorCode.UPLOAD_ABORTED, "gone"))
    with pytest.raises(Conflict):
        await stack.submissions.heartbeat(job_id)


async def test_attempts_are_counted_against_a_job_until_something_is_committed(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    await stack.schedule.next_attempt(job_id, 1, launch(job_id, 2), blame=True)
    await stack.schedule.next_attempt(job_id, 2, launch(job_id, 3), blame=False)
    assert (await stack.schedule.snapshot()).jobs[0].stalled_attempts == 1
    fence = (await stack.claim(job_id, attempt=3)).fence
    await stack.segments.commit(fence, chunk(0))
    assert (await stack.schedule.snapshot()).jobs[0].stalled_attempts == 0


async def test_a_job_that_ran_out_of_memory_once_has_more_in_every_later_attempt(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    assert not (await stack.schedule.snapshot()).jobs[0].more_memory
    await stack.schedule.next_attempt(job_id, 1, launch(job_id, 2), blame=True, more_memory=True)
    assert (await stack.schedule.snapshot()).jobs[0].more_memory
    await stack.schedule.next_attempt(job_id, 2, launch(job_id, 3), blame=False)
    assert (await stack.schedule.snapshot()).jobs[0].more_memory


@pytest.mark.parametrize(("blame", "left"), [(True, ("pod-1",)), (False, ())])
async def test_an_attempt_that_is_not_blamed_forgives_its_pods(
    blame: bool, left: tuple[str, ...], stack: Adapters
) -> None:
    job_id = await stack.submit()
    await stack.run()
    await stack.claim(job_id, "pod-1")
    await stack.schedule.next_attempt(job_id, 1, launch(job_id, 2), blame=blame)
    (segment,) = (await stack.schedule.snapshot()).jobs[0].segments
    assert segment.stalled_claims == left


async def test_a_pod_that_ended_for_want_of_something_else_is_not_counted(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    await stack.claim(job_id, "pod-1")
    assert await stack.schedule.release(job_id, 1, ["pod-1"], ["pod-1"])
    (segment,) = (await stack.schedule.snapshot()).jobs[0].segments
    assert (segment.holder, segment.stalled_claims) == (None, ())
