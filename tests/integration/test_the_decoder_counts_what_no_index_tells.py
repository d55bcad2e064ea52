"""Videos whose index does not say which frame is which: that is noticed, by every part of them, and then the decoder counts.

The truth is in the pictures: every frame carries its own number. What the decoder counts is also an independent witness for all
other kinds of videos, since it uses nothing of the packet table's order.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.clips import read_code
from tests.support.decoded_clips import WHOLE, Clips, assert_same, codes, opened
from tests.support.untrue_indices import UNTRUE_AVI, UNTRUE_MP4, Shown, fields_together
from vidette_core.domain.sampling import Sampling
from vidette_frame_worker.video import DecodedFrame, IndexDisagrees

FRAMES = 50
STRIDES = (1, 3)
PLACES = (1, 17, 40)
"""Where a lost worker's heir goes on."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return Clips(tmp_path_factory.mktemp("clips"))


def counted(path: Path, stride: int = 1, first: int = 0) -> list[DecodedFrame]:
    return list(opened(path).frames(Sampling(stride), first, in_decoder_order=True))


def assert_is(frames: list[DecodedFrame], shown: Shown) -> None:
    assert [frame.frame_index for frame in frames] == list(range(len(shown.numbers)))
    assert codes(frames) == shown.numbers
    assert [frame.timestamp_ms for frame in frames] == pytest.approx(shown.times_ms, abs=0.001)


@pytest.mark.parametrize("kind", UNTRUE_MP4)
def test_an_index_that_does_not_list_the_frames_is_noticed_from_anywhere(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "clip.mp4"
    UNTRUE_MP4[kind](path, FRAMES)
    for first in (0, *PLACES):
        with pytest.raises(IndexDisagrees):
            list(opened(path).frames(Sampling(), first, stretch=8))


@pytest.mark.parametrize("kind", UNTRUE_MP4)
def test_the_decoder_counts_its_frames_and_each_is_shown_at_its_time(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "clip.mp4"
    shown = UNTRUE_MP4[kind](path, FRAMES)
    frames = counted(path)
    assert_is(frames, shown)
    for stride in STRIDES:
        for first in PLACES:
            assert_same(counted(path, stride, first), frames[::stride][first:])


@pytest.mark.parametrize("kind", UNTRUE_AVI)
def test_the_same_in_avi_where_the_decoder_counts_in_any_case(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "clip.avi"
    shown = UNTRUE_AVI[kind](path, FRAMES)
    assert_is(list(opened(path).frames(Sampling())), shown)


def test_two_fields_in_one_packet_are_one_frame_and_its_index_holds(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    shown = fields_together(path, FRAMES)
    assert_is(list(opened(path).frames(Sampling(), stretch=8)), shown)


@pytest.mark.parametrize("kind", WHOLE)
def test_what_the_decoder_counts_is_what_the_index_says_on_every_sound_kind(clips: Clips, kind: str) -> None:
    assert_same(counted(clips.path(kind)), clips.sequential(kind))


def test_damage_is_no_reason_to_mistrust_an_index_and_shifts_no_frame_that_the_decoder_counts(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    UNTRUE_MP4["fields_apart"](path, FRAMES)
    data = bytearray(path.read_bytes())
    at = data.index(b"mdat") + 40 * 50_000  # within the raw samples of some field
    data[at : at + 200] = bytes(200)
    path.write_bytes(data)
    frames = counted(path)
    assert [frame.frame_index for frame in frames] == list(range(FRAMES))
    readable = [frame for frame in frames if frame.image is not None]
    assert len(readable) >= FRAMES - 2
    assert all(read_code(frame.image) == frame.frame_index for frame in readable if frame.image is not None)
