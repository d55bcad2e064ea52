"""Several segments of one job on a real PostgreSQL: each has its window, together they are the whole, and one is the way back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, update
from sqlmodel import col

from tests.support.jobs import MANY_WORKERS, PIPELINE, Adapters, adapters, chunk, launch
from vidette_core.adapters.postgres.schema import ChunkRow
from vidette_core.domain.jobs import JobState, JobWarning, Tally
from vidette_core.domain.ledger import verdict
from vidette_core.domain.planning import PLAN_DID_NOT_HOLD, Costs, Listed, plan
from vidette_core.domain.sampling import Sampling
from vidette_core.ports.errors import Conflict
from vidette_core.ports.jobs import Busy, Claimed, Fenced, Over

FRAMES = 55
WINDOWS = [(0, 20), (20, 40), (40, 55)]
"""Of three workers, in chunks of ten."""


@pytest.fixture
async def stack(postgres_url: str) -> AsyncIterator[Adapters]:
    async with adapters(postgres_url) as made:
        yield made


async def split(stack: Adapters) -> list[Claimed]:
    """A job of three segments, each held by a pod of its own."""
    job_id = await stack.submit()
    await stack.run()
    first = await stack.claim(job_id, "pod-0")
    assert await stack.plan(first, FRAMES, workers=3) == 20
    others = [await stack.claim(job_id, f"pod-{number}") for number in (1, 2)]
    assert [(one.fence.segment, one.next_sample, one.window_end, one.planned) for one in others] == [
        (1, 20, 40, True),
        (2, 40, 55, True),
    ]
    return [first, *others]


async def work(stack: Adapters, claimed: Claimed) -> None:
    """Commit and finish the whole window."""
    first, end = WINDOWS[claimed.fence.segment]
    for at in range(first, end, 10):
        await stack.segments.commit(claimed.fence, chunk(at, min(10, end - at)))
    await stack.segments.finish(claimed.fence, end, ())


async def test_each_pod_gets_a_window_of_its_own_and_a_fourth_has_to_wait(stack: Adapters) -> None:
    claims = await split(stack)
    assert await stack.segments.claim(claims[0].fence.job_id, 1, "pod-3") == Busy()


async def test_windows_done_in_any_order_are_the_whole_job(stack: Adapters) -> None:
    claims = await split(stack)
    job_id = claims[0].fence.job_id
    for claimed in reversed(claims):
        await work(stack, claimed)
    assert await stack.segments.claim(job_id, 1, "pod-3") == Over()
    assert await stack.schedule.finish(job_id, lambda balance: verdict(balance, 1.0)) == "completed"
    job = await stack.reader.job(job_id)
    assert job.tally == Tally(ok=FRAMES)
    found = [(each.first_sample, each.segment) async for each in stack.reader.chunks(job, 0)]
    assert found == [(0, 0), (10, 0), (20, 1), (30, 1), (40, 2), (50, 2)]


async def test_a_job_with_an_unfinished_window_does_not_complete(stack: Adapters) -> None:
    claims = await split(stack)
    for claimed in claims[:2]:
        await work(stack, claimed)
    assert await stack.schedule.finish(claims[0].fence.job_id, lambda balance: verdict(balance, 1.0)) == "internal"


async def test_a_chunk_must_lie_in_its_window_and_only_the_last_may_be_short(stack: Adapters) -> None:
    first, middle, last = await split(stack)
    for fence, wrong in (
        (first.fence, chunk(20)),
        (middle.fence, chunk(0)),
        (middle.fence, chunk(20, 9)),
        (last.fence, chunk(40, 9)),
    ):
        with pytest.raises(Conflict):
            await stack.segments.commit(fence, wrong)
    await stack.segments.commit(last.fence, chunk(40))
    with pytest.raises(Conflict):
        await stack.segments.commit(last.fence, chunk(50, 6))
    with pytest.raises(Conflict):
        await stack.segments.finish(last.fence, 50, ())
    await stack.segments.commit(last.fence, chunk(50, 5))
    await stack.segments.finish(last.fence, 55, ())


async def test_progress_counts_what_all_have_analysed_and_never_falls(stack: Adapters) -> None:
    first, middle, last = await split(stack)
    job_id, seen = first.fence.job_id, []
    for claimed, samples in ((middle, 31), (first, 11), (last, 51), (middle, 25), (first, 20)):
        await stack.segments.renew(claimed.fence, samples)
        seen.append((await stack.reader.job(job_id)).progress)
    assert seen == pytest.approx([11 / 55, 22 / 55, 33 / 55, 33 / 55, 42 / 55])


async def test_the_first_plan_counts_and_a_repeated_one_changes_nothing(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    claimed = await stack.claim(job_id)
    assert await stack.plan(claimed, FRAMES, workers=3) == 20
    assert await stack.plan(claimed, FRAMES, workers=3) == 20
    assert await stack.plan(claimed, 1000, workers=5) == 20
    ((job),) = (await stack.schedule.snapshot()).jobs
    assert len(job.segments) == 3


async def test_a_warning_that_every_segment_has_is_told_once(stack: Adapters) -> None:
    claims = await split(stack)
    warning = JobWarning("truncated", "It ends early.")
    for claimed, (first, end) in zip(claims, WINDOWS, strict=True):
        for at in range(first, end, 10):
            await stack.segments.commit(claimed.fence, chunk(at, min(10, end - at)))
        await stack.segments.finish(claimed.fence, end, (warning,))
    assert (await stack.reader.job(claims[0].fence.job_id)).warnings == (warning,)


async def test_what_cannot_be_split_says_so_in_the_status(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    claimed = await stack.claim(job_id)
    made = plan(Listed(1000, False), Sampling(), 10, Costs(1.0, 1e-6), 3)
    assert await stack.planning.post_plan(claimed.fence, made) is None
    assert [warning.code for warning in (await stack.reader.job(job_id)).warnings] == ["not_split"]


async def test_a_plan_that_does_not_hold_begins_anew_with_one_worker_and_loses_nothing(stack: Adapters) -> None:
    first, middle, last = await split(stack)
    job_id = first.fence.job_id
    await work(stack, first)
    await stack.segments.commit(middle.fence, chunk(20))
    await stack.planning.replan(last.fence, PLAN_DID_NOT_HOLD)
    for zombie in (first, middle, last):
        with pytest.raises(Fenced):
            await stack.segments.renew(zombie.fence, 55)
        with pytest.raises(Fenced):
            await stack.planning.replan(zombie.fence, PLAN_DID_NOT_HOLD)
    job = await stack.reader.job(job_id)
    assert [found async for found in stack.reader.chunks(job, 0)] == []
    heir = await stack.claim(job_id, "pod-2")
    assert (heir.fence.segment, heir.next_sample, heir.window_end, heir.planned) == (0, 0, None, True)
    assert heir.in_decoder_order
    assert await stack.segments.claim(job_id, 1, "pod-1") == Busy()
    with pytest.raises(Conflict):
        await stack.planning.replan(heir.fence, PLAN_DID_NOT_HOLD)
    for at in range(0, 40, 10):
        await stack.segments.commit(heir.fence, chunk(at, 10, content="anew"))
    await stack.segments.commit(heir.fence, chunk(40, 3, content="anew"))
    await stack.segments.finish(heir.fence, 43, ())
    assert await stack.schedule.finish(job_id, lambda balance: verdict(balance, 1.0)) == "completed"
    job = await stack.reader.job(job_id)
    assert (job.state, job.tally, job.warnings) == (JobState.COMPLETED, Tally(ok=43), (PLAN_DID_NOT_HOLD,))


async def test_a_video_of_one_segment_begins_anew_once_after_it_was_planned(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    claimed = await stack.claim(job_id)
    with pytest.raises(Conflict):
        await stack.planning.replan(claimed.fence, PLAN_DID_NOT_HOLD)
    await stack.plan(claimed, 25)
    await stack.segments.commit(claimed.fence, chunk(0))
    await stack.planning.replan(claimed.fence, PLAN_DID_NOT_HOLD)
    heir = await stack.claim(job_id)
    assert (heir.next_sample, heir.in_decoder_order) == (0, True)
    with pytest.raises(Conflict):
        await stack.planning.replan(heir.fence, PLAN_DID_NOT_HOLD)


async def test_of_several_that_find_the_plan_wrong_at_once_one_changes_it(stack: Adapters) -> None:
    claims = await split(stack)
    outcomes = await asyncio.gather(
        *(stack.planning.replan(claimed.fence, PLAN_DID_NOT_HOLD) for claimed in claims), return_exceptions=True
    )
    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, Fenced) for outcome in outcomes) == 2


async def test_replanning_amid_commits_cancelling_and_a_new_attempt_never_deadlocks(stack: Adapters) -> None:
    for number in range(20):
        first, middle, last = await split(stack)
        job_id = first.fence.job_id
        outcomes = await asyncio.gather(
            stack.segments.commit(first.fence, chunk(0)),
            stack.segments.commit(middle.fence, chunk(20)),
            stack.planning.replan(last.fence, PLAN_DID_NOT_HOLD),
            stack.segments.renew(middle.fence, 25),
            stack.schedule.next_attempt(job_id, 1, launch(job_id, 2), blame=False) if number % 2 else nothing(),
            stack.cancelling.request(job_id),
            return_exceptions=True,
        )
        strange = [each for each in outcomes if isinstance(each, BaseException) and not isinstance(each, Conflict)]
        assert strange == []


async def nothing() -> None:
    """In place of something that another round does."""


async def test_between_a_finish_and_the_next_claim_and_after_a_replan_the_job_does_not_look_stalled(
    stack: Adapters,
) -> None:
    claims = await split(stack)
    await work(stack, claims[0])
    (job,) = (await stack.schedule.snapshot()).jobs
    assert job.segments[0].lease_until is not None
    await stack.planning.replan(claims[1].fence, PLAN_DID_NOT_HOLD)
    snapshot = await stack.schedule.snapshot()
    (segment,) = snapshot.jobs[0].segments
    assert segment.lease_until is not None
    assert snapshot.now - segment.lease_until < timedelta(seconds=30)


async def test_a_pod_that_missed_an_answer_gets_its_own_segment_again_also_when_an_earlier_one_is_free(
    stack: Adapters,
) -> None:
    first, middle, _ = await split(stack)
    assert await stack.schedule.release(first.fence.job_id, 1, ["pod-0"], [])
    again = await stack.claim(first.fence.job_id, "pod-1")
    assert (again.fence.segment, again.fence.epoch) == (1, middle.fence.epoch + 1)


async def test_a_segment_on_which_pods_die_does_not_keep_pods_from_the_others(postgres_url: str) -> None:
    async with adapters(postgres_url, max_stalled_claims=2) as hard:
        claims = await split(hard)
        job_id = claims[0].fence.job_id
        await hard.schedule.release(job_id, 1, ["pod-0"], [])
        assert (await hard.claim(job_id, "pod-3")).fence.segment == 0
        await hard.schedule.release(job_id, 1, ["pod-3", "pod-2"], [])
        assert (await hard.claim(job_id, "pod-4")).fence.segment == 2
        assert await hard.segments.claim(job_id, 1, "pod-5") == Busy()


async def test_the_next_attempt_begins_with_one_worker(stack: Adapters) -> None:
    job_id = (await split(stack))[0].fence.job_id
    assert await stack.schedule.grow(job_id, 1, 3, MANY_WORKERS) == 3
    await stack.schedule.next_attempt(job_id, 1, launch(job_id, 2), blame=False)
    assert [job.workers for job in (await stack.schedule.snapshot()).jobs] == [1]


async def test_what_a_frame_costs_is_the_median_between_the_commits_of_ended_jobs(stack: Adapters) -> None:
    assert await stack.planning.seconds_per_sample(PIPELINE.digest) is None
    claims = await split(stack)
    for claimed in claims:
        await work(stack, claimed)
    seconds = func.make_interval(0, 0, 0, 0, 0, 0, col(ChunkRow.first_sample) * 0.5)
    spread = update(ChunkRow).values(created_at=func.now() - timedelta(hours=1) + seconds)
    async with stack.database.transaction() as session:
        await session.execute(spread)
    assert await stack.planning.seconds_per_sample(PIPELINE.digest) is None, "it has not ended"
    await stack.schedule.finish(claims[0].fence.job_id, lambda balance: verdict(balance, 1.0))
    assert await stack.planning.seconds_per_sample(PIPELINE.digest) == pytest.approx(0.5)


async def test_a_verification_that_reads_the_video_otherwise_ends_and_says_so(stack: Adapters) -> None:
    claims = await split(stack)
    for claimed in claims:
        await work(stack, claimed)
    job_id, verification_id = claims[0].fence.job_id, uuid4()
    assert await stack.schedule.finish(job_id, lambda balance: verdict(balance, 1.0)) == "completed"
    await stack.verifying.request(job_id, verification_id, 10, seed=1)
    await stack.run()
    claimed = await stack.claim(verification_id)
    assert (claimed.planned, claimed.expected_samples) == (True, None)
    await stack.planning.replan(claimed.fence, PLAN_DID_NOT_HOLD)
    (job,) = (await stack.schedule.snapshot()).jobs
    assert job.segments[0].problem is not None
    assert "read otherwise" in job.segments[0].problem.message
