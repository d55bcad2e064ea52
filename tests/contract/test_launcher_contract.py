"""What every launcher promises, asked of the in-memory fake and of real processes behind the supervisor's socket."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support import obedient_worker
from tests.support.processes import eventually, is_alive
from vidette_core.adapters.process_launcher import ProcessLauncher
from vidette_core.ports.errors import Conflict, NotFound, Unavailable
from vidette_core.ports.launcher import LaunchedJob, Launcher, LaunchPhase, LaunchSpec
from vidette_core.testing.launcher import FakeLauncher
from vidette_local.jobs.cluster import Cluster, WorkerTemplate
from vidette_local.jobs.server import application, serving
from vidette_local.leftovers import Ledger

_LIMIT = 20.0
_BACKOFF_LIMIT = 2


class Rig(Protocol):
    """A launcher, and the test's hand on its pods and on its availability."""

    launcher: Launcher

    async def end_pod(self, job: str, exit_code: int) -> None: ...
    async def go_away(self) -> None: ...


class FakeRig:
    def __init__(self) -> None:
        self._fake = FakeLauncher(backoff_limit=_BACKOFF_LIMIT)
        self.launcher: Launcher = self._fake

    async def end_pod(self, job: str, exit_code: int) -> None:
        self._fake.end_pod(job, exit_code)

    async def go_away(self) -> None:
        self._fake.available = False


class ProcessRig:
    """The jobs server in this process, with workers that obey files."""

    def __init__(self, folder: Path, socket: Path) -> None:
        self.folder = folder
        self.orders = folder / "orders"
        self.launcher: Launcher = ProcessLauncher(socket, timeout_seconds=5, poll_seconds=0.5)
        template = WorkerTemplate(
            argv=(sys.executable, str(Path(obedient_worker.__file__))),
            environment={"PATH": os.environ["PATH"], "ORDERS": str(self.orders)},
            folder=folder,
            logs=folder,
            backoff_limit=_BACKOFF_LIMIT,
            first_backoff_seconds=0.05,
            grace_seconds=0.5,
        )
        self.orders.mkdir()
        self.cluster = Cluster(template, Ledger(folder / "processes.json"), lambda *_: None)
        self._server = serving(application(self.cluster, lambda: self.cluster.status), socket)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self._server:
            try:
                yield
            finally:
                await self.cluster.stop(1.0)

    async def end_pod(self, job: str, exit_code: int) -> None:
        order = self.orders / job
        order.with_suffix(".new").write_text(f"kill {exit_code - 128}" if exit_code > 128 else str(exit_code))
        order.with_suffix(".new").rename(order)
        await eventually(lambda: not order.exists(), _LIMIT, "the worker reads its order")

    async def go_away(self) -> None:
        self.launcher = ProcessLauncher(self.folder / "nobody-listens.sock", timeout_seconds=1)


@pytest.fixture
async def process_rig(tmp_path: Path) -> AsyncIterator[ProcessRig]:
    with tempfile.TemporaryDirectory(prefix="vl-") as short:  # a socket's path must be short
        rig = ProcessRig(tmp_path, Path(short) / "s")
        async with rig.running():
            yield rig


@pytest.fixture(params=["fake", "processes"])
def rig(request: pytest.FixtureRequest) -> Rig:
    chosen: Rig = FakeRig() if request.param == "fake" else request.getfixturevalue("process_rig")
    return chosen


def spec(name: str = "vidette-one-a1") -> LaunchSpec:
    return LaunchSpec(
        name=name,
        job_id=uuid4(),
        attempt=1,
        spec_hash="h",
        env={"TOLD": "openly"},
        secrets={"VIDETTE_JOB_TOKEN": "secret"},
    )


async def wait_for(rig: Rig, name: str, phase: LaunchPhase) -> LaunchedJob:
    async with asyncio.timeout(_LIMIT):
        while (job := await rig.launcher.get(name)).phase is not phase:
            await asyncio.sleep(0.02)
    return job


async def wait_for_pods(rig: Rig, name: str, running: int, ended: int) -> LaunchedJob:
    async with asyncio.timeout(_LIMIT):
        while True:
            job = await rig.launcher.get(name)
            codes = [pod.exit_code for pod in job.pods]
            if (codes.count(None), len(codes) - codes.count(None)) == (running, ended):
                return job
            await asyncio.sleep(0.02)


