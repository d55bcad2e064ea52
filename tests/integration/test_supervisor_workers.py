"""Workers of a running stack: what a controller asks for over the socket, seen from outside."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support import obedient_worker
from tests.support.processes import eventually, is_alive, stack_processes, wait_until
from vidette_core.adapters.process_launcher import ProcessLauncher
from vidette_core.ports.launcher import LaunchedJob, LaunchSpec
from vidette_local.stack_process import StackProcess

_UP = """
import sys
from vidette_local.run import up
from vidette_local.settings import LocalSettings
sys.exit(up(LocalSettings(), worker=(sys.executable, sys.argv[1])))
"""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[StackProcess]:
    """A stack whose workers are obedient; of the parts only the quickest runs."""
    argv = (sys.executable, "-c", _UP, str(Path(obedient_worker.__file__)))
    with StackProcess(tmp_path / "home", {"VIDETTE_PARTS": "nats"}, argv=argv) as running:
        yield running


async def launch(stack: StackProcess, orders: Path, name: str) -> LaunchedJob:
    orders.mkdir(exist_ok=True)
    spec = LaunchSpec(name=name, job_id=uuid4(), attempt=1, spec_hash="h", env={"ORDERS": str(orders)})
    async with ProcessLauncher(stack.home.socket) as launcher:
        job = await launcher.create(spec)
    await eventually(lambda: any(orders.glob(f"seen-{name}-*")), 20, "the worker runs")
    return job


async def test_running_workers_are_in_ps_after_the_parts(stack: StackProcess, tmp_path: Path) -> None:
    await launch(stack, tmp_path / "orders", "vidette-one-a1")
    part, worker = stack.ps()
    assert part["name"] == "nats"
    assert worker["name"].startswith("worker-one-a1-")
    assert set(worker) == {"name", "pid", "state", "address"}
    assert is_alive(worker["pid"])
    assert (stack.home.logs / f"{worker['name']}.log").exists()


async def test_a_killed_worker_is_replaced_by_a_new_one(stack: StackProcess, tmp_path: Path) -> None:
    await launch(stack, tmp_path / "orders", "vidette-one-a1")
    first = stack.ps()[1]
    stack.kill_part(first["name"])
    await eventually(lambda: [line["name"] for line in stack.ps()[1:]] not in ([], [first["name"]]), 20, "a new worker")


async def test_kill_9_of_the_supervisor_leaves_no_worker(stack: StackProcess, tmp_path: Path) -> None:
    await launch(stack, tmp_path / "orders", "vidette-one-a1")
    assert len(stack_processes(stack.home.path)) == 2
    stack.send(signal.SIGKILL)
    wait_until(lambda: stack_processes(stack.home.path) == [], 5, "nats and the worker are gone")


async def test_a_stubborn_worker_does_not_hold_up_the_end_of_the_stack(stack: StackProcess, tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "stubborn").touch()
    await launch(stack, tmp_path / "orders", "vidette-one-a1")
    stack.send(signal.SIGTERM)
    assert stack.wait(20) == 0
    assert stack_processes(stack.home.path) == []


async def test_a_second_signal_makes_the_end_a_quick_one(stack: StackProcess, tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "stubborn").touch()
    await launch(stack, tmp_path / "orders", "vidette-one-a1")
    worker = stack.ps()[1]
    stack.send(signal.SIGINT)
    await eventually(lambda: "stopping" in stack.said(), 10, "the stop begins")
    began = time.monotonic()
    stack.send(signal.SIGINT)
    await eventually(lambda: not is_alive(worker["pid"]), 3, "the worker is killed before its grace period is over")
    assert stack.wait(10) == 130
    assert time.monotonic() - began < 4


async def test_a_new_stack_knows_no_jobs_of_the_old_one(stack: StackProcess, tmp_path: Path) -> None:
    await launch(stack, tmp_path / "orders", "vidette-one-a1")
    stack.send(signal.SIGKILL)
    stack.wait()
    with StackProcess(stack.home.path, {"VIDETTE_PARTS": "nats"}) as again:
        async with ProcessLauncher(again.home.socket) as launcher:
            assert await launcher.list() == []
        assert not any(line["name"].startswith("worker-") for line in again.ps())


def test_the_socket_belongs_to_its_user_alone(stack: StackProcess) -> None:
    assert stack.home.socket.stat().st_mode & 0o077 == 0
    assert stack.home.socket.parent.stat().st_mode & 0o077 == 0
    assert stack.home.socket.stat().st_uid == os.geteuid()
