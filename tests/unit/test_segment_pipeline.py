"""The worker's stages on made-up frames: order, chunk boundaries, bounded queues, and how a failure anywhere ends it all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.contextvars import get_contextvars

from tests.support.made_up_models import PIPELINE, MadeUpModels, bars
from vidette_core.domain.jobs import TextCounts
from vidette_core.domain.pipelines import ModelRef
from vidette_core.domain.results import FrameError, FrameResult, FrameRow
from vidette_core.domain.worker_api import ChunkMessage
from vidette_core.ports.errors import Conflict, Unavailable
from vidette_core.ports.inference import Tensor
from vidette_core.telemetry.logs import job_in_logs
from vidette_frame_worker.analysis import FrameAnalyser
from vidette_frame_worker.chunks import Analysed, pack
from vidette_frame_worker.lease import Lease
from vidette_frame_worker.ocr import Seat
from vidette_frame_worker.segment import Pace, run_segment
from vidette_frame_worker.video import DecodedFrame

PACE = Pace(decoded_ahead=2, in_flight=3)


def frames(first: int, end: int, on_frame: Callable[[int], None] = lambda _: None) -> Iterator[DecodedFrame]:
    for sample in range(first, end):
        on_frame(sample)
        yield DecodedFrame(sample, sample, float(sample), None, FrameError.DECODE_ERROR)


def analysed(frame: DecodedFrame, text: TextCounts = TextCounts(1, 2)) -> Analysed:  # noqa: B008 - it is frozen
    result = FrameResult(timestamp_ms=frame.timestamp_ms, error=frame.error)
    return Analysed(FrameRow(frame_index=frame.frame_index, result=result), text)


@dataclass
class Analyser:
    """Takes longer for some frames than for others, so that results arrive out of order."""

    delays: list[float] = field(default_factory=lambda: [0.0])
    fail_at: int | None = None

    def analyse(self, frame: DecodedFrame, seat: Seat) -> Analysed:
        time.sleep(self.delays[frame.sample % len(self.delays)])
        if frame.sample == self.fail_at:
            raise Unavailable("the model is away")
        with seat:
            return analysed(frame)


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
        def analyse(self, _: DecodedFrame, __: Seat) -> Analysed:
            raise TimeoutError("the disk is slow")

    with pytest.raises(TimeoutError, match="the disk is slow"):
        run_segment(frames(0, 100), 0, 5, OutOfTime(), Ledger(0), Progress(), PACE)


def test_every_stage_logs_with_the_segment_and_the_epoch_it_works_on() -> None:
    seen: dict[str, list[dict[str, Any]]] = {"decode": [], "analyse": [], "commit": []}

    class Watched(Analyser):
        def analyse(self, frame: DecodedFrame, seat: Seat) -> Analysed:
            seen["analyse"].append(get_contextvars())
            return super().analyse(frame, seat)

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


def test_the_same_frames_always_give_the_same_chunk_with_its_counts() -> None:
    twenty = [analysed(frame, TextCounts(frame.sample, 2)) for frame in frames(0, 20)]
    message, content = pack(0, twenty)
    assert pack(0, twenty) == (message, content)
    assert (message.ok, message.decode_error) == (0, 20)
    assert (message.lines_read, message.lines_reused) == (190, 40)


class Readers(MadeUpModels):
    """Reads in a strip how bright it is, and takes its time, so that frames overtake each other."""

    def infer(self, model: ModelRef, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
        answer = super().infer(model, inputs, outputs)
        time.sleep(len(self.requests) % 4 * 0.002)
        if model.name == "recognition":
            strips = inputs["images"]
            shades = strips.reshape(len(strips), -1).max(axis=1)
            answer["ids"] = np.where(shades[:, None] > 200, [[1, 2]], [[2, 1]]).astype(np.int32)
        return answer


def captions(first: int, end: int) -> Iterator[DecodedFrame]:
    """A line that stands still, one that changes on every seventh frame, and now and then a frame that cannot be decoded."""
    for sample in range(first, end):
        image = bars(100, 200)
        image[100:120] = image[100:120] // 255 * 190
        image[205:215, 150 : 150 + sample // 7 * 15] = 150
        broken = sample % 11 == 10
        error = FrameError.DECODE_ERROR if broken else None
        yield DecodedFrame(sample, sample, float(sample), None if broken else image, error)


@dataclass
class Contents(Ledger):
    """Remembers the messages and bytes as well."""

    chunks: list[tuple[ChunkMessage, bytes]] = field(default_factory=list)

    def __call__(self, chunk: ChunkMessage, content: bytes) -> int:
        self.chunks.append((chunk, content))
        return super().__call__(chunk, content)


def contents(first: int, in_flight: int, *, text_reuse: bool = True) -> Contents:
    ledger, judge = Contents(first), FrameAnalyser(PIPELINE, Readers(), 5)
    pace = Pace(decoded_ahead=2, in_flight=in_flight)
    run_segment(captions(first, 50), first, 20, judge, ledger, Progress(), pace, text_reuse=text_reuse)
    return ledger


def test_the_bytes_of_a_chunk_do_not_depend_on_how_many_frames_are_in_flight_nor_on_a_restart() -> None:
    one_by_one = contents(0, 1)
    assert contents(0, 8).chunks == one_by_one.chunks
    assert contents(20, 8).chunks == one_by_one.chunks[1:]
    assert contents(40, 3).chunks == one_by_one.chunks[2:]


def test_what_a_chunk_knows_begins_afresh_at_its_boundary() -> None:
    ledger = contents(0, 4)
    # Each chunk has one line that stands still, and the changing one is seen in three, four and three states.
    assert [chunk.lines_read for chunk, _ in ledger.chunks] == [4, 5, 4]
    assert [chunk.lines_read + chunk.lines_reused for chunk, _ in ledger.chunks] == [38, 36, 18]


def test_rows_are_the_same_without_reuse_and_every_line_is_read() -> None:
    with_reuse, without = contents(0, 4), contents(0, 4, text_reuse=False)
    assert {row.result.text for row in with_reuse.rows} == {"ba\nab", ""}
    assert without.rows == with_reuse.rows
    assert [chunk.lines_reused for chunk, _ in without.chunks] == [0, 0, 0]
    assert sum(chunk.lines_read for chunk, _ in without.chunks) == 92


@pytest.mark.timeout(30)
def test_frames_that_wait_for_each_other_end_when_the_lease_is_lost() -> None:
    models = MadeUpModels({"recognition": Unavailable("away")})
    progress = Progress()
    judge = FrameAnalyser(PIPELINE, models, 8)
    losing = threading.Timer(0.5, lambda: setattr(progress, "lost", True))
    losing.start()
    with pytest.raises(Conflict):
        run_segment(captions(0, 50), 0, 20, judge, Ledger(0), progress, Pace(decoded_ahead=2, in_flight=8))
    losing.join()
