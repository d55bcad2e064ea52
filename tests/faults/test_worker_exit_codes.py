"""How a worker ends when it cannot begin: the code that its launcher's policy reads, and within its patience."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from tests.support.processes import wait_until
from vidette_core.domain.worker_api import WorkerExit


@contextmanager
def worker(log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "VIDETTE_JOB_ID": str(uuid4()),
        "VIDETTE_JOB_TOKEN": "token",
        "VIDETTE_GATEWAY_URL": "http://127.0.0.1:1",
        "VIDETTE_TRITON_URL": "127.0.0.1:1",
        "VIDETTE_POD_NAME": "pod",
        **variables,
    }
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "vidette_frame_worker"], env=environment, stderr=output)
        try:
            yield process
        finally:
            process.kill()
            process.wait(timeout=10)


def test_a_gateway_that_stays_away_ends_the_worker_with_75_when_its_patience_ends(tmp_path: Path) -> None:
    began = time.monotonic()
    with worker(tmp_path / "log", VIDETTE_PATIENCE_S="2") as process:
        assert process.wait(timeout=60) == WorkerExit.TRY_AGAIN
    assert time.monotonic() - began > 2


def test_sigterm_ends_a_waiting_worker_with_143_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with worker(log) as process:
        wait_until(lambda: b"waiting for the gateway" in log.read_bytes(), 60, "the worker waits")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == WorkerExit.TERMINATED


def test_a_missing_setting_is_named_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with worker(log, VIDETTE_JOB_ID="no-uuid") as process:
        assert process.wait(timeout=60) not in (WorkerExit.DONE, WorkerExit.BAD_INPUT)
    assert b"job_id" in log.read_bytes()
