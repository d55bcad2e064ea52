"""Clients, two controllers, pods, zombies, a sweeper and time act at once, in any order, on a real PostgreSQL.

No frame is lost and none doubled, no job is stuck, what has ended stays as it ended, and nothing is swept that a reader needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.support.actors import CHUNKS, World, plan_of, world
from tests.support.jobs import CHUNK_FRAMES
from vidette_core.domain.chunks import results_prefix, source_key
from vidette_core.domain.errors import ErrorCode
from vidette_core.domain.jobs import Job, JobState, Tally
from vidette_core.ports.errors import PortError

T = TypeVar("T")
# Which of the jobs or pods there are is a number, taken modulo how many there are: how many may differ from run to run.
WHICH = st.integers(0, 11)
EXITS = st.sampled_from([1, 75, 137, 143])
ACTS = st.one_of(
    st.tuples(st.just("begin_upload")),
    st.tuples(st.just("end_upload"), WHICH, st.sampled_from(["default", "other"])),
    st.tuples(st.just("tick"), WHICH),
    st.tuples(st.just("work"), WHICH, st.integers(1, 4)),
    st.tuples(st.just("work"), WHICH, st.integers(1, 4)),
    st.tuples(st.just("take_over"), WHICH),
    st.tuples(st.just("find_the_plan_wrong"), WHICH),
    st.tuples(st.just("kill"), WHICH, EXITS),
    st.tuples(st.just("lose"), WHICH),
    st.tuples(st.just("cancel"), WHICH),
    st.tuples(st.just("leases_run_out"), st.sampled_from([1, 3600])),
    st.tuples(st.just("an_hour_passes")),
    st.tuples(st.just("sweep")),
)


class ManyLives(RuleBasedStateMachine):
    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.context = world(self.url)
        self.world: World = self.do(self.context.__aenter__())
        self.ended: dict[UUID, tuple[JobState, object]] = {}

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize()
    def two_jobs_are_under_way(self) -> None:
        for tenant in ("default", "other"):
            self.do(self.world.begin_upload())
            self.do(self.world.end_upload(0, tenant))
        self.do(self.world.tick(0))
        for which in (0, 1):
            self.do(self.world.work(which, 2))

    @rule(tenant=st.sampled_from(["default", "other"]))
    def somebody_submits(self, tenant: str) -> None:
        self.do(self.world.begin_upload())
        self.do(self.world.end_upload(-1, tenant))

    @rule(acts=st.lists(ACTS, min_size=1, max_size=5))
    def several_act_at_once(self, acts: list[tuple[Any, ...]]) -> None:
        async def act() -> list[BaseException | None]:
            work = (getattr(self.world, name)(*arguments) for name, *arguments in acts)
            outcomes: list[BaseException | None] = await asyncio.gather(*work, return_exceptions=True)
            return outcomes

        for outcome in self.do(act()):
            # Losing a race is told as a conflict, or as something that is not there; anything else is a defect.
            if outcome is not None and not isinstance(outcome, PortError):
                raise outcome

    @invariant()
    def readers_find_every_committed_frame_once_and_in_order(self) -> None:
        self.do(self._look_at_all())

    async def _look_at_all(self) -> None:
        for job_id in self.world.jobs:
            job = await self.world.job(job_id)
            self._stays_as_it_ended(job)
            at, windows, ends = 0, plan_of(job_id).windows, dict[int, int]()
            async for chunk in self.world.db.reader.chunks(job, 0):
                # Each segment is a run from its first sample on; until all are done, there are gaps between them.
                assert chunk.first_sample == ends.get(chunk.segment, windows[chunk.segment].first_sample)
                assert chunk.first_sample >= at
                assert chunk.first_sample == at or job.state is not JobState.COMPLETED
                at = ends[chunk.segment] = chunk.end_sample
                assert await self.world.store.size(chunk.key) > 0
            if job.state is JobState.COMPLETED:
                assert (at, job.tally) == (CHUNKS * CHUNK_FRAMES, Tally(ok=at))
            if not job.state.is_final:
                assert await self.world.store.size(source_key(job_id)) > 0

    def _stays_as_it_ended(self, job: Job) -> None:
        end = (job.state, job.problem)
        if job.state.is_final:
            assert self.ended.setdefault(job.id, end) == end
        else:
            assert job.id not in self.ended

    def teardown(self) -> None:
        self.do(self._end_well())
        self.do(self.context.__aexit__(None, None, None))
        self.runner.close()

    async def _end_well(self) -> None:
        await self.world.settle()
        await self._look_at_all()
        for job_id in self.world.jobs:
            job = await self.world.job(job_id)
            if job.state is JobState.FAILED:
                assert job.problem is not None
                assert (job.problem.code, job_id in self.world.cancelled) == (ErrorCode.CANCELLED, True)
        await self._leaves_nothing_behind()

    async def _leaves_nothing_behind(self) -> None:
        await self.world.an_hour_passes()
        await self.world.sweep()
        await self._look_at_all()
        assert not self.world.store.open_uploads
        kept = {key async for key in self.world.store.list("")}
        wanted = {source_key(job_id) for job_id in self.world.jobs}
        for job_id in self.world.jobs:
            job = await self.world.job(job_id)
            wanted |= {chunk.key async for chunk in self.world.db.reader.chunks(job, 0)}
            wanted |= {key for key in kept if key.startswith(results_prefix(job_id)) and not job.state.is_final}
        assert kept == wanted


@pytest.mark.timeout(400)
def test_no_frame_is_lost_and_no_job_stuck_whoever_acts_at_once(postgres_url: str) -> None:
    machine = type("ManyLivesHere", (ManyLives,), {"url": postgres_url})
    few = settings(max_examples=8, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=few)
