"""Everyone who touches a job, in one process: clients, controllers, pods that live or should be dead, the sweeper, and time.

The decisions are the product's own (`Controller`, `Sweeper`, the adapters on a real PostgreSQL); launcher and blob store are the
in-memory ones, which the contract suites hold to the same promises as the real ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

from pydantic import SecretStr
from sqlalchemy import func, update
from sqlmodel import col

from tests.support.jobs import CHUNK_FRAMES, MANY_WORKERS, PIPELINE, Adapters, adapters, chunk, cut
from vidette_controller.apply import Applier
from vidette_controller.launch import Template
from vidette_controller.loop import Controller
from vidette_controller.settings import ControllerSettings, SweepSettings
from vidette_controller.sweep import Sweeper
from vidette_core.adapters.nats import NatsWakeup
from vidette_core.adapters.postgres.schema import JobRow, SegmentRow
from vidette_core.adapters.postgres.sweeping import PostgresSweeping
from vidette_core.domain.chunks import ChunkClaim, chunk_key, source_key
from vidette_core.domain.jobs import Fence, Job
from vidette_core.domain.planning import PLAN_DID_NOT_HOLD, Plan
from vidette_core.domain.sampling import Sampling
from vidette_core.domain.worker_api import WorkerExit
from vidette_core.ports.errors import Conflict
from vidette_core.ports.jobs import Busy, Claimed, Over, Submission
from vidette_core.ports.launcher import LaunchPhase
from vidette_core.settings import LeaseSettings, TokenSettings, WakeupSettings
from vidette_core.testing.blobs import InMemoryBlobStore
from vidette_core.testing.launcher import FakeLauncher
from vidette_core.tokens import Tokens

CHUNKS = 3
_ENDLESS = 10**6
_PATIENT = ControllerSettings(
    max_running=4,
    max_running_per_tenant=2,
    max_attempts=_ENDLESS,
    max_waited_attempts=_ENDLESS,
    stalled_lease_s=600,
)
"""No job is given up for its faults: then every job that nobody cancels has to complete."""


def plan_of(job_id: UUID) -> Plan:
    """One, two or three segments, as the job's id has it: whoever plans, plans the same."""
    return cut(CHUNKS * CHUNK_FRAMES, CHUNK_FRAMES, workers=1 + job_id.int % 3)


