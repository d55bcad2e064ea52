"""Which frames a verification draws, and when two rows of one frame count as the same."""

from __future__ import annotations

import json
from itertools import pairwise
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from vidette_core.domain.verifying import FRAMES_OF_A_CHUNK, MOST_SHOWN, compare, drawn, frames_in

SAMPLES = st.integers(1, 10**7)
CHUNK_FRAMES = st.integers(1, 256)
FRAMES = st.integers(1, 10_000)
SEED = st.integers(1, 2**31 - 1)


@settings(deadline=None)  # ten thousand windows are sorted and compared
@given(SAMPLES, CHUNK_FRAMES, FRAMES, SEED)
def test_what_is_drawn_lies_in_the_video_at_the_begin_of_chunks_and_never_twice(
    samples: int, chunk_frames: int, frames: int, seed: int
) -> None:
    windows = drawn(samples, chunk_frames, frames, Random(seed).sample)
    ends = [window.end_sample or 0 for window in windows]
    assert all(window.first_sample % chunk_frames == 0 for window in windows)
    assert all(0 <= window.first_sample < end <= samples for window, end in zip(windows, ends, strict=True))
    assert all(end - window.first_sample <= chunk_frames for window, end in zip(windows, ends, strict=True))
    assert all(one.first_sample < other.first_sample for one, other in pairwise(windows))
    assert drawn(samples, chunk_frames, frames, Random(seed).sample) == windows


@given(SAMPLES, CHUNK_FRAMES, FRAMES, SEED)
def test_about_as_many_frames_are_drawn_as_were_asked_for_where_there_are_so_many(
    samples: int, chunk_frames: int, frames: int, seed: int
) -> None:
    windows = drawn(samples, chunk_frames, frames, Random(seed).sample)
    chunks = -(-samples // chunk_frames)
    each = min(chunk_frames, FRAMES_OF_A_CHUNK)
    missing = chunks * chunk_frames - samples  # of the last chunk, which may be among them
    assert len(windows) == chunks or frames - missing <= frames_in(windows) < frames + each


@given(st.integers(2, 12), st.integers(11, 40))
def test_with_frames_for_two_chunks_every_sample_may_be_drawn(chunks: int, chunk_frames: int) -> None:
    drawings = [
        drawn(chunks * chunk_frames, chunk_frames, 2 * chunk_frames, Random(seed).sample) for seed in range(300)
    ]
    windows = {(window.first_sample, window.end_sample) for drawing in drawings for window in drawing}
    assert {(at * chunk_frames, (at + 1) * chunk_frames) for at in range(chunks)} <= windows


@given(st.integers(2000, 10**6))
def test_another_seed_draws_other_frames(samples: int) -> None:
    assert len({drawn(samples, 10, 50, Random(seed).sample) for seed in range(1, 11)}) > 1


def row(index: int, confidence: float = 0.5, **changes: Any) -> bytes:
    box = {"label": "car", "class_id": 2, "confidence": confidence, "bbox": [10.0, 2.5, 400.0, 40.25]} | changes
    return json.dumps({"frame_index": index, "result": {"detections": [box], "error": None}}).encode()


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_every_frame_is_identical_close_or_different(identical: int, close: int, different: int) -> None:
    count = identical + close + different
    stored = [row(index) for index in range(count)]
    found = [row(index) for index in range(identical)]
    found += [row(index, 0.5009) for index in range(identical, identical + close)]
    found += [row(index, 0.502) for index in range(identical + close, count)]
    compared = compare(stored, found)
    assert (compared.frames, compared.identical, compared.close, compared.different) == (
        count,
        identical,
        close,
        different,
    )
    assert len(compared.differences) == min(different, MOST_SHOWN)


def test_a_large_number_may_differ_by_a_thousandth_of_itself_and_a_text_by_nothing() -> None:
    assert compare([row(0)], [row(0, bbox=[10.0, 2.5, 400.3, 40.25])]).close == 1
    for changes in (
        {"bbox": [10.1, 2.5, 400.0, 40.25]},
        {"label": "cat"},
        {"class_id": 3},
        {"bbox": None},
        {"more": 1},
    ):
        assert compare([row(0)], [row(0, **changes)]).different == 1
