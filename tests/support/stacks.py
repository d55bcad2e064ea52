"""The whole embedded stack for end-to-end tests: one for the test session, its intervals shortened, the `code` pipeline added.

pytest_plugins register it in `tests/conftest.py`; name the fixture `stack` or `client`.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.code_reader import PIPELINE_ID, add_code_pipeline
from vidette.client import Client
from vidette.models import FrameRow, JobState, JobStatus
from vidette_local.stack_process import StackProcess

HASTE = {
    "VIDETTE_CHUNK_FRAMES": "20",
    "VIDETTE_LEASE_S": "6",
    "VIDETTE_SWEEP_S": "5",
    "VIDETTE_SWEEP_INTERVAL_S": "5",
    "VIDETTE_SWEEP_UPLOAD_SILENCE_S": "45",
    "VIDETTE_STALLED_LEASE_S": "30",
}
"""Intervals that make faults heal within a test's patience. Everything else is as a user has it."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def stack_running(folder: Path, **variables: str) -> Iterator[StackProcess]:
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    add_code_pipeline(home / "models")
    settings = {**HASTE, "VIDETTE_HTTP_PORT": str(free_port()), **variables}
    with StackProcess(home, settings, start_seconds=300, messages=folder / "messages") as running:
        yield running


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    with stack_running(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
def client(stack: StackProcess) -> Iterator[Client]:
    with Client(stack.url) as made:
        yield made


def completed(client: Client, job_id: UUID, timeout: float = 150.0) -> list[FrameRow]:
    """Wait for the job and return its rows. Fails with the job's own words when it failed."""
    status = client.wait(job_id, timeout=timeout)
    assert status.status is JobState.COMPLETED, f"{status.error}"
    assert status.progress == 1.0
    return list(client.results(job_id))


def until(client: Client, job_id: UUID, wanted: Callable[[JobStatus], bool], timeout: float = 60.0) -> JobStatus:
    """Poll the job's status until it is as wanted."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        status = client.status(job_id)
        if wanted(status):
            return status
        time.sleep(0.05)
    raise AssertionError(f"the job was not as wanted within {timeout} s: {status}")


def progress_between(low: float, high: float) -> Callable[[JobStatus], bool]:
    """For `until`: the job is under way, so far and no further."""
    return lambda status: status.progress is not None and low < status.progress < high


def numbers(rows: list[FrameRow]) -> list[tuple[int, int]]:
    """(frame_index, number that the frame shows) of rows made by the `code` pipeline."""
    return [(row.frame_index, int(row.result.detections[0].label)) for row in rows]


__all__ = ["PIPELINE_ID", "client", "completed", "numbers", "stack", "stack_running", "until"]
