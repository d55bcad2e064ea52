"""The thin loop: gather, plan, apply; woken by NATS, by the launcher, or by its own sweep."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from uuid import UUID

import structlog

from vidette_controller.actions import DeleteJob, GrowJob
from vidette_controller.apply import Applier
from vidette_controller.checks import CANCELLED, Policy
from vidette_controller.explaining import Explainer
from vidette_controller.findings import EXPLANATIONS
from vidette_controller.launch import Template, launch_of
from vidette_controller.plan import plan
from vidette_controller.settings import ControllerSettings
from vidette_controller.starting import obstacle
from vidette_core.domain.schedule import Snapshot
from vidette_core.ports.errors import PortError, Unavailable
from vidette_core.ports.jobs import Caps, Schedule
from vidette_core.ports.launcher import LaunchedJob, Launcher
from vidette_core.ports.wakeup import Wakeup
from vidette_core.settings import LeaseSettings
from vidette_core.telemetry.logs import job_in_logs
from vidette_core.telemetry.metrics import (
    JOBS_ENDED,
    JOBS_NOT_STARTING,
    JOBS_PENDING,
    JOBS_RUNNING,
    LAUNCHER_UNAVAILABLE,
    OLDEST_PENDING_SECONDS,
    TICK_SECONDS,
    TICKS_FAILED,
)

MIN_PAUSE_S = 0.1
"""Between two rounds: many wake-ups at once become one round."""
RETRY_S = 1.0
_log = structlog.get_logger(__name__)


class Controller:
    """Correct with any number of them running; one more only doubles the looking."""

    def __init__(
        self,
        schedule: Schedule,
        launcher: Launcher,
        wakeup: Wakeup,
        applier: Applier,
        template: Template,
        settings: ControllerSettings,
        leases: LeaseSettings,
        *,
        can_have_more_memory: bool = False,
    ) -> None:
        self._schedule = schedule
        self._launcher = launcher
        self._wakeup = wakeup
        self._applier = applier
        self._template = template
        self._settings = settings
        self._caps = Caps(settings.max_running, settings.max_running_per_tenant)
        self._policy = Policy(
            max_attempts=settings.max_attempts,
            max_waited_attempts=settings.max_waited_attempts,
            max_stalled_claims=leases.max_stalled_claims,
            stalled_lease=timedelta(seconds=settings.stalled_lease_s),
            deadline=timedelta(seconds=settings.deadline_s),
            start_patience=timedelta(seconds=settings.start_patience_s),
            refused_start_patience=timedelta(seconds=settings.refused_start_patience_s),
            max_workers=settings.max_workers,
            can_have_more_memory=can_have_more_memory,
        )
        self._explainer = Explainer(launcher)
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(self._wakeup.wakes()))
            tasks.create_task(self._listen(self._launcher.changes()))
            while True:
                self._woken.clear()
                wait = self._settings.sweep_s
                try:
                    if await self.tick():
                        wait = MIN_PAUSE_S
                except PortError as error:
                    TICKS_FAILED.inc()
                    _log.warning("this round was cut short; the next one goes on", error=str(error))
                    wait = RETRY_S
                await self._pause(wait)

    async def tick(self) -> bool:
        """One round. True when something was done, so that another look is due. Raises `PortError`."""
        with TICK_SECONDS.time():
            # Launched jobs before rows; `plan` says why. And before claims: what cannot be launched waits as `pending`.
            launched = await self._list()
            await self._end_cancelled()
            claimed = [] if launched is None else await self._claim()
            snapshot = await self._schedule.snapshot()
            _count(snapshot)
            actions = plan(snapshot, launched, self._policy)
            if launched is not None:  # else what has been told of them would be forgotten, and told again
                _count_not_starting(snapshot, launched)
                await self._explainer.explain(launched, snapshot.now)
            done = await self._applier.apply(actions)
        # What was deleted or has grown may be listed as it was for a while: looking again at once would only ask again.
        return bool(claimed) or any(not isinstance(action, DeleteJob | GrowJob) for action in done)

    async def _list(self) -> list[LaunchedJob] | None:
        try:
            return await self._launcher.list()
        except Unavailable as error:
            LAUNCHER_UNAVAILABLE.inc()
            _log.warning("the launcher is away; what the rows can decide goes on", error=str(error))
            return None

    async def _claim(self) -> list[UUID]:
        return await self._schedule.claim(
            self._caps, lambda job_id, attempt: launch_of(self._template, job_id, attempt)
        )

    async def _end_cancelled(self) -> None:
        """Jobs that nobody has claimed; those that run are ended by the plan."""
        for job_id in await self._schedule.end_cancelled(CANCELLED):
            JOBS_ENDED.labels(CANCELLED.code.value).inc()
            with job_in_logs(job_id):
                _log.info("the job was cancelled before it ran")

    async def _listen(self, signals: AsyncIterator[None]) -> None:
        async for _ in signals:
            self._woken.set()

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(MIN_PAUSE_S)
        try:
            async with asyncio.timeout(max(0.0, seconds - MIN_PAUSE_S)):
                await self._woken.wait()
        except TimeoutError:
            return


def _count(snapshot: Snapshot) -> None:
    JOBS_RUNNING.set(len(snapshot.jobs))
    JOBS_PENDING.set(snapshot.pending)
    oldest = snapshot.oldest_pending or snapshot.now
    OLDEST_PENDING_SECONDS.set((snapshot.now - oldest).total_seconds())


def _count_not_starting(snapshot: Snapshot, launched: Iterable[LaunchedJob]) -> None:
    by_name = {job.name: job for job in launched}
    there = [(job, by_name[job.launch_name]) for job in snapshot.jobs if job.launch_name in by_name]
    obstacles = (obstacle(job, made, snapshot.now) for job, made in there)
    found = Counter(each.diagnosis.finding for each in obstacles if each is not None)
    for finding in (finding for finding, explanation in EXPLANATIONS.items() if explanation.wait is not None):
        JOBS_NOT_STARTING.labels(finding.value).set(found[finding])
