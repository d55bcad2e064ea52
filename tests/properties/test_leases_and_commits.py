"""Workers, zombies, replacements and a controller in any order, on a real PostgreSQL: no frame is lost and none is doubled.

The machine keeps every fence that was ever given out and tries them all, the current and the long gone. A model of one number,
how many samples are committed, says what each write has to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, update
from sqlmodel import col

from tests.support.jobs import CHUNK_FRAMES, Adapters, adapters, chunk, launch
from vidette_core.adapters.postgres.schema import SegmentRow
from vidette_core.domain.jobs import Fence, JobState, Tally
from vidette_core.domain.ledger import verdict
from vidette_core.ports.errors import Conflict
from vidette_core.ports.jobs import Claimed

T = TypeVar("T")
CHUNKS = 4
PODS = st.sampled_from(["pod-a", "pod-b", "pod-c"])


class Life(RuleBasedStateMachine):
    """One job of CHUNKS chunks."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.context = adapters(self.url, max_stalled_claims=1000)
        self.db: Adapters = self.do(self.context.__aenter__())
        self.fences: list[Fence] = []
        self.current: Fence | None = None
        self.attempt = 1
        self.committed = 0
        self.done = False

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.go_on_to_the_end()
        self.do(self.context.__aexit__(None, None, None))
        self.runner.close()

    @initialize()
    def submitted_and_started(self) -> None:
        self.job_id = self.do(self.db.submit())
        assert self.job_id in self.do(self.db.run())

    @rule(pod=PODS)
    def a_pod_claims(self, pod: str) -> None:
        answer = self.do(self.db.segments.claim(self.job_id, self.attempt, pod))
        if isinstance(answer, Claimed):
            assert answer.next_sample == self.committed
            assert all(answer.fence.epoch > fence.epoch for fence in self.fences)
            self.current = answer.fence
            self.fences.append(answer.fence)

    @rule()
    def the_lease_runs_out(self) -> None:
        expire = update(SegmentRow).where(col(SegmentRow.job_id) == self.job_id, col(SegmentRow.holder).is_not(None))

        async def run_out() -> None:
            async with self.db.database.transaction() as session:
                await session.execute(expire.values(lease_until=func.now() - func.make_interval(0, 0, 0, 0, 0, 0, 1)))

        self.do(run_out())

    @rule(blame=st.booleans())
    def the_attempt_is_replaced(self, blame: bool) -> None:
        new = launch(self.job_id, self.attempt + 1)
        assert self.do(self.db.schedule.next_attempt(self.job_id, self.attempt, new, blame=blame))
        assert not self.do(self.db.schedule.next_attempt(self.job_id, self.attempt, new, blame=blame))
        self.attempt += 1
        if not self.done:
            self.current = None

    @precondition(lambda self: self.fences)
    @rule(data=st.data(), content=st.sampled_from(["", "other"]))
    def somebody_commits(self, data: st.DataObject, content: str) -> None:
        fence = data.draw(st.sampled_from(self.fences))
        first = data.draw(st.sampled_from(range(0, (CHUNKS + 1) * CHUNK_FRAMES, CHUNK_FRAMES)))
        wanted = fence == self.current and first == self.committed and not self.done
        try:
            answer = self.do(self.db.segments.commit(fence, chunk(first, content=content)))
        except Conflict:
            assert not wanted
            return
        assert answer.is_new == wanted
        if answer.is_new:
            self.committed += CHUNK_FRAMES

    @precondition(lambda self: self.fences)
    @rule(data=st.data())
    def somebody_says_that_it_is_finished(self, data: st.DataObject) -> None:
        fence = data.draw(st.sampled_from(self.fences))
        may = fence == self.current and self.committed == CHUNKS * CHUNK_FRAMES
        try:
            self.do(self.db.segments.finish(fence, CHUNKS * CHUNK_FRAMES, ()))
        except Conflict:
            assert not may
            return
        assert may
        self.done = True

    @invariant()
    def readers_see_what_is_committed_once_and_in_order(self) -> None:
        async def seen() -> list[tuple[int, int]]:
            job = await self.db.reader.job(self.job_id)
            return [(found.first_sample, found.end_sample) async for found in self.db.reader.chunks(job, 0)]

        if hasattr(self, "job_id"):
            steps = range(0, self.committed, CHUNK_FRAMES)
            assert self.do(seen()) == [(first, first + CHUNK_FRAMES) for first in steps]

    def go_on_to_the_end(self) -> None:
        """Whatever happened, the job can be completed, and then accounts for every frame once."""
        if not hasattr(self, "job_id"):
            return
        self.the_lease_runs_out()
        if not self.done:
            self.a_pod_claims("the-last")
            assert self.current is not None
            while self.committed < CHUNKS * CHUNK_FRAMES:
                self.do(self.db.segments.commit(self.current, chunk(self.committed)))
                self.committed += CHUNK_FRAMES
            self.do(self.db.segments.finish(self.current, self.committed, ()))
        assert self.do(self.db.schedule.finish(self.job_id, lambda balance: verdict(balance, 1.0))) == "completed"
        job = self.do(self.db.reader.job(self.job_id))
        assert (job.state, job.progress, job.tally) == (JobState.COMPLETED, 1.0, Tally(ok=CHUNKS * CHUNK_FRAMES))


def test_no_frame_is_lost_or_doubled_whatever_the_order(postgres_url: str) -> None:
    machine = type("LifeHere", (Life,), {"url": postgres_url})
    few = settings(max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=few)
