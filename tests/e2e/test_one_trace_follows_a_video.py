"""A stack whose traces are on: one trace from the client's own request over api, controller and worker into Triton."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from tests.support.clips import write_clip
from tests.support.otlp_collector import Collector, Span, otlp_collector
from tests.support.stacks import PIPELINE_ID, completed, free_port, numbers, stack_running
from vidette.client import Client
from vidette_local.stack_process import StackProcess

FRAMES = 190
"""Ten chunks of at most 20, each with a request of which Triton is told: 2.51 leaves some of them out (docs/tracing.md)."""
CHUNKS = 10
CALLER = "b7ad6b7169203331"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with otlp_collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with stack_running(tmp_path_factory.mktemp("traced"), **variables) as running:
        yield running


def submit(stack: StackProcess, clip: Path, trace: str) -> UUID:
    files = {"file": (clip.name, clip.read_bytes())}
    headers = {"traceparent": f"00-{trace}-{CALLER}-01"}
    form = {"pipeline_id": PIPELINE_ID}
    answer = httpx.post(f"{stack.url}/video/submit", files=files, data=form, headers=headers, timeout=60)
    return UUID(answer.raise_for_status().json()["job_id"])


def only(spans: list[Span], name: str) -> Span:
    (found,) = [span for span in spans if span.name == name]
    return found


def test_one_trace_goes_from_the_client_over_api_controller_and_worker_into_triton(
    traced: StackProcess, collector: Collector, tmp_path: Path
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    shown = write_clip(tmp_path / "clip.mp4", "mp4_bframes", FRAMES)
    job = submit(traced, tmp_path / "clip.mp4", trace)
    with Client(traced.url) as client:
        assert numbers(completed(client, job)) == list(enumerate(shown))

    def whole(spans: list[Span]) -> bool:
        ours = [span for span in spans if span.trace_id == trace]
        ids = {span.span_id for span in ours} | {CALLER}
        names = {"analyse segment", "POST /v1/finish", "InferRequest"}
        return names <= {span.name for span in ours} and all(span.parent_id in ids for span in ours)

    collector.wait(whole, 60)
    spans = collector.of(trace)
    submitted, launched = only(spans, "POST /video/submit"), only(spans, "launch attempt")
    segment, finished = only(spans, "analyse segment"), only(spans, "POST /v1/finish")
    chunks = {span.span_id for span in spans if span.name == "analyse chunk"}
    assert (submitted.service, submitted.parent_id) == ("vidette-api", CALLER)
    assert (launched.service, launched.parent_id) == ("vidette-controller", submitted.span_id)
    assert (segment.service, segment.parent_id) == ("vidette-frame-worker", launched.span_id)
    assert finished.parent_id == segment.span_id
    assert {span.attributes["vidette.job_id"] for span in (submitted, launched, segment, finished)} == {str(job)}
    assert len(chunks) == CHUNKS
    assert {span.parent_id for span in spans if span.name == "POST /v1/chunks"} == chunks
    asked = [span for span in spans if span.name == "InferRequest"]
    assert {span.service for span in asked} == {"triton-inference-server"}
    assert {span.parent_id for span in asked} <= chunks
    assert len(asked) <= CHUNKS
    assert not any(span.failed for span in spans)
    assert not any(b"clip.mp4" in body or b"X-Amz" in body or b"Bearer" in body for body in collector.bodies)


def test_a_collector_that_hangs_or_is_away_holds_up_no_job_and_no_end_of_the_stack(
    collector: Collector, tmp_path: Path
) -> None:
    write_clip(tmp_path / "clip.mp4", "mp4_bframes", FRAMES)
    collector.hang.set()
    # One that hangs is given up after ten seconds, which this stack may not live; one that is away is noticed at once.
    for url, warnings in ((collector.url, {0, 1}), (f"http://127.0.0.1:{free_port()}", {1})):
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        with stack_running(tmp_path / url.rpartition(":")[2], **variables) as stack, Client(stack.url) as client:
            assert len(completed(client, client.submit(tmp_path / "clip.mp4", PIPELINE_ID), 60)) == FRAMES
            began = time.monotonic()
            assert stack.stop(limit_seconds=30) == 0
            assert time.monotonic() - began < 20
        logs = {log.name: log.read_text() for log in stack.home.logs.glob("*.log")}
        told = {name: text.count("spans may be lost") for name, text in logs.items()}
        assert max(told.values()) in warnings, "once in each process that has something to send"
    collector.hang.clear()
