"""Whatever the stride, the bound, the number of windows, the size of chunks and the places at which workers are killed:
the ledger balances, and every chunk has the bytes that one worker writes which nobody disturbs.

The decoder, the worker's stages and the packing of chunks are the real ones; the analysis says what the frame's pixels are, so
that another picture, index or time gives other bytes. Who may write what, and when, is for `test_leases_and_commits`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.clips import KINDS
from tests.support.decoded_clips import Clips, opened
from vidette_core.domain.jobs import SegmentState, Tally, TextCounts
from vidette_core.domain.ledger import Entry, SegmentRecord, reconcile
from vidette_core.domain.results import FrameResult, FrameRow
from vidette_core.domain.sampling import Sampling
from vidette_core.domain.worker_api import ChunkMessage
from vidette_core.ports.errors import Unavailable
from vidette_frame_worker.chunks import Analysed
from vidette_frame_worker.ocr import Seat
from vidette_frame_worker.segment import Pace, run_segment
from vidette_frame_worker.video import DecodedFrame

STRETCH_CHUNKS = 2
PACE = Pace(decoded_ahead=2, in_flight=3)


class Fingerprints:
    """In place of models: what is in the frame, to the last bit."""

    def analyse(self, frame: DecodedFrame, seat: Seat) -> Analysed:
        with seat:
            seen = "" if frame.image is None else hashlib.sha256(frame.image.tobytes()).hexdigest()
            result = FrameResult(text=seen, timestamp_ms=frame.timestamp_ms, error=frame.error)
            return Analysed(FrameRow(frame_index=frame.frame_index, result=result), TextCounts())


@dataclass
class Commits:
    """What is committed of a job, and when the next worker is killed: before the chunk is written, or just behind it."""

    kills: list[tuple[int, bool]]
    chunks: dict[int, tuple[ChunkMessage, bytes]] = field(default_factory=dict)
    samples: int = 0

    def __call__(self, chunk: ChunkMessage, content: bytes) -> int:
        place, is_late = self.kills[0] if self.kills else (-1, False)
        is_killed = chunk.first_sample == place
        if is_killed and not is_late:
            self.kills.pop(0)
            raise Unavailable("killed before the commit")
        assert chunk.first_sample not in self.chunks, "committed twice"
        self.chunks[chunk.first_sample] = chunk, content
        if is_killed:
            self.kills.pop(0)
            raise Unavailable("killed behind the commit")
        return chunk.first_sample + _tally(chunk).frames

    def check(self) -> None:
        """The lease holds as long as the worker lives."""


def _tally(message: ChunkMessage) -> Tally:
    return Tally(message.ok, message.decode_error, message.model_error)


def work(clips: Clips, kind: str, sampling: Sampling, chunk_frames: int, bounds: list[int], commits: Commits) -> int:
    """Every window by one worker after the other, each of which goes on where the ledger ends. Returns the last sample's end."""
    end = bounds[0]
    for first, until in pairwise([*bounds, -1]):
        at, wanted = first, None if until < 0 else until
        while True:
            frames = opened(clips.path(kind)).frames(sampling, at, wanted, stretch=STRETCH_CHUNKS * chunk_frames)
            try:
                end = run_segment(frames, at, chunk_frames, Fingerprints(), commits, commits, PACE)
                break
            except Unavailable:
                mine = [start for start in commits.chunks if start >= first]
                at = max((start + _tally(commits.chunks[start][0]).frames for start in mine), default=first)
    return end


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return Clips(tmp_path_factory.mktemp("clips"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_bytes_are_those_of_one_undisturbed_worker_and_the_ledger_balances(clips: Clips, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(KINDS)))
    sampling = Sampling(data.draw(st.integers(1, 7)), data.draw(st.none() | st.integers(1, 60)))
    chunk_frames = data.draw(st.integers(1, 12))
    undisturbed = Commits([])
    samples = work(clips, kind, sampling, chunk_frames, [0], undisturbed)
    starts = sorted(undisturbed.chunks)
    kills = data.draw(st.lists(st.tuples(st.sampled_from(starts), st.booleans()), max_size=4).map(sorted))
    stretch = STRETCH_CHUNKS * chunk_frames
    cuts = (
        data.draw(st.sets(st.sampled_from(range(stretch, samples, stretch)), max_size=3)) if samples > stretch else ()
    )
    disturbed = Commits(kills)
    bounds = [0, *sorted(cuts)]
    assert work(clips, kind, sampling, chunk_frames, bounds, disturbed) == samples
    assert disturbed.chunks == undisturbed.chunks
    ends = [*bounds[1:], samples]
    segments = [
        SegmentRecord(index, SegmentState.DONE, first, end, end)
        for index, (first, end) in enumerate(zip(bounds, ends, strict=True))
    ]
    entries = [Entry(first, _tally(message)) for first, (message, _) in disturbed.chunks.items()]
    tally = reconcile(segments, entries)
    assert isinstance(tally, Tally)
    assert tally.frames == samples
