"""Spans through the real SDK to a real collector: what comes, what a worker's threads make of them, a collector that fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from uuid import uuid4

import numpy as np
import pytest
from structlog.testing import capture_logs

from tests.support.otlp_collector import Collector, Span, otlp_collector
from vidette_core.domain.jobs import TextCounts
from vidette_core.domain.results import FrameResult, FrameRow
from vidette_core.domain.worker_api import ChunkMessage
from vidette_core.settings import TracingSettings
from vidette_core.telemetry import tracing
from vidette_frame_worker.chunks import Analysed
from vidette_frame_worker.ocr import Seat
from vidette_frame_worker.segment import Pace, run_segment
from vidette_frame_worker.video import DecodedFrame

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = PARENT[:-1] + "0"
LOG = """
import structlog
from vidette_core.settings import LogSettings, TracingSettings
from vidette_core.telemetry import tracing
from vidette_core.telemetry.logs import configure_logs
configure_logs(LogSettings(), "service")
with tracing.tracing("service", TracingSettings()):
    with tracing.span("work", parent="{parent}"):
        structlog.get_logger().info("inside")
    structlog.get_logger().info("outside")
"""


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with otlp_collector() as running:
        yield running


def to(url: str) -> TracingSettings:
    return TracingSettings(exporter_otlp_endpoint=url)


def named(collector: Collector, name: str) -> list[Span]:
    return [span for span in collector.spans if span.name == name]


def test_a_span_goes_on_with_its_parents_trace_and_is_sent_when_the_process_ends(collector: Collector) -> None:
    with (
        tracing.tracing("a-service", to(collector.url)),
        tracing.span("outer", parent=PARENT, attributes={"vidette.attempt": 2}),
        tracing.span("inner"),
    ):
        inside = tracing.current_traceparent()
    (outer,), (inner,) = named(collector, "outer"), named(collector, "inner")
    assert (outer.trace_id, outer.parent_id) == tuple(PARENT.split("-")[1:3])
    assert (outer.service, outer.attributes) == ("a-service", {"vidette.attempt": 2})
    assert inside == f"00-{inner.trace_id}-{inner.span_id}-01"
    assert inner.parent_id == outer.span_id


def test_an_error_is_told_by_its_type_and_not_by_its_words(collector: Collector) -> None:
    with tracing.tracing("a-service", to(collector.url)), pytest.raises(KeyError), tracing.span("work"):
        raise KeyError("what-a-client-wrote")
    (span,) = named(collector, "work")
    assert span.failed
    assert span.attributes == {"error.type": "KeyError"}
    assert not any(b"what-a-client-wrote" in body for body in collector.bodies)


def test_a_span_that_is_open_when_the_process_ends_is_not_lost(collector: Collector) -> None:
    with tracing.tracing("a-service", to(collector.url)):
        tracing.begin("a long one")
    (span,) = named(collector, "a long one")
    assert span.attributes["error.type"] == "stopped"


@pytest.mark.parametrize("rubbish", ["", "00", "ff-" + PARENT[3:], "x" * 100_000, "00-\x00-\xff-01"])
def test_a_parent_that_is_rubbish_begins_a_trace_of_its_own(collector: Collector, rubbish: str) -> None:
    with (
        tracing.tracing("a-service", to(collector.url)),
        tracing.span("work", parent=rubbish),
        tracing.continued(rubbish),
    ):
        assert tracing.carried() == {}
    (span,) = named(collector, "work")
    assert span.parent_id == ""


def test_a_trace_that_the_caller_does_not_record_is_carried_on_unrecorded_and_not_to_models(
    collector: Collector,
) -> None:
    with tracing.tracing("a-service", to(collector.url)), tracing.span("work", parent=UNSAMPLED), tracing.closely():
        carried = tracing.carried()["traceparent"]
        assert carried.startswith(UNSAMPLED[:36])
        assert carried.endswith("-00")
        assert tracing.carried_to_models() == {}
    assert collector.spans == []


def test_log_lines_inside_a_span_carry_its_trace_id_and_others_do_not(collector: Collector) -> None:
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    ran = subprocess.run(
        [sys.executable, "-c", LOG.format(parent=PARENT)], env=environment, capture_output=True, text=True, check=True
    )
    lines = {line["event"]: line for line in map(json.loads, ran.stderr.splitlines())}
    assert lines["inside"]["trace_id"] == PARENT.split("-")[1]
    assert "trace_id" not in lines["outside"]


class Watching:
    """An analyser that notes what it could carry on."""

    def __init__(self) -> None:
        self.seen: dict[int, tuple[str | None, dict[str, str]]] = {}

    def analyse(self, frame: DecodedFrame, seat: Seat) -> Analysed:
        with seat:
            self.seen[frame.sample] = tracing.current_traceparent(), tracing.carried_to_models()
        return Analysed(FrameRow(frame_index=frame.frame_index, result=FrameResult()), TextCounts())


class Held:
    """A lease that always holds."""

    samples = 0

    def check(self) -> None: ...


def frames(count: int) -> Iterator[DecodedFrame]:
    image = np.zeros((2, 2, 3), np.uint8)
    for number in range(count):
        yield DecodedFrame(sample=number, frame_index=number, timestamp_ms=float(number), image=image, error=None)


def test_a_segment_has_one_span_for_each_chunk_and_models_hear_of_its_first_frame(collector: Collector) -> None:
    watching, commits = Watching(), []

    def commit(chunk: ChunkMessage, content: bytes) -> int:
        assert content
        commits.append(tracing.current_traceparent())
        return chunk.first_sample + chunk.ok

    with tracing.tracing("worker", to(collector.url)), tracing.span("analyse segment", parent=PARENT):
        assert run_segment(frames(25), 0, 10, watching, commit, Held(), Pace(4, 4)) == 25
    (segment,) = named(collector, "analyse segment")
    chunks = sorted(named(collector, "analyse chunk"), key=lambda span: int(span.attributes["vidette.first_sample"]))
    assert [span.attributes["vidette.first_sample"] for span in chunks] == [0, 10, 20]
    assert [span.attributes["vidette.frames"] for span in chunks] == [10, 10, 5]
    assert {span.parent_id for span in chunks} == {segment.span_id}
    carried = [f"00-{span.trace_id}-{span.span_id}-01" for span in chunks]
    assert commits == carried
    assert [watching.seen[sample][0] for sample in range(25)] == [carried[sample // 10] for sample in range(25)]
    followed = {sample: told for sample, (_, told) in watching.seen.items() if told}
    assert followed == {sample: {"traceparent": carried[sample // 10]} for sample in (0, 10, 20)}


def test_chunks_that_are_not_committed_are_told_as_abandoned(collector: Collector) -> None:
    def commit(chunk: ChunkMessage, content: bytes) -> int:
        raise ConnectionError(chunk.sha256, len(content))

    with tracing.tracing("worker", to(collector.url)), pytest.raises(ConnectionError):
        run_segment(frames(40), 0, 10, Watching(), commit, Held(), Pace(4, 4))
    chunks = named(collector, "analyse chunk")
    assert len({span.attributes["vidette.first_sample"] for span in chunks}) == len(chunks)
    assert {span.attributes["error.type"] for span in chunks} <= {"ConnectionError", "abandoned"}
    assert all(span.failed for span in chunks)


def test_a_collector_that_is_away_costs_a_bounded_end_and_one_warning() -> None:
    with capture_logs() as logs:
        began = time.monotonic()
        with tracing.tracing("a-service", to("http://127.0.0.1:1"), 1.0):
            for _ in range(5_000):  # more than the queue takes
                with tracing.span("work"):
                    pass
            assert time.monotonic() - began < 5
            ending = time.monotonic()
        assert time.monotonic() - ending < 2
    warnings = [line for line in logs if line["log_level"] == "warning"]
    assert len(warnings) == 1
    assert "spans may be lost" in warnings[0]["event"]
    assert not tracing.is_on()


def test_a_collector_that_hangs_costs_a_bounded_end_and_no_work(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    collector.hang.set()
    with tracing.tracing("a-service", to(collector.url), 1.0):
        with tracing.span("first"):
            pass
        deadline = time.monotonic() + 10
        while not collector.requests:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        began = time.monotonic()
        for _ in range(1_000):
            with tracing.span("work", attributes={"vidette.job_id": str(uuid4())}):
                pass
        assert time.monotonic() - began < 2
        ending = time.monotonic()
    assert time.monotonic() - ending < 2
