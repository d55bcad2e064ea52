"""However a sound or cut video is cut into windows, together they give what one pass from its start gives."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.clips import KINDS, read_code, write_clip
from tests.support.decoded_clips import WHOLE, Clips, assert_same, opened
from tests.support.real_inputs import yolox_case
from vidette_core.domain.sampling import Sampling
from vidette_frame_worker.video import DecodedFrame, VideoError

SPLIT = [kind for kind in WHOLE if not kind.startswith("avi") and kind != "mp4_equal_timestamps"]
"""Kinds that are split: those whose frames have times of their own."""
CODECS = [
    "mp4_bframes",
    "mp4_open_gop",
    "mp4_hevc_open_gop",
    "mp4_hevc_10bit",
    "mp4_vp9",
    "mp4_av1",
    "mp4_mpeg4",
    "mov_mjpeg",
]
FRAMES = 96
CUTS = 20


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return Clips(tmp_path_factory.mktemp("clips"))


def windows(path: Path, bounds: list[int], stride: int = 1) -> list[DecodedFrame]:
    """What workers that each have one window find, each with a video of its own. Raises IndexDisagrees."""
    return [frame for first, end in pairwise(bounds) for frame in opened(path).frames(Sampling(stride), first, end)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_windows_of_a_sound_video_never_give_up_and_are_the_whole(clips: Clips, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(SPLIT))
    stride = data.draw(st.integers(1, 9))
    wanted = clips.sequential(kind)[::stride]
    cuts = data.draw(st.sets(st.integers(1, max(1, len(wanted) - 1)), max_size=6))
    assert_same(windows(clips.path(kind), [0, *sorted(cuts - {len(wanted)}), len(wanted)], stride), wanted)


def test_windows_of_somebodys_real_video_are_the_whole(tmp_path: Path) -> None:
    path = yolox_case(tmp_path).video
    stride = 10
    wanted = list(opened(path).frames(Sampling(stride)))
    bounds = [0, *sorted(random.Random(1).sample(range(1, len(wanted)), 2)), len(wanted)]
    assert_same(windows(path, bounds, stride), wanted)


@pytest.mark.parametrize("kind", [*CODECS, "mp4_fragmented"])
def test_a_cut_file_gives_its_frames_up_to_the_cut_also_in_windows(tmp_path: Path, kind: str) -> None:
    whole = tmp_path / f"whole.{KINDS[kind].container}"
    write_clip(whole, kind, FRAMES, moov_first=True)
    data, seen = whole.read_bytes(), set()
    for place in range(1, CUTS + 1):
        path = whole.with_stem("cut")
        path.write_bytes(data[: len(data) * place // (CUTS + 1)])
        try:
            video = opened(path)
        except VideoError:
            continue  # not one picture is left, or not the whole index
        frames = list(video.frames(Sampling()))
        numbers = [read_code(frame.image) for frame in frames if frame.image is not None]
        assert numbers == list(range(len(frames))), "each frame that is there is the one that its index says"
        assert [warning.code for warning in video.warnings] == ["truncated"]
        assert_same(windows(path, [0, *{len(frames) // 2} - {0}, len(frames)]), frames)
        seen.add(len(frames))
    assert len(seen) > CUTS // 2, "the cuts went through the pictures"
