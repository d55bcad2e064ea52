"""How a worker ends when it cannot begin: the code that its launcher's policy reads, and within its patience."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.processes import wait_until
from tests.support.scripted_service import Answer, scripted_service
from vidette_core.domain.worker_api import WorkerExit
from vidette_core.settings import CONFIGURATION_ERROR

TOKEN = "a-token-that-nobody-may-see"


@contextmanager
def worker(log: Path, **variables: str | None) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with these variables on top of sound ones; one that is None is left out."""
    given = {
        **os.environ,
        "VIDETTE_JOB_ID": str(uuid4()),
        "VIDETTE_JOB_TOKEN": TOKEN,
        "VIDETTE_GATEWAY_URL": "http://127.0.0.1:1",
        "VIDETTE_TRITON_URL": "127.0.0.1:1",
        "VIDETTE_POD_NAME": "pod",
        **variables,
    }
    environment = {name: value for name, value in given.items() if value is not None}
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "vidette_frame_worker"], env=environment, stderr=output)
        try:
            yield process
        finally:
            process.kill()
            process.wait(timeout=10)


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_bytes().splitlines()]


def test_a_gateway_that_stays_away_ends_the_worker_with_75_when_its_patience_ends(tmp_path: Path) -> None:
    began = time.monotonic()
    last_words = tmp_path / "termination-log"
    with worker(tmp_path / "log", VIDETTE_PATIENCE_S="2", VIDETTE_TERMINATION_LOG=str(last_words)) as process:
        assert process.wait(timeout=60) == WorkerExit.TRY_AGAIN
    assert time.monotonic() - began > 2
    assert last_words.read_text().startswith("Something the worker needs stayed away: the gateway")


def test_sigterm_ends_a_waiting_worker_with_143_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    last_words = tmp_path / "termination-log"
    with worker(log, VIDETTE_TERMINATION_LOG=str(last_words)) as process:
        wait_until(lambda: b"waiting for the gateway" in log.read_bytes(), 60, "the worker waits")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == WorkerExit.TERMINATED
    assert last_words.read_text() == "SIGTERM: another worker goes on from the last committed chunk"


def test_last_words_that_cannot_be_written_change_no_exit_code(tmp_path: Path) -> None:
    nowhere = tmp_path / "no-folder" / "termination-log"
    with worker(tmp_path / "log", VIDETTE_PATIENCE_S="1", VIDETTE_TERMINATION_LOG=str(nowhere)) as process:
        assert process.wait(timeout=60) == WorkerExit.TRY_AGAIN


def test_a_missing_setting_is_named_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with worker(log, VIDETTE_JOB_ID="no-uuid") as process:
        assert process.wait(timeout=60) == CONFIGURATION_ERROR
    assert b"VIDETTE_JOB_ID" in log.read_bytes()
    assert TOKEN.encode() not in log.read_bytes()


def test_a_setting_that_is_not_there_at_all_is_named_and_no_other_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with worker(log, VIDETTE_POD_NAME=None) as process:
        assert process.wait(timeout=60) == CONFIGURATION_ERROR
    assert log.read_text().splitlines() == ["VIDETTE_POD_NAME: Field required"]
    assert TOKEN.encode() not in log.read_bytes()


def test_a_defect_ends_the_worker_with_1_and_a_line_that_names_the_job(tmp_path: Path) -> None:
    log, job = tmp_path / "log", str(uuid4())
    with worker(log, VIDETTE_JOB_ID=job, VIDETTE_GATEWAY_URL="http://127.0.0.1:no-port") as process:
        assert process.wait(timeout=60) == WorkerExit.FAILED
    (line,) = lines(log)
    assert (line["event"], line["job_id"]) == ("an unexpected error ends this worker", job)
    assert "InvalidURL" in line["exception"]


@pytest.mark.parametrize(
    ("status", "event", "code"),
    [
        (401, "this worker was refused", WorkerExit.FAILED),
        (400, "this worker was refused", WorkerExit.FAILED),
        (409, "this worker cannot go on", WorkerExit.TRY_AGAIN),
    ],
)
def test_a_worker_that_is_turned_away_says_so_and_not_that_something_stayed_away(
    tmp_path: Path, status: int, event: str, code: WorkerExit
) -> None:
    log = tmp_path / "log"
    with (
        scripted_service({"POST /v1/claim": [Answer(status)]}) as gateway,
        worker(log, VIDETTE_GATEWAY_URL=gateway.url) as process,
    ):
        assert process.wait(timeout=60) == code
    (line,) = lines(log)
    assert line["event"] == event
    assert "the gateway" in line["error"]
