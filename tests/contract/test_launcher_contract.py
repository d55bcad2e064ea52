"""What every launcher promises, asked of the in-memory fake and of real processes behind the supervisor's socket."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support import obedient_worker
from tests.support.launcher_promises import *  # noqa: F403 -- the tests themselves
from tests.support.launcher_promises import BACKOFF_LIMIT, LIMIT, Rig, spec, wait_for_pods
from tests.support.processes import eventually, is_alive
from vidette_core.adapters.process_launcher import ProcessLauncher
from vidette_core.ports.errors import Conflict
from vidette_core.ports.launcher import Launcher
from vidette_core.testing.launcher import FakeLauncher
from vidette_local.jobs.cluster import Cluster, WorkerTemplate
from vidette_local.jobs.server import application, serving
from vidette_local.leftovers import Ledger


class FakeRig:
    def __init__(self) -> None:
        self._fake = FakeLauncher(backoff_limit=BACKOFF_LIMIT)
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
            backoff_limit=BACKOFF_LIMIT,
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
        await eventually(lambda: not order.exists(), LIMIT, "the worker reads its order")

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


async def test_changes_go_on_while_the_question_is_refused() -> None:
    async def refuse(_: Request) -> Response:
        return Response(status_code=422)

    with tempfile.TemporaryDirectory(prefix="vl-") as short:
        path = Path(short) / "s"
        async with (
            serving(Starlette(routes=[Route("/changes", refuse)]), path),
            ProcessLauncher(path, timeout_seconds=1) as launcher,
            asyncio.timeout(LIMIT),
        ):
            changes = aiter(launcher.changes())
            await anext(changes)
            await anext(changes)


async def test_a_worker_gets_its_specification_and_nothing_of_the_stacks(process_rig: ProcessRig) -> None:
    await process_rig.launcher.create(spec())
    job = await wait_for_pods(process_rig, "vidette-one-a1", running=1, ended=0)
    seen = process_rig.orders / f"seen-{job.pods[0].name}"
    await eventually(seen.exists, LIMIT, "the worker starts")
    environment = json.loads(seen.read_text())
    assert environment["VIDETTE_POD_NAME"] == job.pods[0].name
    assert {name for name in environment if name.startswith("VIDETTE_")} == {"VIDETTE_POD_NAME", "VIDETTE_JOB_TOKEN"}


async def test_a_worker_that_ignores_sigterm_is_killed_after_the_grace_period(process_rig: ProcessRig) -> None:
    (process_rig.orders / "stubborn").touch()
    created = await process_rig.launcher.create(spec())
    job = await wait_for_pods(process_rig, created.name, running=1, ended=0)
    await eventually((process_rig.orders / f"seen-{job.pods[0].name}").exists, LIMIT, "the worker starts")
    pid = process_rig.cluster.status[0].pid
    assert pid is not None
    began = time.monotonic()
    await process_rig.launcher.delete(created.name, created.uid)
    assert time.monotonic() - began < 0.4, "delete returns at once"
    await eventually(lambda: not is_alive(pid), LIMIT, "the worker is killed")
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