@dataclass(slots=True)
class SimulatedPod:
    """A worker that makes one step when asked, and that nobody can stop from trying, dead or not."""

    name: str
    launch_name: str
    job_id: UUID
    attempt: int
    fence: Fence | None = None
    planned: bool = True
    at: int = 0
    end: int = 0
    sent: tuple[str, ChunkClaim] | None = None
    """What the gateway has on its way to the store, and its key; it may still land when the fence is not in force any more."""
    stored: ChunkClaim | None = None
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Two acts that run at once may pick the same pod, but no worker is in the middle of two steps."""


@dataclass(slots=True)
class World:
    db: Adapters
    store: InMemoryBlobStore
    launcher: FakeLauncher
    controllers: tuple[Controller, ...]
    sweeper: Sweeper
    uploads: dict[UUID, str] = field(default_factory=dict)
    jobs: list[UUID] = field(default_factory=list)
    cancelled: set[UUID] = field(default_factory=set)
    pods: dict[str, SimulatedPod] = field(default_factory=dict)
    newest: dict[tuple[UUID, int], int] = field(default_factory=dict)
    """The highest epoch of the job's segment that was heard of; a lower one is a zombie's."""
    stopped: set[UUID] = field(default_factory=set)
    """Jobs whose cancelling was confirmed."""

    tenants: dict[UUID, str] = field(default_factory=dict)
    """Whose each job is."""

    async def job(self, job_id: UUID) -> Job:
        return await self.db.reader.job(job_id, self.tenants[job_id])

    async def begin_upload(self) -> None:
        job_id = uuid4()
        await self.db.submissions.begin(job_id, container="mov", source_key=source_key(job_id))
        self.uploads[job_id] = await self.store.create_upload(source_key(job_id))
        await self.db.submissions.record_upload(job_id, self.uploads[job_id])

    async def end_upload(self, which: int, tenant: str) -> None:
        if not self.uploads:
            return
        job_id = list(self.uploads)[which % len(self.uploads)]
        upload_id, key = self.uploads.pop(job_id), source_key(job_id)
        etag = await self.store.upload_part(key, upload_id, 1, b"video")
        await self.store.complete_upload(key, upload_id, {1: etag})
        await self.db.submissions.submit(job_id, Submission(PIPELINE, Sampling(), CHUNK_FRAMES, source_bytes=5))
        self.jobs.append(job_id)
        self.tenants[job_id] = tenant
        async with self.db.database.transaction() as session:
            await session.execute(update(JobRow).where(col(JobRow.id) == job_id).values(tenant=tenant))

    async def cancel(self, which: int) -> None:
        if self.jobs:
            job_id = self.jobs[which % len(self.jobs)]
            self.cancelled.add(job_id)
            await self.db.cancelling.request(job_id)
            self.stopped.add(job_id)

    async def tick(self, which: int) -> None:
        await self.controllers[which % len(self.controllers)].tick()

    async def see_pods(self) -> None:
        for job in await self.launcher.list():
            for pod in job.pods:
                known = SimulatedPod(pod.name, job.name, job.job_id, job.attempt)
                self.pods.setdefault(pod.name, known)

    async def work(self, which: int, steps: int) -> None:
        """A pod that was ever seen makes some steps, whether or not it should."""
        await self.see_pods()
        if self.pods:
            pod = list(self.pods.values())[which % len(self.pods)]
            for _ in range(steps):
                await self.step_of(pod)

    async def take_over(self, which: int) -> None:
        """The launcher calls a pod that still works dead, and its successor claims what it held."""
        launched = [job for job in await self.launcher.list() if self.launcher.running_pods(job.name)]
        if launched:
            job = launched[which % len(launched)]
            before = set(self.launcher.running_pods(job.name))
            self.launcher.end_pod(job.name, WorkerExit.FAILED)
            await self.leases_run_out(1)
            await self.see_pods()
            for successor in set(self.launcher.running_pods(job.name)) - before:
                await self.step_of(self.pods[successor])

    async def step_of(self, pod: SimulatedPod) -> bool:
        """One request of the pod, as the gateway would carry it out. False when the pod has nothing more to do (now)."""
        async with pod.one_at_a_time:
            try:
                return await self._step(pod)
            except Conflict:  # fenced: it would exit, and is kept as the zombie that tries again
                pod.fence = pod.sent = pod.stored = None
                return True

    async def _step(self, pod: SimulatedPod) -> bool:
        segments = self.db.segments
        match pod:
            case SimulatedPod(fence=None):
                return await self._claim(pod)
            case SimulatedPod(fence=Fence() as fence, stored=ChunkClaim() as claim):
                await self._commit(pod, fence, claim)
            case SimulatedPod(sent=(str() as key, ChunkClaim() as claim)):
                await self.store.put(key, b"chunk")
                pod.sent, pod.stored = None, claim
            case SimulatedPod(fence=Fence() as fence, planned=False):
                made = plan_of(pod.job_id)
                pod.end = await self.db.planning.post_plan(fence, made) or pod.end
                pod.planned = True
            case SimulatedPod(fence=Fence() as fence, at=at, end=end) if at < end:
                await segments.terms(fence)  # the gateway stores for a fence in force only
                claim = chunk(at)
                pod.sent = chunk_key(fence, claim, CHUNK_FRAMES), claim
            case SimulatedPod(fence=Fence() as fence):
                await segments.finish(fence, pod.at, ())
                pod.fence = None
        return True

    async def _commit(self, pod: SimulatedPod, fence: Fence, claim: ChunkClaim) -> None:
        is_zombie = self.newest[pod.job_id, fence.segment] > fence.epoch or pod.job_id in self.stopped
        committed = await self.db.segments.commit(fence, claim)
        assert not (is_zombie and committed.is_new), "a zombie wrote a result"
        pod.at, pod.stored = committed.next_sample, None

    async def _claim(self, pod: SimulatedPod) -> bool:
        match await self.db.segments.claim(pod.job_id, pod.attempt, pod.name):
            case Claimed() as claimed:
                pod.fence, pod.at, pod.planned = claimed.fence, claimed.next_sample, claimed.planned
                pod.end = claimed.window_end or CHUNKS * CHUNK_FRAMES
                self._hear_of(pod.job_id, claimed.fence.segment, claimed.fence.epoch)
                return True
            case Busy():
                return False
            case Over():
                self.end(pod, WorkerExit.DONE)
                return False

    def _hear_of(self, job_id: UUID, segment: int, epoch: int) -> None:
        self.newest[job_id, segment] = max(self.newest.get((job_id, segment), 0), epoch)

    async def find_the_plan_wrong(self, which: int) -> None:
        """A pod that holds a window, or thinks so, says that the video cannot be split."""
        holders = [pod for pod in self.pods.values() if pod.fence is not None and not pod.one_at_a_time.locked()]
        if not holders:
            return
        pod = holders[which % len(holders)]
        async with pod.one_at_a_time:
            assert pod.fence is not None
            epochs = {key: epoch for key, epoch in self.newest.items() if key[0] == pod.job_id}
            await self.db.planning.replan(pod.fence, PLAN_DID_NOT_HOLD)
            for (job_id, segment), epoch in epochs.items():
                self._hear_of(job_id, segment, epoch + 1)
            pod.fence = pod.sent = pod.stored = None

    def end(self, pod: SimulatedPod, exit_code: int) -> None:
        """The launcher sees the process end, if it still knows it as running."""
        if pod.name in self.launcher.running_pods(pod.launch_name):
            self.launcher.end_pod(pod.launch_name, exit_code, pod.name)

    async def kill(self, which: int, exit_code: int) -> None:
        await self.see_pods()
        if self.pods:
            self.end(list(self.pods.values())[which % len(self.pods)], exit_code)

    async def lose(self, which: int) -> None:
        launched = await self.launcher.list()
        if launched:
            self.launcher.lose(launched[which % len(launched)].name)

    async def sweep(self) -> None:
        await self.sweeper.sweep()

    async def leases_run_out(self, seconds: float) -> None:
        """Every lease ran out that long ago."""
        held = update(SegmentRow).where(col(SegmentRow.lease_until).is_not(None))
        async with self.db.database.transaction() as session:
            await session.execute(held.values(lease_until=func.now() - timedelta(seconds=seconds)))

    async def an_hour_passes(self) -> None:
        """For what has ended or fell silent, and for what was on its way to the store."""
        for pod in self.pods.values():
            pod.sent = None
        age = timedelta(hours=1)
        change = update(JobRow).values(heartbeat_at=col(JobRow.heartbeat_at) - age)
        async with self.db.database.transaction() as session:
            await session.execute(change.values(finished_at=col(JobRow.finished_at) - age))

    async def settle(self, rounds: int = 60) -> int:
        """No more faults: how many rounds until every job has ended. Raises `AssertionError` when one never does."""
        for number in range(rounds):
            await self.leases_run_out(1)
            for controller in self.controllers:
                await controller.tick()
            await self.see_pods()
            for job in await self.launcher.list():
                for name in (
                    pod.name for pod in job.pods if pod.exit_code is None and job.phase is LaunchPhase.RUNNING
                ):
                    while await self.step_of(self.pods[name]):
                        pass
            if all([(await self.job(job_id)).state.is_final for job_id in self.jobs]):
                return number
        raise AssertionError("a job is stuck")


@asynccontextmanager
async def world(url: str) -> AsyncIterator[World]:
    """Two controllers and one sweeper on an empty database."""
    wakeup = NatsWakeup(WakeupSettings(url=SecretStr("nats://127.0.0.1:1"), timeout_s=0.1))
    tokens, template = Tokens(TokenSettings(secret=SecretStr("s" * 40))), Template("http://gateway", "triton:1", {})
    leases = LeaseSettings(max_stalled_claims=_ENDLESS)
    async with adapters(url, max_stalled_claims=_ENDLESS) as db:
        launcher, store = FakeLauncher(), InMemoryBlobStore()

        def controller() -> Controller:
            applier = Applier(db.schedule, launcher, tokens, template, 1.0, MANY_WORKERS)
            return Controller(db.schedule, launcher, wakeup, applier, template, _PATIENT, leases)

        sweeper = Sweeper(PostgresSweeping(db.database), store, SweepSettings())
        yield World(db, store, launcher, (controller(), controller()), sweeper)
    await wakeup.close()
