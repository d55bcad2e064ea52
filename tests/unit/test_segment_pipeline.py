"""The worker's stages on made-up frames: order, chunk boundaries, bounded queues, and how a failure anywhere ends it all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.contextvars import get_contextvars

from vidette_core.domain.results import FrameError, FrameResult, FrameRow
from vidette_core.domain.worker_api import ChunkMessage
from vidette_core.ports.errors import Conflict, Unavailable
from vidette_core.telemetry.logs import job_in_logs
from vidette_frame_worker.chunks import pack
from vidette_frame_worker.lease import Lease
from vidette_frame_worker.segment import Pace, run_segment
from vidette_frame_worker.video import DecodedFrame

PACE = Pace(decoded_ahead=2, in_flight=3)


def frames(first: int, end: int, on_frame: Callable[[int], None] = lambda _: None) -> Iterator[DecodedFrame]:
    for sample in range(first, end):
        on_frame(sample)
        yield DecodedFrame(sample, sample, float(sample), None, FrameError.DECODE_ERROR)


def row(frame: DecodedFrame) -> FrameRow:
    return FrameRow(
        frame_index=frame.frame_index, result=FrameResult(timestamp_ms=frame.timestamp_ms, error=frame.error)
    )


@dataclass
class Analyser:
    """Takes longer for some frames than for others, so that results arrive out of order."""

    delays: list[float] = field(default_factory=lambda: [0.0])
    fail_at: int | None = None

    def analyse(self, frame: DecodedFrame) -> FrameRow:
        time.sleep(self.delays[frame.sample % len(self.delays)])
        if frame.sample == self.fail_at:
            raise Unavailable("the model is away")
        return row(frame)


@dataclass
class Ledger:
    """Commits as the gateway would, and remembers the rows."""

    next_sample: int
    rows: list[FrameRow] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    fenced_at: int | None = None

    def __call__(self, chunk: ChunkMessage, content: bytes) -> int:
        if self.fenced_at is not None and chunk.first_sample >= self.fenced_at:
            raise Conflict("fenced")
        assert chunk.first_sample == self.next_sample
        lines = zstandard.decompress(content).splitlines()
        self.rows.extend(FrameRow.model_validate_json(line) for line in lines)
        self.sizes.append(len(lines))
        self.next_sample += len(lines)
        return self.next_sample


@dataclass
class Progress:
    samples: int = 0
    lost: bool = False

    def check(self) -> None:
        if self.lost:
            raise Conflict("the lease is lost")


@given(
    first=st.integers(0, 3),
    count=st.integers(0, 25),
    chunk_frames=st.integers(1, 8),
    delays=st.lists(st.sampled_from([0.0, 0.001, 0.004]), min_size=1, max_size=5),
)
@settings(max_examples=40, deadline=None)
def test_every_frame_is_committed_once_and_in_order(
    first: int, count: int, chunk_frames: int, delays: list[float]
) -> None:
    start = first * chunk_frames
    ledger, progress = Ledger(start), Progress()
    end = run_segment(frames(start, start + count), start, chunk_frames, Analyser(delays), ledger, progress, PACE)
    assert end == start + count
    assert [found.frame_index for found in ledger.rows] == list(range(start, start + count))
    assert all(size == chunk_frames for size in ledger.sizes[:-1])
    assert progress.samples == (start + count if count else 0)


def test_decoding_never_runs_further_ahead_than_the_queues_allow() -> None:
    lead: list[int] = []

    def on_frame(sample: int) -> None:
        lead.append(sample - len(ledger.rows))

    ledger = Ledger(0)
    run_segment(frames(0, 60, on_frame), 0, 1, Analyser([0.003]), ledger, Progress(), PACE)
    in_pool_and_queues = PACE.decoded_ahead + 2 * PACE.in_flight + 3
    assert max(lead) <= in_pool_and_queues


def test_a_model_that_stays_away_ends_the_segment_with_what_was_committed_before() -> None:
    ledger = Ledger(0)
    with pytest.raises(Unavailable):
        run_segment(frames(0, 100), 0, 5, Analyser(fail_at=12), ledger, Progress(), PACE)
    assert [found.frame_index for found in ledger.rows] == list(range(10))


def test_a_decoder_that_raises_ends_the_segment() -> None:
    def explode(sample: int) -> None:
        if sample == 7:
            raise ValueError("bad bytes")

    with pytest.raises(ValueError, match="bad bytes"):
        run_segment(frames(0, 100, explode), 0, 5, Analyser(), Ledger(0), Progress(), PACE)


def test_a_fenced_commit_ends_the_segment_at_once() -> None:
    ledger = Ledger(0, fenced_at=10)
    with pytest.raises(Conflict):
        run_segment(frames(0, 10_000), 0, 5, Analyser(), ledger, Progress(), PACE)
    assert len(ledger.rows) == 10


def test_a_lost_lease_ends_the_segment_before_anything_more_is_committed() -> None:
    ledger, progress = Ledger(0), Progress(lost=True)
    with pytest.raises(Conflict):
        run_segment(frames(0, 10_000), 0, 5, Analyser(), ledger, progress, PACE)
    assert ledger.rows == []


@pytest.mark.timeout(20)
def test_an_analysis_that_ran_out_of_time_ends_the_segment() -> None:
    class OutOfTime:
        def analyse(self, _: DecodedFrame) -> FrameRow:
            raise TimeoutError("the disk is slow")

    with pytest.raises(TimeoutError, match="the disk is slow"):
        run_segment(frames(0, 100), 0, 5, OutOfTime(), Ledger(0), Progress(), PACE)


def test_every_stage_logs_with_the_segment_and_the_epoch_it_works_on() -> None:
    seen: dict[str, list[dict[str, Any]]] = {"decode": [], "analyse": [], "commit": []}

    class Watched(Analyser):
        def analyse(self, frame: DecodedFrame) -> FrameRow:
            seen["analyse"].append(get_contextvars())
            return super().analyse(frame)

    class WatchedLedger(Ledger):
        def __call__(self, chunk: ChunkMessage, content: bytes) -> int:
            seen["commit"].append(get_contextvars())
            return super().__call__(chunk, content)

    watched = frames(0, 20, lambda _: seen["decode"].append(get_contextvars()))
    with job_in_logs("a job", segment=3, epoch=7):
        run_segment(watched, 0, 5, Watched(), WatchedLedger(0), Progress(), PACE)
    expected = {"job_id": "a job", "segment": 3, "epoch": 7}
    assert {stage: len(contexts) for stage, contexts in seen.items()} == {"decode": 20, "analyse": 20, "commit": 4}
    assert all(context == expected for contexts in seen.values() for context in contexts)


def test_the_lease_is_renewed_with_the_segment_and_the_epoch_in_its_log_lines() -> None:
    seen: list[dict[str, Any]] = []
    renewed = threading.Event()

    def renew(_: int) -> None:
        seen.append(get_contextvars())
        renewed.set()

    with job_in_logs("a job", segment=3, epoch=7), Lease(renew, 0.03, 0):
        assert renewed.wait(10)
    assert seen[0] == {"job_id": "a job", "segment": 3, "epoch": 7}


def test_the_same_rows_always_give_the_same_chunk() -> None:
    rows = [row(frame) for frame in frames(0, 20)]
    message, content = pack(0, rows)
    assert pack(0, rows) == (message, content)
    assert (message.ok, message.decode_error, message.bytes) == (0, 20, len(content))
