"""Cancelling through the whole stack: the worker stops, and the job says who wanted that."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from tests.support.clips import numbered_clip
from tests.support.stacks import PIPELINE_ID, until
from vidette.client import Client
from vidette.models import JobState, JobStatus
from vidette_local.stack_process import StackProcess

FRAMES = 1500


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES)


def cancel(stack: StackProcess, job_id: UUID) -> None:
    answer = httpx.post(f"{stack.url}/video/cancel/{job_id}", trust_env=False)
    assert answer.status_code == 200, answer.text


def ended(status: JobStatus) -> bool:
    return status.status.is_final


def workers(stack: StackProcess) -> list[str]:
    return [line["name"] for line in stack.ps() if line["name"].startswith("worker-")]


def test_a_cancelled_job_fails_as_cancelled_and_its_worker_is_gone(
    stack: StackProcess, client: Client, clip: Path
) -> None:
    job_id = client.submit(clip, PIPELINE_ID)
    until(client, job_id, lambda status: (status.progress or 0) > 0.02)
    cancel(stack, job_id)
    final = until(client, job_id, ended, timeout=20)
    assert final.status is JobState.FAILED
    assert final.error is not None
    assert final.error.code == "cancelled"
    until(client, job_id, lambda _: not workers(stack), timeout=20)


def test_a_job_that_waits_for_its_turn_is_cancelled_without_ever_running(
    stack: StackProcess, client: Client, clip: Path
) -> None:
    submitted = [
        client.submit(clip, PIPELINE_ID) for _ in range((os.cpu_count() or 1) + 2)
    ]  # as many run at once as there are cores
    for job_id in reversed(submitted):
        cancel(stack, job_id)
    finals = [until(client, job_id, ended, timeout=20) for job_id in submitted]
    assert {final.error.code for final in finals if final.error} == {"cancelled"}
    assert finals[-1].progress is None
