"""What keeps a part running goes on whatever happens to it: a full disk, a failure that nobody foresaw, no descriptors left."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support import obedient_worker
from tests.support.processes import eventually, is_alive
from vidette_core.ports.launcher import LaunchPhase, LaunchSpec
from vidette_local.child import Child, Command
from vidette_local.jobs.cluster import Cluster, WorkerTemplate
from vidette_local.leftovers import Ledger
from vidette_local.parts.part import Part
from vidette_local.supervisor import Supervisor

_LIMIT = 20.0


@dataclass(slots=True)
class Sleeper:
    """A part that does nothing, and is ready at once. Its troubles are raised when it is asked for its seconds."""

    folder: Path
    name: str = "sleeper"
    address: str = ""
    start_trouble: list[Exception] = field(default_factory=list)
    stop_trouble: Exception | None = None

    @property
    def start_seconds(self) -> float:
        if self.start_trouble:
            raise self.start_trouble.pop()
        return 10.0

    @property
    def grace_seconds(self) -> float:
        if self.stop_trouble is not None:
            raise self.stop_trouble
        return 5.0

    async def prepare(self) -> None:
        """Nothing to make."""

    def command(self) -> Command:
        program = "import time; time.sleep(120)"
        return Command((sys.executable, "-c", program), self.folder, {"PATH": os.environ["PATH"]})

    async def probe(self) -> None:
        """Ready."""


@dataclass(slots=True)
class Said:
    """Every line that was said."""

    lines: list[str] = field(default_factory=list)

    def __call__(self, who: str, what: str) -> None:
        self.lines.append(f"{who}: {what}")

    def about(self, words: str) -> list[str]:
        return [line for line in self.lines if words in line]


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def unwritable(tmp_path: Path, said: Said) -> Ledger:
    """As on a full disk: nothing can be written, not even by root."""
    return Ledger(tmp_path / "no such folder" / "processes.json", said)


@asynccontextmanager
async def supervised(folder: Path, said: Said, ledger: Ledger, *parts: Part) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(parts, folder, ledger, said)
    try:
        await supervisor.start()
        yield supervisor
    finally:
        supervisor.kill()
        await supervisor.stop()


def comes_back(supervisor: Supervisor, before: int | None) -> Callable[[], bool]:
    return lambda: supervisor.status[0].state == "ready" and supervisor.status[0].pid not in (None, before)


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, allowed[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, allowed)


async def test_a_part_is_started_again_though_nothing_can_be_written_down(
    tmp_path: Path, said: Said, unwritable: Ledger
) -> None:
    async with supervised(tmp_path, said, unwritable, Sleeper(tmp_path)) as supervisor:
        assert len(said.about("cannot be written (No such file or directory)")) == 1, "said once for a failure"
        before = supervisor.status[0].pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await eventually(comes_back(supervisor, before), _LIMIT, "the part is back")
        await supervisor.stop()
        assert [status.state for status in supervisor.status] == ["stopped"]


async def test_a_worker_runs_once_though_nothing_can_be_written_down(
    tmp_path: Path, said: Said, unwritable: Ledger
) -> None:
    orders = tmp_path / "orders"
    orders.mkdir()
    template = WorkerTemplate(
        argv=(sys.executable, str(Path(obedient_worker.__file__))),
        environment={"PATH": os.environ["PATH"], "ORDERS": str(orders)},
        folder=tmp_path,
        logs=tmp_path,
        first_backoff_seconds=0.05,
    )
    cluster = Cluster(template, unwritable, said)
    name = "vidette-one-a1"
    cluster.create(LaunchSpec(name=name, job_id=uuid4(), attempt=1, spec_hash="h", env={}))
    try:
        await eventually(lambda: any(orders.glob("seen-*")), _LIMIT, "a worker runs")
        await asyncio.sleep(0.5)  # ten times the pause after which another one would be started
        assert len(list(orders.glob("seen-*"))) == 1
        assert [pod.exit_code for pod in cluster.get(name).pods] == [None]
        assert said.about("could not be started") == []
        (orders / ".order").write_text("0")
        (orders / ".order").rename(orders / name)
        await eventually(lambda: cluster.get(name).phase is LaunchPhase.SUCCEEDED, _LIMIT, "its end is noticed")
    finally:
        await cluster.stop(1.0)


async def test_a_failure_that_nobody_foresaw_is_shown_and_tried_again(tmp_path: Path, said: Said) -> None:
    part = Sleeper(tmp_path)
    async with supervised(tmp_path, said, Ledger(tmp_path / "processes.json", said), part) as supervisor:
        before = supervisor.status[0].pid
        assert before is not None
        part.start_trouble = [RuntimeError("nobody foresaw this")]
        os.kill(before, signal.SIGKILL)
        await eventually(lambda: supervisor.status[0].state == "failed", _LIMIT, "the failure is seen")
        assert supervisor.status[0].pid is None
        assert len(said.about("nobody foresaw this")) == 1
        await eventually(comes_back(supervisor, before), _LIMIT, "the part is back")


async def test_a_part_that_cannot_be_stopped_in_order_does_not_keep_the_others_running(
    tmp_path: Path, said: Said
) -> None:
    first, last = Sleeper(tmp_path, "first"), Sleeper(tmp_path, "last")
    async with supervised(tmp_path, said, Ledger(tmp_path / "processes.json", said), first, last) as supervisor:
        pids = [status.pid for status in supervisor.status]
        last.stop_trouble = RuntimeError("no seconds to be had")
        await supervisor.stop()
        assert [status.state for status in supervisor.status] == ["stopped", "stopped"]
        await eventually(lambda: not any(is_alive(pid) for pid in pids if pid), 5, "both processes are gone")
        assert len(said.about("last: could not be stopped in order")) == 1


async def test_the_end_of_a_process_is_noticed_without_a_descriptor_to_spare(tmp_path: Path) -> None:
    child = Child.start(Sleeper(tmp_path).command(), tmp_path / "log")
    with no_descriptors_left():
        waiting = asyncio.create_task(child.wait())
        await asyncio.sleep(0.1)
        child.kill()
        assert await asyncio.wait_for(waiting, 5) == 128 + signal.SIGKILL
