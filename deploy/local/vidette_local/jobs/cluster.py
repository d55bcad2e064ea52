"""Runs workers as processes and remembers them in memory: names are unique, failed pods come again, nothing survives us.

A supervisor that starts anew knows no jobs, and the controller makes new attempts: that is by design.
"""

from __future__ import annotations

import asyncio
import secrets
import string
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from vidette_core.domain.worker_api import WorkerExit
from vidette_core.ports.errors import Conflict, NotFound
from vidette_core.ports.launcher import LaunchedJob, LaunchPhase, LaunchSpec, Pod
from vidette_local.child import Child, Command
from vidette_local.environment import POD_NAME
from vidette_local.jobs.policy import BACKOFF_LIMIT, Verdict, backoff_seconds, verdict
from vidette_local.leftovers import Ledger
from vidette_local.say import Say
from vidette_local.supervisor import PartStatus

GRACE_SECONDS = 10.0
_MOST_FINISHED = 200  # finished jobs that nobody deletes are forgotten beyond this, oldest first
_SUFFIX = string.ascii_lowercase + string.digits
_NOT_STARTED = 126


@dataclass(frozen=True, slots=True)
class WorkerTemplate:
    """What every worker starts from. `environment` comes before the launch specification's own."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    folder: Path
    logs: Path
    backoff_limit: int = BACKOFF_LIMIT
    first_backoff_seconds: float = 1.0
    grace_seconds: float = GRACE_SECONDS


@dataclass(slots=True)
class _Job:
    """One index for each worker wanted; an index has one pod at a time."""

    spec: LaunchSpec
    uid: str
    created_at: datetime
    grace_seconds: float
    pods: dict[str, Pod] = field(default_factory=dict)
    """By name, in the order in which they were started."""
    children: dict[str, Child] = field(default_factory=dict)
    """The processes of pods that run."""
    verdicts: list[Verdict] = field(default_factory=list)
    """Of the indexes that have ended."""
    deleted: asyncio.Event = field(default_factory=asyncio.Event)
    halted: asyncio.Event = field(default_factory=asyncio.Event)
    """No pod shall run any more: it was deleted, or one said that none can succeed."""
    lives: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def phase(self) -> LaunchPhase:
        if len(self.verdicts) < len(self.lives) or not self.lives:
            return LaunchPhase.RUNNING if self.pods else LaunchPhase.PENDING
        return LaunchPhase.FAILED if Verdict.FAILED in self.verdicts else LaunchPhase.SUCCEEDED

    @property
    def finished(self) -> bool:
        return self.phase in (LaunchPhase.SUCCEEDED, LaunchPhase.FAILED)

    def seen(self) -> LaunchedJob:
        spec = self.spec
        return LaunchedJob(
            name=spec.name,
            uid=self.uid,
            job_id=spec.job_id,
            attempt=spec.attempt,
            spec_hash=spec.spec_hash,
            phase=self.phase,
            created_at=self.created_at,
            pods=tuple(self.pods.values()),
            workers=len(self.lives),
        )


class Cluster:
    """The jobs of one stack. To be used from one event loop, in the main thread."""

    def __init__(self, template: WorkerTemplate, ledger: Ledger, say: Say) -> None:
        self._template = template
        self._ledger = ledger
        self._say = say
        self._jobs: dict[str, _Job] = {}
        self.closed = False
        self._moved = asyncio.Event()
        self.change = 0

    def create(self, spec: LaunchSpec) -> LaunchedJob:
        """Start a job. Raises `Conflict` when the name is taken, also by a job that is being deleted."""
        if self.closed or spec.name in self._jobs:
            raise Conflict("the stack is stopping" if self.closed else f"a job named {spec.name} exists already")
        self._forget_oldest()
        job = _Job(spec, str(uuid4()), datetime.now(UTC), self._template.grace_seconds)
        self._jobs[spec.name] = job
        self._add_indexes(job, spec.workers)
        return job.seen()

    def grow(self, name: str, uid: str, workers: int) -> None:
        """Have as many workers, if there are fewer. Raises `NotFound`, and `Conflict` for another uid or a job that ended."""
        job = self._find(name)
        if job.uid != uid or job.finished or job.halted.is_set():
            raise Conflict(f"the job named {name} is another one, or has ended")
        self._add_indexes(job, workers)

    def get(self, name: str) -> LaunchedJob:
        """Raises `NotFound`."""
        return self._find(name).seen()

    def all(self) -> list[LaunchedJob]:
        return [job.seen() for job in self._jobs.values()]

    def delete(self, name: str, uid: str) -> None:
        """Have the job stopped and forgotten. Raises `NotFound`, and `Conflict` when the name belongs to another uid."""
        job = self._find(name)
        if job.uid != uid:
            raise Conflict(f"the job named {name} is another one")
        job.deleted.set()
        job.halted.set()
        if job.finished:
            self._remove(job)

    async def wait_change(self, after: int, limit_seconds: float) -> int:
        """The number of the latest change: at once when it is not `after`, else at the next change or after the limit."""
        if self.change == after:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), limit_seconds)
        return self.change

    @property
    def status(self) -> list[PartStatus]:
        """The running workers, as lines of `ps`."""
        return [
            PartStatus(_worker_name(pod), child.pid, "stopping" if job.halted.is_set() else "ready", "")
            for job in self._jobs.values()
            for pod, child in job.children.items()
            if not child.ended
        ]

    async def stop(self, grace_seconds: float) -> None:
        """Stop all workers and take no new jobs. Workers get `grace_seconds` between SIGTERM and SIGKILL."""
        self.closed = True
        for job in self._jobs.values():
            job.grace_seconds = grace_seconds
            job.deleted.set()
            job.halted.set()
        self._touch()  # whoever waits for a change need not wait any longer
        lives = [life for job in self._jobs.values() for life in job.lives]
        await asyncio.gather(*lives, return_exceptions=True)

    def kill(self) -> None:
        for job in self._jobs.values():
            for child in job.children.values():
                child.kill()

    def _find(self, name: str) -> _Job:
        try:
            return self._jobs[name]
        except KeyError:
            raise NotFound(f"there is no job named {name}") from None

    def _touch(self) -> None:
        self.change += 1
        self._moved.set()
        self._moved = asyncio.Event()

    def _remove(self, job: _Job) -> None:
        if self._jobs.get(job.spec.name) is job:
            del self._jobs[job.spec.name]
            self._touch()

    def _forget_oldest(self) -> None:
        finished = [job for job in self._jobs.values() if job.finished]
        for job in finished[: max(0, len(finished) - _MOST_FINISHED + 1)]:
            self._remove(job)

    def _add_indexes(self, job: _Job, workers: int) -> None:
        for index in range(len(job.lives), workers):
            life = asyncio.create_task(self._live(job), name=f"job {job.spec.name}, index {index}")
            job.lives.append(life)
        self._touch()

    async def _live(self, job: _Job) -> None:
        """One index from its first pod to its verdict, or to the job's end."""
        decided = Verdict.FAILED
        try:
            decided = await self._decide(job)
        finally:  # whatever becomes of it, the job must be able to end
            job.verdicts.append(decided)
            if job.finished and job.deleted.is_set():
                self._remove(job)
            elif job.finished:
                self._say("jobs", f"{job.spec.name} {job.phase.value}")
            self._touch()

    async def _decide(self, job: _Job) -> Verdict:
        failures = 0
        while not job.halted.is_set():
            code = await self._run_pod(job)
            failures += code != 0
            decided = verdict(code, failures, self._template.backoff_limit)
            if code == WorkerExit.BAD_INPUT:
                job.halted.set()
            if decided is not Verdict.AGAIN:
                return decided
            with suppress(TimeoutError):
                pause = backoff_seconds(failures, self._template.first_backoff_seconds)
                await asyncio.wait_for(job.halted.wait(), pause)
        return Verdict.FAILED

    async def _run_pod(self, job: _Job) -> int:
        name = f"{job.spec.name}-{''.join(secrets.choice(_SUFFIX) for _ in range(5))}"
        job.pods[name] = Pod(name)
        code = _NOT_STARTED
        try:
            child = self._start_pod(job.spec, name)
        except OSError as error:  # no process could be made, or its log not opened: a failed pod like any other
            self._say("jobs", f"{name} could not be started: {error.strerror}")
        else:
            job.children[name] = child
            self._ledger.add(child)
            self._touch()
            code = await self._end_of(job, child)
            self._ledger.remove(child)
            del job.children[name]
        job.pods[name] = Pod(name, code)
        if code != 0 and not job.deleted.is_set():
            self._say("jobs", f"{name} ended with exit code {code}")
        self._touch()
        return code

    def _start_pod(self, spec: LaunchSpec, pod: str) -> Child:
        environment = {**self._template.environment, **spec.env, **spec.secrets, POD_NAME: pod}
        command = Command(argv=self._template.argv, cwd=self._template.folder, env=environment)
        return Child.start(command, self._template.logs / f"{_worker_name(pod)}.log")

    async def _end_of(self, job: _Job, child: Child) -> int:
        """Wait for the process; when the job is halted first, stop it."""
        ended = asyncio.create_task(child.wait())
        halted = asyncio.create_task(job.halted.wait())
        try:
            await asyncio.wait({ended, halted}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                child.signal(child.stop_signal)
                await asyncio.wait({ended}, timeout=job.grace_seconds)
            child.kill()
            return await ended
        finally:
            halted.cancel()


def _worker_name(pod: str) -> str:
    return f"worker-{pod.removeprefix('vidette-')}"
