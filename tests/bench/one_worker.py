"""One job analysed by one worker process, against the real gateway, store and Triton, and what it took.

The benchmark claims the job as the controller would, and starts the worker with the environment that the embedded stack
gives it. The time counts from the worker's claim to the end of its last segment, so without the start of Python.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from tests.bench.installation import Installation, installation
from tests.bench.upload import submit
from tests.bench.usage import cpu_seconds
from tests.support.jobs import PLENTY, adapters
from tests.support.triton import TritonServer, triton_running
from vidette_controller.launch import Template, launch_of, spec_of
from vidette_core.domain.pipelines import Catalog
from vidette_core.settings import WorkerTuning, as_environment
from vidette_local.child import Child, Command
from vidette_local.environment import POD_NAME, worker_environment
from vidette_local.stack import WORKER
from vidette_models.builtin import write_builtin

_LIMIT_S = 1800.0


@dataclass(frozen=True, slots=True)
class Worked:
    """A finished job: frames a second, and CPU milliseconds a frame of the worker, of Triton, and of the other servers."""

    frames_per_second: float
    worker_cpu_ms: float
    triton_cpu_ms: float
    servers_cpu_ms: float

    @property
    def cpu_ms(self) -> float:
        return self.worker_cpu_ms + self.triton_cpu_ms + self.servers_cpu_ms


@dataclass(frozen=True, slots=True)
class Workplace:
    """An installation with Triton and the built-in pipelines, served as users have them."""

    installed: Installation
    triton: TritonServer
    catalog: Catalog

    def environment(self) -> dict[str, str]:
        """Of a worker, and of what is compared with one."""
        return worker_environment(os.environ, "bench")

    def work(self, clip: Path, pipeline_id: str, frames: int, tuning: Mapping[str, str], **fields: str) -> Worked:
        """Submit the clip, have one worker analyse it, and look at what that took. Raises `RuntimeError` when it fails."""
        job_id = UUID(submit(self.installed.api.port, clip, pipeline_id, **fields))
        template = Template(
            self.installed.api.gateway_url, self.triton.url, {**as_environment(WorkerTuning()), **tuning}
        )
        claim_all(self.installed, template)
        spec = spec_of(template, self.installed.tokens(), job_id, 1, datetime.now(UTC))
        environment = {**self.environment(), **spec.env, **spec.secrets, POD_NAME: spec.name}
        log = self.installed.folder / f"{spec.name}.log"
        child = Child.start(Command(WORKER, self.installed.folder, environment), log)
        try:
            return self._watch(child, log, frames)
        finally:
            child.stop_blocking(5)

    def _watch(self, child: Child, log: Path, frames: int) -> Worked:
        used = None
        before = after = self._used(child)
        deadline = time.monotonic() + _LIMIT_S
        while not child.ended:
            if used is None and "claimed" in _events(log):
                before = used = self._used(child)
            after = [max(pair) for pair in zip(after, self._used(child), strict=True)]
            if time.monotonic() > deadline:
                raise RuntimeError(f"the worker is not done after {_LIMIT_S} s")
            time.sleep(0.05)
        events = _events(log)
        if "finished" not in events:
            raise RuntimeError(f"the worker ended without finishing:\n{log.read_text()[-2000:]}")
        seconds = (events["finished"] - events["claimed"]).total_seconds()
        spent = [(end - start) * 1000 / frames for start, end in zip(before, after, strict=True)]
        return Worked(frames / seconds, *spent)

    def _used(self, child: Child) -> list[float]:
        servers = (self.installed.api.pid, *self.installed.servers)
        return [cpu_seconds(child.pid), cpu_seconds(self.triton.child.pid), cpu_seconds(*servers)]


def claim_all(installed: Installation, template: Template) -> None:
    """What is pending, as the controller would."""

    async def claim() -> None:
        async with adapters(installed.database_url) as made:
            await made.schedule.claim(PLENTY, lambda job_id, attempt: launch_of(template, job_id, attempt))

    asyncio.run(claim())


def told(log: Path) -> list[tuple[str, datetime]]:
    """What the worker said, and when."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]
    return [(line["event"], datetime.fromisoformat(line["timestamp"])) for line in lines]


def _events(log: Path) -> dict[str, datetime]:
    """When the worker said what, first words first."""
    return dict(reversed(told(log)))


@contextmanager
def workplace(folder: Path) -> Iterator[Workplace]:
    """Everything up, with the models that `make up` serves and its settings for them."""
    repository = folder / "models"
    catalog = write_builtin(repository)
    with (
        installation(folder, repository / "catalog.json") as installed,
        triton_running(folder / "triton", repository) as triton,
    ):
        yield Workplace(installed, triton, catalog)
