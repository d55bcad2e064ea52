"""A worker that is told to stop in the middle of a segment: its open spans are sent, and a collector that hangs buys no time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.claims import CLAIM
from tests.support.otlp_collector import Collector, otlp_collector
from tests.support.processes import wait_until
from tests.support.scripted_service import Answer, Script, as_json, scripted_service
from vidette_core.domain.worker_api import WorkerExit

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with otlp_collector() as running:
        yield running


@pytest.fixture
def gateway() -> Iterator[Script]:
    """Gives the segment, and is then away."""
    answers = {
        "POST /v1/claim": [as_json({"answer": CLAIM.model_dump(mode="json")})],
        "GET /v1/source": [Answer(503)],
    }
    with scripted_service(answers) as script:
        yield script


def stop_in_a_segment(collector: Collector, gateway: Script, log: Path) -> float:
    """How many seconds a worker took to end after SIGTERM."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
        "VIDETTE_JOB_ID": str(CLAIM.job_id),
        "VIDETTE_JOB_TOKEN": "token-that-nobody-may-see",
        "VIDETTE_GATEWAY_URL": gateway.url,
        "VIDETTE_TRITON_URL": "127.0.0.1:1",
        "VIDETTE_POD_NAME": "pod",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces",
        "TRACEPARENT": TRACEPARENT,
    }
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "vidette_frame_worker"], env=environment, stderr=output)
    try:
        wait_until(lambda: b"waiting for the gateway" in log.read_bytes(), 60, "the worker waits in its segment")
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert process.wait(timeout=10) == WorkerExit.TERMINATED
        return time.monotonic() - began
    finally:
        process.kill()
        process.wait(timeout=10)


def test_the_segment_it_worked_on_is_in_the_trace(collector: Collector, gateway: Script, tmp_path: Path) -> None:
    stop_in_a_segment(collector, gateway, tmp_path / "log")
    (span,) = collector.spans
    assert (span.service, span.name) == ("vidette-frame-worker", "analyse segment")
    assert [span.trace_id, span.parent_id] == TRACEPARENT.split("-")[1:3]
    assert span.attributes == {
        "vidette.job_id": str(CLAIM.job_id),
        "vidette.segment": 0,
        "vidette.epoch": 3,
        "error.type": "stopped",
    }
    assert not any(b"token" in body for body in collector.bodies)


def test_a_collector_that_hangs_delays_its_end_by_a_second_at_most(
    collector: Collector, gateway: Script, tmp_path: Path
) -> None:
    collector.hang.set()
    assert stop_in_a_segment(collector, gateway, tmp_path / "log") < 3
