"""A launcher in memory: no process runs, and the test says when a pod ends. Under one contract suite with the real ones."""

from __future__ import annotations

import asyncio
import itertools
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
    failures: int = 0
    pods_made: itertools.count[int] = field(default_factory=itertools.count)


class FakeLauncher:
    """`vidette_core.ports.launcher.Launcher` without processes.

    A created job has a running pod at once; `end_pod` ends it, and a failed pod is replaced at once, without a back-off.
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
        )
        entry = _Entry(job)
        self._entries[spec.name] = entry
        self.specs.append(spec)
        self._add_pod(entry)
        self._touch()
        return entry.job

    async def get(self, name: str) -> LaunchedJob:
        self._check()
        return self._find(name).job

    async def list(self) -> list[LaunchedJob]:
        self._check()
        return [entry.job for entry in self._entries.values()]

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

    def running_pod(self, name: str) -> str | None:
        """The pod of the job `name` that runs; None when there is none, or no such job."""
        entry = self._entries.get(name)
        if entry is None or not entry.job.pods or entry.job.pods[-1].exit_code is not None:
            return None
        return entry.job.pods[-1].name

    def end_pod(self, name: str, exit_code: int) -> None:
        """End the running pod of the job `name`. Raises `NotFound`."""
        entry = self._find(name)
        *before, last = entry.job.pods
        entry.job = replace(entry.job, pods=(*before, Pod(last.name, exit_code)))
        if exit_code == WorkerExit.DONE:
            entry.job = replace(entry.job, phase=LaunchPhase.SUCCEEDED)
        else:
            entry.failures += 1
            if exit_code == WorkerExit.BAD_INPUT or entry.failures > self._backoff_limit:
                entry.job = replace(entry.job, phase=LaunchPhase.FAILED)
            else:
                self._add_pod(entry)
        self._touch()

    def lose(self, name: str) -> None:
        """Forget the job as if the launcher had been wiped. Raises `NotFound`."""
        self._find(name)
        del self._entries[name]
        self._touch()

    def _add_pod(self, entry: _Entry) -> None:
        pod = Pod(f"{entry.job.name}-{next(entry.pods_made):05d}")
        entry.job = replace(entry.job, pods=(*entry.job.pods, pod))

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
