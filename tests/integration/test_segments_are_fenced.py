"""Claims, leases and commits on a real PostgreSQL: what a zombie tries changes nothing, what a retry repeats is fine."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.support.jobs import Adapters, adapters, chunk, launch
from vidette_core.domain.errors import ErrorCode, Problem
from vidette_core.domain.jobs import JobState, JobWarning
from vidette_core.domain.ledger import verdict
from vidette_core.domain.sampling import Sampling
from vidette_core.ports.errors import Conflict, PortError
from vidette_core.ports.jobs import Busy, Claimed, Committed, Over


@pytest.fixture
async def stack(postgres_url: str) -> AsyncIterator[Adapters]:
    async with adapters(postgres_url) as made:
        yield made


@pytest.fixture
async def hasty(postgres_url: str) -> AsyncIterator[Adapters]:
    """Leases that are over as soon as they began."""
    async with adapters(postgres_url, lease_s=0.01, max_stalled_claims=3) as made:
        yield made


async def test_a_claim_gives_the_first_segment_and_raises_its_epoch(stack: Adapters) -> None:
    job_id = await stack.submit(Sampling(3, 100))
    await stack.run()
    claimed = await stack.claim(job_id)
    assert (claimed.fence.segment, claimed.fence.epoch, claimed.next_sample, claimed.planned) == (0, 1, 0, False)
    assert claimed.terms.sampling == Sampling(3, 100)


async def test_a_segment_in_its_lease_is_not_given_to_another_pod_but_again_to_its_own(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    await stack.claim(job_id, "pod-1")
    assert await stack.segments.claim(job_id, 1, "pod-2") == Busy()
    assert (await stack.claim(job_id, "pod-1")).fence.epoch == 2


async def test_a_segment_is_claimed_by_one_of_many_pods_at_once(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    answers = await asyncio.gather(*(stack.segments.claim(job_id, 1, f"pod-{number}") for number in range(8)))
    assert sum(isinstance(answer, Claimed) for answer in answers) == 1
    assert sum(answer == Busy() for answer in answers) == 7


async def test_an_expired_lease_is_taken_over_and_the_zombie_can_write_nothing(hasty: Adapters) -> None:
    job_id = await hasty.submit()
    await hasty.run()
    zombie = (await hasty.claim(job_id, "zombie")).fence
    await asyncio.sleep(0.05)
    heir = (await hasty.claim(job_id, "heir")).fence
    for write in (
        hasty.segments.commit(zombie, chunk(0)),
        hasty.segments.renew(zombie, 5),
        hasty.segments.finish(zombie, 10, ()),
        hasty.segments.report(zombie, Problem(ErrorCode.INVALID_VIDEO, "x")),
        hasty.segments.terms(zombie),
    ):
        with pytest.raises(Conflict):
            await write
    assert (await hasty.segments.commit(heir, chunk(0))).next_sample == 10


async def test_an_identical_commit_is_fine_and_any_other_is_refused(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    fence = (await stack.claim(job_id)).fence
    assert await stack.segments.commit(fence, chunk(0)) == Committed(10, is_new=True)
    assert await stack.segments.commit(fence, chunk(0)) == Committed(10, is_new=False)
    for wrong in (chunk(0, content="other"), chunk(20), chunk(5), chunk(10, 11)):
        with pytest.raises(Conflict):
            await stack.segments.commit(fence, wrong)
    assert [
        (found.first_sample, found.tally.frames)
        async for found in stack.reader.chunks(await stack.reader.job(job_id), 0)
    ] == [(0, 10)]


async def test_the_same_commit_many_times_at_once_counts_once(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    fence = (await stack.claim(job_id)).fence
    answers = await asyncio.gather(*(stack.segments.commit(fence, chunk(0)) for _ in range(8)))
    assert [answer.next_sample for answer in answers] == [10] * 8
    assert sum(answer.is_new for answer in answers) == 1


async def test_a_new_claim_goes_on_at_the_last_commit(hasty: Adapters) -> None:
    job_id = await hasty.submit()
    await hasty.run()
    first = await hasty.claim(job_id, "pod-1")
    await hasty.plan(first, 30)
    await hasty.segments.commit(first.fence, chunk(0))
    await asyncio.sleep(0.05)
    second = await hasty.claim(job_id, "pod-2")
    assert (second.next_sample, second.planned) == (10, True)


async def test_progress_is_the_greatest_seen_and_never_reaches_one_before_completion(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    claimed = await stack.claim(job_id)
    assert (await stack.reader.job(job_id)).progress is None
    await stack.plan(claimed, 20)
    seen = [(await stack.reader.job(job_id)).progress]
    for samples in (5, 3, 19, 0, 20, 25):
        await stack.segments.renew(claimed.fence, samples)
        seen.append((await stack.reader.job(job_id)).progress)
    assert seen == [0.0, 0.25, 0.25, 0.95, 0.95, 0.999, 0.999]


async def test_claims_without_a_commit_run_out(hasty: Adapters) -> None:
    job_id = await hasty.submit()
    await hasty.run()
    for number in range(3):
        await hasty.claim(job_id, f"pod-{number}")
        await asyncio.sleep(0.03)
    assert await hasty.segments.claim(job_id, 1, "pod-4") == Busy()
    (segment,) = (await hasty.schedule.snapshot()).jobs[0].segments
    assert segment.stalled_claims == ("pod-0", "pod-1", "pod-2")


async def test_the_last_chunk_may_be_short_and_the_segment_ends_where_it_ends(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    fence = (await stack.claim(job_id)).fence
    await stack.segments.commit(fence, chunk(0))
    await stack.segments.commit(fence, chunk(10, 3))
    with pytest.raises(Conflict):
        await stack.segments.commit(fence, chunk(13, 3))
    with pytest.raises(Conflict):
        await stack.segments.finish(fence, 14, ())
    warning = JobWarning("truncated", "It ends early.")
    await stack.segments.finish(fence, 13, (warning,))
    await stack.segments.finish(fence, 13, (warning,))
    assert (await stack.reader.job(job_id)).warnings == (warning,)
    assert await stack.segments.claim(job_id, 1, "pod-2") == Over()


async def test_a_replaced_attempt_can_neither_claim_nor_write(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    old = (await stack.claim(job_id)).fence
    assert await stack.schedule.next_attempt(job_id, 1, launch(job_id, 2), blame=True)
    assert not await stack.schedule.next_attempt(job_id, 1, launch(job_id, 2), blame=True)
    assert await stack.segments.claim(job_id, 1, "pod-1") == Over()
    with pytest.raises(Conflict):
        await stack.segments.commit(old, chunk(0))
    assert (await stack.claim(job_id, "pod-2", attempt=2)).fence.epoch > old.epoch


async def test_a_finished_job_refuses_its_workers(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    fence = (await stack.claim(job_id)).fence
    assert await stack.schedule.fail(job_id, 1, Problem(ErrorCode.INTERNAL, "ended"))
    with pytest.raises(Conflict):
        await stack.segments.commit(fence, chunk(0))
    assert await stack.segments.claim(job_id, 1, "pod-1") == Over()
    job = await stack.reader.job(job_id)
    assert (job.state, job.problem) == (JobState.FAILED, Problem(ErrorCode.INTERNAL, "ended"))


async def test_a_commit_and_a_replacement_at_the_same_time_never_deadlock(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    for attempt in range(1, 12):
        claimed = await stack.claim(job_id, f"pod-{attempt}", attempt)
        outcomes = await asyncio.gather(
            stack.segments.commit(claimed.fence, chunk(claimed.next_sample)),
            stack.segments.renew(claimed.fence, claimed.next_sample),
            stack.schedule.next_attempt(job_id, attempt, launch(job_id, attempt + 1), blame=False),
            return_exceptions=True,
        )
        assert outcomes[2] is True
        assert all(not isinstance(outcome, Exception) or isinstance(outcome, Conflict) for outcome in outcomes), (
            outcomes
        )


async def test_a_living_pod_that_asks_again_is_not_counted_as_another_dead_one(hasty: Adapters) -> None:
    job_id = await hasty.submit()
    await hasty.run()
    for _ in range(5):
        await hasty.claim(job_id, "pod-1")
    (segment,) = (await hasty.schedule.snapshot()).jobs[0].segments
    assert segment.stalled_claims == ("pod-1",)


async def test_after_a_commit_the_holder_counts_for_the_frames_behind_it(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    fence = (await stack.claim(job_id, "pod-1")).fence
    await stack.segments.commit(fence, chunk(0))
    (segment,) = (await stack.schedule.snapshot()).jobs[0].segments
    assert segment.stalled_claims == ("pod-1",)


async def test_nothing_is_written_behind_a_segments_end(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    fence = (await stack.claim(job_id)).fence
    await stack.segments.commit(fence, chunk(0))
    await stack.segments.finish(fence, 10, ())
    with pytest.raises(Conflict):
        await stack.segments.commit(fence, chunk(10))
    with pytest.raises(Conflict):
        await stack.segments.report(fence, Problem(ErrorCode.INVALID_VIDEO, "too late"))


async def test_a_finish_whose_answer_was_lost_is_fine_also_when_the_job_is_over(stack: Adapters) -> None:
    job_id = await stack.submit()
    await stack.run()
    fence = (await stack.claim(job_id)).fence
    await stack.segments.commit(fence, chunk(0))
    await stack.segments.finish(fence, 10, ())
    assert await stack.schedule.finish(job_id, lambda balance: verdict(balance, 1.0)) == "completed"
    await stack.segments.finish(fence, 10, ())
    with pytest.raises(Conflict):
        await stack.segments.finish(fence, 20, ())


async def test_an_attempt_is_fenced_even_if_its_first_claim_comes_at_the_same_moment(stack: Adapters) -> None:
    for _ in range(10):
        job_id = await stack.submit()
        await stack.run()
        answers = await asyncio.gather(
            stack.segments.claim(job_id, 1, "old"),
            stack.schedule.next_attempt(job_id, 1, launch(job_id, 2), blame=False),
        )
        if isinstance(answers[0], Claimed):
            with pytest.raises(Conflict):
                await stack.segments.commit(answers[0].fence, chunk(0))
        assert isinstance(await stack.segments.claim(job_id, 2, "new"), Claimed)


async def test_a_log_of_a_refused_statement_holds_neither_statement_nor_parameters(stack: Adapters) -> None:
    unstorable = Problem(ErrorCode.INTERNAL, "sec" + "ret\x00")
    with pytest.raises(PortError) as refusal:
        await stack.submissions.abandon(uuid4(), unstorable)
    told = "".join(traceback.format_exception(refusal.value))
    assert "UPDATE" not in told
    assert "secret" not in told
