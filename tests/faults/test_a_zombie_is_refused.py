"""A worker that was paused for longer than its lease: another takes over, and what the zombie still has counts for nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import httpx
from pydantic import SecretStr

from tests.support.clips import write_clip
from tests.support.processes import wait_until
from tests.support.stacks import PIPELINE_ID, completed, numbers, until
from vidette.client import Client
from vidette.models import JobStatus
from vidette_core.settings import TokenSettings
from vidette_core.tokens import Tokens
from vidette_local import credentials
from vidette_local.stack_process import StackProcess

FRAMES = 1500


def gateway_url(stack: StackProcess) -> str:
    ports = json.loads((stack.home.path / "ports.json").read_text())
    return f"http://127.0.0.1:{ports['gateway']}"


def tokens_of(stack: StackProcess) -> Tokens:
    secret = credentials.load_or_make(stack.home.path / "secrets.json").token_secret
    return Tokens(TokenSettings(secret=SecretStr(secret)))


def job_token(tokens: Tokens, job_id: UUID, attempt: int = 1) -> str:
    return tokens.job_token(job_id, attempt, datetime.now(UTC))


def log_of(stack: StackProcess, pod: str) -> str:
    (path,) = stack.home.logs.glob(f"worker-*{pod}*.log")
    return path.read_text()


@contextmanager
def second_pod(stack: StackProcess, job_id: UUID, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of the same attempt beside the stack's own, as an Indexed Job with two pods has it."""
    variables = {
        "VIDETTE_JOB_ID": str(job_id),
        "VIDETTE_JOB_TOKEN": job_token(tokens_of(stack), job_id),
        "VIDETTE_GATEWAY_URL": gateway_url(stack),
        "VIDETTE_TRITON_URL": stack.part("triton")["address"],
        "VIDETTE_POD_NAME": "second-pod",
    }
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "vidette_frame_worker"], env={**os.environ, **variables}, stderr=output
        )
        try:
            yield worker
        finally:
            worker.kill()
            worker.wait(timeout=10)


def test_a_paused_worker_is_replaced_and_refused_when_it_wakes(
    stack: StackProcess, client: Client, tmp_path: Path
) -> None:
    clip = tmp_path / "long.mp4"
    write_clip(clip, "mp4_bframes", FRAMES)
    job_id = client.submit(clip, PIPELINE_ID, max_workers=1)
    until(client, job_id, lambda status: (status.progress or 0) > 0.05)
    (zombie,) = [line for line in stack.ps() if line["name"].startswith("worker-")]
    os.kill(zombie["pid"], signal.SIGSTOP)
    log = tmp_path / "second.log"
    with second_pod(stack, job_id, log) as heir:
        wait_until(lambda: '"claimed"' in log.read_text(), 60, "the heir has claimed the segment")
        found = client.status(job_id).progress or 0
        until(client, job_id, lambda status: (status.progress or 0) > found)
        os.kill(zombie["pid"], signal.SIGCONT)
        pod = zombie["name"].removeprefix("worker-")
        wait_until(lambda: "another worker has taken over" in log_of(stack, pod), 30, "the zombie learns of its heir")
        assert numbers(completed(client, job_id)) == [(index, index) for index in range(FRAMES)]
        assert heir.wait(timeout=30) == 0


def under_way(status: JobStatus) -> bool:
    return status.progress is not None and status.progress > 0.02


def test_a_claim_with_a_token_of_another_attempt_or_none_gets_nothing(
    stack: StackProcess, client: Client, tmp_path: Path
) -> None:
    clip = tmp_path / "long.mp4"
    write_clip(clip, "mp4_bframes", 600)
    job_id = client.submit(clip, PIPELINE_ID)
    until(client, job_id, under_way)

    def claim(token: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.post(f"{gateway_url(stack)}/v1/claim", headers=headers, json={"pod": "stranger"}, timeout=10)

    assert claim(job_token(tokens_of(stack), job_id, attempt=2)).json() == {"answer": {"kind": "over"}}
    forged = job_token(Tokens(TokenSettings(secret=SecretStr("x" * 40))), job_id)
    assert claim(forged).status_code == 401
    assert numbers(completed(client, job_id)) == [(index, index) for index in range(600)]
