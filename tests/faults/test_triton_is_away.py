"""A Triton that hangs, is away for a minute, or lost its models: no frame's fault and no job's, and the supervisor heals it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clips import numbered_clip
from tests.support.processes import wait_until
from tests.support.stacks import PIPELINE_ID, completed, numbers, progress_between, stack_running, until
from vidette.client import Client
from vidette_core.adapters.triton import TritonAdmin
from vidette_local import credentials
from vidette_local.stack_process import StackProcess

FRAMES = 800
UNDER_WAY = progress_between(0.05, 0.8)
LIMIT_S = 3.0
"""For one request of a worker to Triton."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    with stack_running(tmp_path_factory.mktemp("triton"), VIDETTE_INFERENCE_TIMEOUT_S=str(LIMIT_S)) as running:
        yield running


@pytest.fixture
def client(hasty: StackProcess) -> Iterator[Client]:
    with Client(hasty.url) as made:
        yield made


def workers_said(stack: StackProcess, words: str) -> bool:
    return any(words in log.read_text() for log in stack.home.logs.glob("worker-*.log"))


def test_a_triton_that_hangs_for_longer_than_a_request_may_take_costs_no_frame(
    hasty: StackProcess, client: Client, clip: Path
) -> None:
    job_id = client.submit(clip, PIPELINE_ID)
    until(client, job_id, UNDER_WAY)
    pid = hasty.kill_part("triton", signal.SIGSTOP)
    try:
        wait_until(lambda: workers_said(hasty, "Deadline Exceeded"), 6 * LIMIT_S, "a request is out of time")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert numbers(completed(client, job_id)) == [(index, index) for index in range(FRAMES)]
    assert hasty.part("triton")["pid"] == pid


def test_models_that_were_unloaded_are_loaded_again_and_the_job_completes(
    hasty: StackProcess, client: Client, clip: Path
) -> None:
    job_id = client.submit(clip, PIPELINE_ID)
    until(client, job_id, UNDER_WAY)
    secrets = credentials.load_or_make(hasty.home.path / "secrets.json")
    with TritonAdmin(hasty.part("triton")["address"], secrets.triton_control_secret) as admin:
        names = {name for name, _ in admin.ready_models()}
        for name in names:
            admin.unload(name)
        wait_until(lambda: not admin.ready_models(), 30, "no model is loaded")
        assert numbers(completed(client, job_id)) == [(index, index) for index in range(FRAMES)]
        wait_until(lambda: {name for name, _ in admin.ready_models()} == names, 60, "all models are loaded again")
    assert "model code-reader was not loaded, and is now" in hasty.said()


def test_a_triton_that_hangs_for_a_minute_is_started_anew_and_no_job_fails(
    hasty: StackProcess, client: Client, clip: Path
) -> None:
    job_id = client.submit(clip, PIPELINE_ID)
    until(client, job_id, UNDER_WAY)
    began = time.monotonic()
    pid = hasty.kill_part("triton", signal.SIGSTOP)
    waiting = client.submit(clip, PIPELINE_ID, max_frames=40)
    wait_until(lambda: hasty.part("triton")["pid"] not in (pid, None), 120, "the supervisor has started another")
    assert time.monotonic() - began > 45, "it was patient"
    assert "triton     runs, but did not answer 3 times in a row; starting it anew" in hasty.said()
    assert numbers(completed(client, job_id)) == [(index, index) for index in range(FRAMES)]
    assert numbers(completed(client, waiting)) == [(index, index) for index in range(40)]
