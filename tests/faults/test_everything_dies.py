"""kill -9 of the whole stack in the middle of a job, a wiped NATS, and more controllers than one: each frame still once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.support.clips import numbered_clip
from tests.support.processes import stack_processes, wait_until
from tests.support.stacks import PIPELINE_ID, completed, free_port, numbers, progress_between, stack_running, until
from vidette.client import Client
from vidette_local.stack_process import StackProcess

FRAMES = 1200
UNDER_WAY = progress_between(0.05, 0.9)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES)


def test_the_next_start_goes_on_with_the_jobs_of_a_stack_that_was_killed(clip: Path, tmp_path: Path) -> None:
    with stack_running(tmp_path) as stack, Client(stack.url) as client:
        running, waiting = (client.submit(clip, PIPELINE_ID) for _ in range(2))
        progress = until(client, running, UNDER_WAY).progress
        for pid in (stack.pid, *stack_processes(stack.home.path)):
            with suppress(ProcessLookupError):  # the kernel has killed it when its supervisor died
                os.kill(pid, signal.SIGKILL)
        stack.wait()
        wait_until(lambda: stack_processes(stack.home.path) == [], 10, "no process of the stack is left")
        stack.start()
        with Client(stack.url) as again:
            assert (again.status(running).progress or 0) >= (progress or 0)
            for job_id in (running, waiting):
                assert numbers(completed(again, job_id)) == [(index, index) for index in range(FRAMES)]


def test_a_wiped_nats_loses_no_job(stack: StackProcess, client: Client, clip: Path) -> None:
    first = client.submit(clip, PIPELINE_ID)
    until(client, first, UNDER_WAY)
    shutil.rmtree(stack.home.nats)
    stack.kill_part("nats")
    second = client.submit(clip, PIPELINE_ID, max_frames=50)
    assert numbers(completed(client, second)) == [(index, index) for index in range(50)]
    assert numbers(completed(client, first)) == [(index, index) for index in range(FRAMES)]


@contextmanager
def more_controllers(stack: StackProcess, count: int, folder: Path) -> Iterator[list[Path]]:
    """Controllers beside the stack's own, with its environment and an operations port of their own; their logs."""
    environment = psutil.Process(stack.part("controller")["pid"]).environ()
    logs, children = [folder / f"controller-{number}.log" for number in range(count)], []
    try:
        for log in logs:
            with log.open("wb") as output:
                variables = {**environment, "VIDETTE_OPS_PORT": str(free_port())}
                command = [sys.executable, "-m", "vidette_controller"]
                children.append(subprocess.Popen(command, env=variables, stderr=output))
        yield logs
    finally:
        for child in children:
            child.terminate()
            child.wait(timeout=20)


def test_three_controllers_do_no_harm_to_jobs_or_to_each_other(
    stack: StackProcess, client: Client, tmp_path: Path, clip: Path
) -> None:
    with more_controllers(stack, 2, tmp_path) as logs:
        wait_until(lambda: all("listening" in log.read_text() for log in logs), 60, "the controllers are up")
        jobs = [client.submit(clip, PIPELINE_ID, max_frames=60) for _ in range(8)]
        for job_id in jobs:
            assert numbers(completed(client, job_id)) == [(index, index) for index in range(60)]
        said = "".join(log.read_text() for log in logs) + (stack.home.logs / "controller.log").read_text()
    for job_id in jobs:
        ended = [line for line in said.splitlines() if str(job_id) in line and '"the job ended"' in line]
        replaced = [line for line in said.splitlines() if str(job_id) in line and "replaced" in line]
        assert (len(ended), replaced) == (1, [])
