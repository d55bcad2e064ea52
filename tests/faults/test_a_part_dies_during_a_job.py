"""kill -9 of one part while a job runs: the job completes, each frame exactly once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.clips import numbered_clip
from tests.support.stacks import PIPELINE_ID, completed, numbers, progress_between, until
from vidette.client import Client
from vidette_local.stack_process import StackProcess

FRAMES = 900
UNDER_WAY = progress_between(0.05, 0.9)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES)


def worker_of(stack: StackProcess) -> str:
    (name,) = [line["name"] for line in stack.ps() if line["name"].startswith("worker-")]
    return str(name)


def test_a_job_completes_though_its_worker_is_killed(stack: StackProcess, client: Client, clip: Path) -> None:
    job_id = client.submit(clip, PIPELINE_ID)
    until(client, job_id, UNDER_WAY)
    stack.kill_part(worker_of(stack))
    assert numbers(completed(client, job_id)) == [(index, index) for index in range(FRAMES)]


def test_a_job_completes_though_worker_after_worker_is_killed(stack: StackProcess, client: Client, clip: Path) -> None:
    job_id = client.submit(clip, PIPELINE_ID)
    for share in (0.1, 0.3, 0.6):
        until(client, job_id, lambda status, share=share: (status.progress or 0) > share)  # type: ignore[misc]  # mypy cannot infer a lambda's default
        stack.kill_part(worker_of(stack))
    assert numbers(completed(client, job_id)) == [(index, index) for index in range(FRAMES)]


@pytest.mark.parametrize("part", ["postgres", "nats", "s3", "triton", "api", "controller"])
def test_a_job_completes_though_another_part_is_killed(
    part: str, stack: StackProcess, client: Client, clip: Path
) -> None:
    job_id = client.submit(clip, PIPELINE_ID)
    until(client, job_id, UNDER_WAY)
    stack.kill_part(part)
    assert numbers(completed(client, job_id)) == [(index, index) for index in range(FRAMES)]


def test_a_job_submitted_while_nats_is_down_is_taken_and_completes(
    stack: StackProcess, client: Client, clip: Path
) -> None:
    stack.kill_part("nats")
    job_id = client.submit(clip, PIPELINE_ID, max_frames=40)
    assert numbers(completed(client, job_id)) == [(index, index) for index in range(40)]


def test_a_worker_told_to_end_hands_over_and_the_job_completes(stack: StackProcess, client: Client, clip: Path) -> None:
    job_id = client.submit(clip, PIPELINE_ID)
    until(client, job_id, UNDER_WAY)
    stack.kill_part(worker_of(stack), signal.SIGTERM)
    assert numbers(completed(client, job_id)) == [(index, index) for index in range(FRAMES)]
