"""A launcher in memory: no process runs, and the test says when a pod ends. Under one contract suite with the real ones."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from vidette_core.domain.worker_api import WorkerExit
from vidette_core.ports.errors import Conflict, NotFound, Unavailable
from vidette_core.ports.launcher import LaunchedJob, LaunchPhase, LaunchSpec, Note, Pod


@dataclass(slots=True)
class _Entry:
    job: LaunchedJob
    index_of: dict[str, int] = field(default_factory=dict)
    failures: Counter[int] = field(default_factory=Counter)
    """Of each index."""
    failed: int = 0
    """Indexes that ended so."""

    def add_pod(self, index: int) -> None:
        pod = Pod(f"{self.job.name}-{len(self.index_of):05d}")
        self.index_of[pod.name] = index
        self.job = replace(self.job, pods=(*self.job.pods, pod))

    def end(self, name: str, exit_code: int) -> None:
        pods = tuple(Pod(name, exit_code) if pod.name == name else pod for pod in self.job.pods)
        self.job = replace(self.job, pods=pods)

    def judge(self) -> None:
        if any(pod.exit_code is None for pod in self.job.pods):
            return
        phase = LaunchPhase.FAILED if self.failed else LaunchPhase.SUCCEEDED
        self.job = replace(self.job, phase=phase)


class FakeLauncher:
    """`vidette_core.ports.launcher.Launcher` without processes.

    A created job has its running pods at once; `end_pod` ends one, and a failed pod is replaced at once, without a back-off.
    `specs` holds every specification that was ever created, in order, for a test to look at, and `notes` what was told. While
    `available` is False every call raises `Unavailable`.
    """

    def __init__(self, backoff_limit: int = 6, poll_seconds: float = 0.05) -> None:
        self.available = True
        self.specs: list[LaunchSpec] = []
        self.notes: list[tuple[str, Note]] = []
        self._backoff_limit = backoff_limit
        self._poll = poll_seconds
        self._entries: dict[str, _Entry] = {}
        self._uids = itertools.count(1)
        self._moved = asyncio.Event()

    async def create(self, spec: LaunchSpec) -> LaunchedJob:
        self._check()
        if spec.name in self._entries:
            raise Conflict(f"a job named {spec.name} exists already")
        job = LaunchedJob(
            name=spec.name,
            uid=f"uid-{next(self._uids)}",
            job_id=spec.job_id,
            attempt=spec.attempt,
            spec_hash=spec.spec_hash,
            phase=LaunchPhase.RUNNING,
            created_at=datetime.now(UTC),
            workers=spec.workers,
        )
        entry = _Entry(job)
        self._entries[spec.name] = entry
        self.specs.append(spec)
        for index in range(spec.workers):
            entry.add_pod(index)
        self._touch()
        return entry.job

    async def get(self, name: str) -> LaunchedJob:
        self._check()
        return self._find(name).job

    async def list(self) -> list[LaunchedJob]:
        self._check()
        return [entry.job for entry in self._entries.values()]

    async def grow(self, name: str, uid: str, workers: int) -> None:
        self._check()
        entry = self._find(name)
        if entry.job.uid != uid or entry.job.phase is not LaunchPhase.RUNNING:
            raise Conflict(f"the job named {name} is another one than {uid}, or has ended")
        for index in range(entry.job.workers, workers):
            entry.add_pod(index)
        entry.job = replace(entry.job, workers=max(workers, entry.job.workers))
        self._touch()

    async def delete(self, name: str, uid: str) -> None:
        self._check()
        entry = self._entries.get(name)
        if entry is None:
            return
        if entry.job.uid != uid:
            raise Conflict(f"the job named {name} is another one than {uid}")
        del self._entries[name]
        self._touch()

    async def tell(self, name: str, uid: str, note: Note) -> None:
        entry = self._entries.get(name)
        if self.available and entry is not None and entry.job.uid == uid:
            self.notes.append((name, note))

    async def changes(self) -> AsyncIterator[None]:
        while True:
            moved = self._moved
            with suppress(TimeoutError):  # now and then without reason, as the port promises
                await asyncio.wait_for(moved.wait(), self._poll)
            yield

    def running_pods(self, name: str) -> tuple[str, ...]:
        """The pods of the job `name` that run, the oldest first; none when there is no such job."""
        entry = self._entries.get(name)
        return () if entry is None else tuple(pod.name for pod in entry.job.pods if pod.exit_code is None)

    def end_pod(self, name: str, exit_code: int, pod: str | None = None) -> None:
        """End a running pod of the job `name`, the oldest where none is named. Raises `NotFound`."""
        entry = self._find(name)
        running = self.running_pods(name)
        ending = running[0] if pod is None else pod
        if ending not in running:
            raise NotFound(f"no pod {ending} runs in {name}")
        entry.end(ending, exit_code)
        if exit_code == WorkerExit.BAD_INPUT:
            for other in self.running_pods(name):
                entry.end(other, WorkerExit.TERMINATED)
            entry.failed += 1
        elif exit_code != WorkerExit.DONE:
            index = entry.index_of[ending]
            entry.failures[index] += 1
            if entry.failures[index] > self._backoff_limit:
                entry.failed += 1
            else:
                entry.add_pod(index)
        entry.judge()
        self._touch()

    def lose(self, name: str) -> None:
        """Forget the job as if the launcher had been wiped. Raises `NotFound`."""
        self._find(name)
        del self._entries[name]
        self._touch()

    def _find(self, name: str) -> _Entry:
        try:
            return self._entries[name]
        except KeyError:
            raise NotFound(f"there is no job named {name}") from None

    def _check(self) -> None:
        if not self.available:
            raise Unavailable("the launcher is away, as the test asked")

    def _touch(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
