"""Workers, zombies, replacements and a controller in any order, on a real PostgreSQL: no frame is lost and none is doubled.

The machine keeps every fence that was ever given out and tries them all, the current and the long gone. A model of a few numbers,
how many samples of each segment are committed, says what each write has to do. The job is planned with one segment or with
several, by whoever holds the first, and may go back to one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
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

from tests.support.jobs import CHUNK_FRAMES, Adapters, adapters, chunk, cut, launch
from vidette_core.adapters.postgres.schema import SegmentRow
from vidette_core.domain.jobs import Fence, JobState, Tally
from vidette_core.domain.ledger import verdict
from vidette_core.domain.planning import PLAN_DID_NOT_HOLD
from vidette_core.ports.errors import Conflict
from vidette_core.ports.jobs import Claimed

T = TypeVar("T")
CHUNKS = 4
LAST = 3
"""Samples in the last chunk."""
SAMPLES = (CHUNKS - 1) * CHUNK_FRAMES + LAST
PODS = st.sampled_from(["pod-a", "pod-b", "pod-c"])


def size(first: int) -> int:
    return LAST if first == SAMPLES - LAST else CHUNK_FRAMES


@dataclass(slots=True)
class Part:
    """What the model knows of a segment: `end` is None where it is open-ended."""

    first: int
    end: int | None
    at: int
    current: Fence | None = None
    done: bool = False


class Life(RuleBasedStateMachine):
    """One job of CHUNKS chunks."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.context = adapters(self.url, max_stalled_claims=1000)
        self.db: Adapters = self.do(self.context.__aenter__())
        self.fences: list[Fence] = []
        self.parts = [Part(0, None, 0)]
        self.planned = self.counted = False
        self.attempt = 1

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
            part = self.parts[answer.fence.segment]
            assert (answer.next_sample, answer.window_end, answer.planned) == (part.at, part.end, self.planned)
            earlier = [fence for fence in self.fences if fence.segment == answer.fence.segment]
            assert all(answer.fence.epoch > fence.epoch for fence in earlier)
            part.current = answer.fence
            self.fences.append(answer.fence)

    @rule()
    def the_leases_run_out(self) -> None:
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
        for part in self.parts:
            part.current = part.current if part.done else None

    @precondition(lambda self: self.fences and not self.planned and self.parts[0].at == 0)
    @rule(data=st.data(), workers=st.integers(1, 4))
    def somebody_plans(self, data: st.DataObject, workers: int) -> None:
        fence = data.draw(st.sampled_from(self.fences))
        made = cut(SAMPLES, CHUNK_FRAMES, workers)
        try:
            end = self.do(self.db.planning.post_plan(fence, made))
        except Conflict:
            assert fence != self.parts[0].current
            return
        assert fence == self.parts[0].current
        assert end == made.windows[0].end_sample
        self.planned = True
        self.parts[0].end = end
        self.parts += [Part(each.first_sample, each.end_sample, each.first_sample) for each in made.windows[1:]]

    @precondition(lambda self: self.fences)
    @rule(data=st.data())
    def somebody_finds_the_plan_wrong(self, data: st.DataObject) -> None:
        fence = data.draw(st.sampled_from(self.fences))
        part = self.part_of(fence)
        may = part is not None and not part.done and self.planned and not self.counted
        try:
            self.do(self.db.planning.replan(fence, PLAN_DID_NOT_HOLD))
        except Conflict:
            assert not may
            return
        assert may
        self.parts, self.counted = [Part(0, None, 0)], True

    @precondition(lambda self: self.fences)
    @rule(data=st.data(), content=st.sampled_from(["", "other"]))
    def somebody_commits(self, data: st.DataObject, content: str) -> None:
        fence = data.draw(st.sampled_from(self.fences))
        first = data.draw(st.sampled_from(range(0, (CHUNKS + 1) * CHUNK_FRAMES, CHUNK_FRAMES)))
        part = self.part_of(fence)
        wanted = part is not None and first == part.at and not part.done and first < (part.end or SAMPLES)
        try:
            answer = self.do(self.db.segments.commit(fence, chunk(first, size(first), content=content)))
        except Conflict:
            assert not wanted
            return
        assert answer.is_new == wanted
        if answer.is_new and part is not None:
            part.at += size(first)

    @precondition(lambda self: self.fences)
    @rule(data=st.data())
    def somebody_says_that_it_is_finished(self, data: st.DataObject) -> None:
        fence = data.draw(st.sampled_from(self.fences))
        part = self.part_of(fence)
        end = SAMPLES if part is None else part.end or SAMPLES
        may = part is not None and part.at == end
        try:
            self.do(self.db.segments.finish(fence, end, ()))
        except Conflict:
            assert not may
            return
        assert may
        assert part is not None
        part.done = True

    def part_of(self, fence: Fence) -> Part | None:
        """The part that the fence may write; None for a zombie's."""
        return next((part for part in self.parts if part.current == fence), None)

    @invariant()
    def readers_see_what_is_committed_once_and_in_order(self) -> None:
        async def seen() -> list[tuple[int, int]]:
            job = await self.db.reader.job(self.job_id)
            return [(found.first_sample, found.end_sample) async for found in self.db.reader.chunks(job, 0)]

        if hasattr(self, "job_id"):
            wanted = [
                (first, first + size(first))
                for part in self.parts
                for first in range(part.first, part.at, CHUNK_FRAMES)
            ]
            assert self.do(seen()) == wanted

    def go_on_to_the_end(self) -> None:
        """Whatever happened, the job can be completed, and then accounts for every frame once."""
        if not hasattr(self, "job_id"):
            return
        self.the_leases_run_out()
        for number in range(len(self.parts)):
            if any(not part.done for part in self.parts):
                self.a_pod_claims(f"the-last-{number}")
        for part in self.parts:
            if part.done:
                continue
            assert part.current is not None
            end = part.end or SAMPLES
            while part.at < end:
                self.do(self.db.segments.commit(part.current, chunk(part.at, size(part.at))))
                part.at += size(part.at)
            self.do(self.db.segments.finish(part.current, end, ()))
        assert self.do(self.db.schedule.finish(self.job_id, lambda balance: verdict(balance, 1.0))) == "completed"
        job = self.do(self.db.reader.job(self.job_id))
        assert (job.state, job.progress, job.tally) == (JobState.COMPLETED, 1.0, Tally(ok=SAMPLES))


def test_no_frame_is_lost_or_doubled_whatever_the_order(postgres_url: str) -> None:
    machine = type("LifeHere", (Life,), {"url": postgres_url})
    few = settings(max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=few)