async def test_a_created_job_is_what_was_asked_for_and_runs(rig: Rig) -> None:
    asked = spec()
    created = await rig.launcher.create(asked)
    assert (created.name, created.job_id, created.attempt, created.spec_hash) == (asked.name, asked.job_id, 1, "h")
    assert created.created_at.tzinfo is not None
    running = await wait_for_pods(rig, asked.name, running=1, ended=0)
    assert running.uid == created.uid
    assert running.phase is LaunchPhase.RUNNING
    assert running.pods[0].name.startswith(asked.name)


async def test_a_name_is_given_once(rig: Rig) -> None:
    first = await rig.launcher.create(spec())
    with pytest.raises(Conflict):
        await rig.launcher.create(spec())
    assert [job.uid for job in await rig.launcher.list()] == [first.uid]


async def test_of_many_creations_at_once_one_wins(rig: Rig) -> None:
    outcomes = await asyncio.gather(*(rig.launcher.create(spec()) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(outcome, LaunchedJob) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 7


async def test_an_unknown_name_is_not_found(rig: Rig) -> None:
    with pytest.raises(NotFound):
        await rig.launcher.get("vidette-nobody-a1")


async def test_all_jobs_are_listed(rig: Rig) -> None:
    assert await rig.launcher.list() == []
    for name in ("vidette-one-a1", "vidette-two-a1"):
        await rig.launcher.create(spec(name))
    assert {job.name for job in await rig.launcher.list()} == {"vidette-one-a1", "vidette-two-a1"}


async def test_a_launcher_that_is_away_is_unavailable_and_never_empty(rig: Rig) -> None:
    created = await rig.launcher.create(spec())
    await rig.go_away()
    with pytest.raises(Unavailable):
        await rig.launcher.list()
    with pytest.raises(Unavailable):
        await rig.launcher.get(created.name)
    with pytest.raises(Unavailable):
        await rig.launcher.create(spec("vidette-two-a1"))
    with pytest.raises(Unavailable):
        await rig.launcher.delete(created.name, created.uid)


async def test_exit_zero_is_success(rig: Rig) -> None:
    await rig.launcher.create(spec())
    await rig.end_pod("vidette-one-a1", 0)
    job = await wait_for(rig, "vidette-one-a1", LaunchPhase.SUCCEEDED)
    assert [pod.exit_code for pod in job.pods] == [0]


async def test_a_failed_pod_is_replaced_by_another_one(rig: Rig) -> None:
    await rig.launcher.create(spec())
    await rig.end_pod("vidette-one-a1", 75)
    job = await wait_for_pods(rig, "vidette-one-a1", running=1, ended=1)
    assert job.phase is LaunchPhase.RUNNING
    assert [pod.exit_code for pod in job.pods] == [75, None]
    assert len({pod.name for pod in job.pods}) == 2


async def test_a_death_by_signal_is_128_and_the_signal(rig: Rig) -> None:
    await rig.launcher.create(spec())
    await rig.end_pod("vidette-one-a1", 128 + signal.SIGSEGV)
    job = await wait_for_pods(rig, "vidette-one-a1", running=1, ended=1)
    assert job.pods[0].exit_code == 139


async def test_bad_input_fails_the_job_at_once(rig: Rig) -> None:
    await rig.launcher.create(spec())
    await rig.end_pod("vidette-one-a1", 42)
    job = await wait_for(rig, "vidette-one-a1", LaunchPhase.FAILED)
    assert [pod.exit_code for pod in job.pods] == [42]


async def test_more_failures_than_the_limit_fail_the_job(rig: Rig) -> None:
    await rig.launcher.create(spec())
    for ended in range(_BACKOFF_LIMIT + 1):
        await wait_for_pods(rig, "vidette-one-a1", running=1, ended=ended)
        await rig.end_pod("vidette-one-a1", 75)
    job = await wait_for(rig, "vidette-one-a1", LaunchPhase.FAILED)
    assert [pod.exit_code for pod in job.pods] == [75] * (_BACKOFF_LIMIT + 1)


async def test_a_deleted_job_is_forgotten_and_its_name_free_again(rig: Rig) -> None:
    first = await rig.launcher.create(spec())
    await rig.launcher.delete(first.name, first.uid)
    async with asyncio.timeout(_LIMIT):
        while await rig.launcher.list():
            await asyncio.sleep(0.02)
    second = await rig.launcher.create(spec())
    assert second.uid != first.uid


async def test_a_finished_job_stays_until_it_is_deleted(rig: Rig) -> None:
    created = await rig.launcher.create(spec())
    await rig.end_pod(created.name, 0)
    await wait_for(rig, created.name, LaunchPhase.SUCCEEDED)
    with pytest.raises(Conflict):
        await rig.launcher.create(spec())
    await rig.launcher.delete(created.name, created.uid)
    with pytest.raises(NotFound):
        await rig.launcher.get(created.name)


async def test_deleting_what_is_gone_is_fine(rig: Rig) -> None:
    await rig.launcher.delete("vidette-nobody-a1", "uid")


async def test_another_jobs_uid_deletes_nothing(rig: Rig) -> None:
    created = await rig.launcher.create(spec())
    with pytest.raises(Conflict):
        await rig.launcher.delete(created.name, "somebody else's")
    assert (await rig.launcher.get(created.name)).uid == created.uid


async def test_changes_wake_up_when_a_pod_ends(rig: Rig) -> None:
    await rig.launcher.create(spec())
    await wait_for_pods(rig, "vidette-one-a1", running=1, ended=0)

    async def hear_of_success() -> None:
        async for _ in rig.launcher.changes():
            if (await rig.launcher.get("vidette-one-a1")).phase is LaunchPhase.SUCCEEDED:
                return

    async with asyncio.timeout(_LIMIT):
        hearing = asyncio.create_task(hear_of_success())
        await rig.end_pod("vidette-one-a1", 0)
        await hearing


async def test_changes_go_on_while_the_launcher_is_away(rig: Rig) -> None:
    await rig.go_away()
    heard = 0
    async with asyncio.timeout(_LIMIT):
        async for _ in rig.launcher.changes():
            heard += 1
            if heard == 2:
                return


async def test_changes_go_on_while_the_question_is_refused() -> None:
    async def refuse(_: Request) -> Response:
        return Response(status_code=422)

    with tempfile.TemporaryDirectory(prefix="vl-") as short:
        path = Path(short) / "s"
        async with (
            serving(Starlette(routes=[Route("/changes", refuse)]), path),
            ProcessLauncher(path, timeout_seconds=1) as launcher,
            asyncio.timeout(_LIMIT),
        ):
            changes = aiter(launcher.changes())
            await anext(changes)
            await anext(changes)


async def test_a_worker_gets_its_specification_and_nothing_of_the_stacks(process_rig: ProcessRig) -> None:
    await process_rig.launcher.create(spec())
    job = await wait_for_pods(process_rig, "vidette-one-a1", running=1, ended=0)
    seen = process_rig.orders / f"seen-{job.pods[0].name}"
    await eventually(seen.exists, _LIMIT, "the worker starts")
    environment = json.loads(seen.read_text())
    assert environment["VIDETTE_POD_NAME"] == job.pods[0].name
    assert {name for name in environment if name.startswith("VIDETTE_")} == {"VIDETTE_POD_NAME", "VIDETTE_JOB_TOKEN"}


async def test_a_worker_that_ignores_sigterm_is_killed_after_the_grace_period(process_rig: ProcessRig) -> None:
    (process_rig.orders / "stubborn").touch()
    created = await process_rig.launcher.create(spec())
    job = await wait_for_pods(process_rig, created.name, running=1, ended=0)
    await eventually((process_rig.orders / f"seen-{job.pods[0].name}").exists, _LIMIT, "the worker starts")
    pid = process_rig.cluster.status[0].pid
    assert pid is not None
    began = time.monotonic()
    await process_rig.launcher.delete(created.name, created.uid)
    assert time.monotonic() - began < 0.4, "delete returns at once"
    await eventually(lambda: not is_alive(pid), _LIMIT, "the worker is killed")
    assert time.monotonic() - began >= 0.5


async def test_a_change_that_happened_before_the_question_is_not_missed(process_rig: ProcessRig) -> None:
    before = process_rig.cluster.change
    await process_rig.launcher.create(spec())
    began = time.monotonic()
    assert await process_rig.cluster.wait_change(before, 10.0) > before
    assert time.monotonic() - began < 1


async def test_nothing_is_said_about_a_specifications_secrets(process_rig: ProcessRig) -> None:
    asked = spec()
    assert "secret" not in repr(asked)
    created = await process_rig.launcher.create(asked)
    with suppress(Conflict):
        await process_rig.launcher.create(asked)
    assert "secret" not in repr(created)
