"""`frame_index` is what a player would count, on every kind of file, wherever decoding begins.

The truth is in the pictures: every frame carries its own number.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.clips import KINDS, write_clip
from tests.support.decoded_clips import FRAMES, UNTIMED, WHOLE, Clips, assert_same, codes, container_of
from tests.support.limits import LIMITS
from vidette_core.domain.containers import Container
from vidette_core.domain.sampling import Sampling
from vidette_frame_worker.video import LocalFile, Video


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return Clips(tmp_path_factory.mktemp("clips"))


@pytest.mark.parametrize("kind", WHOLE)
def test_every_displayed_frame_comes_once_in_order_under_its_own_number(clips: Clips, kind: str) -> None:
    frames = clips.sequential(kind)
    assert codes(frames) == clips.shown(kind)
    assert [frame.frame_index for frame in frames] == list(range(len(clips.shown(kind))))
    assert [frame.sample for frame in frames] == [frame.frame_index for frame in frames]


@pytest.mark.parametrize("kind", WHOLE)
def test_the_index_counts_the_displayed_frames_and_gives_the_displayed_size(clips: Clips, kind: str) -> None:
    video = clips.video(kind)
    if kind == "avi_without_index":  # FFmpeg has looked at the first frames only
        assert 0 < video.index.frame_count <= len(clips.shown(kind))
        assert not video.index.is_exact
    else:
        assert video.index.frame_count == len(clips.shown(kind))
    assert (video.index.width, video.index.height) == (320, 180)
    assert video.warnings == ()
    is_timed = container_of(clips.path(kind)) is Container.MOV and kind not in UNTIMED
    assert video.index.has_increasing_timestamps == is_timed


@pytest.mark.parametrize("kind", [kind for kind in WHOLE if kind not in ("mp4_vfr", *UNTIMED)])
def test_times_advance_by_the_frame_rate(clips: Clips, kind: str) -> None:
    times = [frame.timestamp_ms for frame in clips.sequential(kind)]
    assert None not in times
    assert np.allclose(np.diff(np.array(times, float)), 40.0, atol=0.01)


def test_times_of_a_variable_rate_are_those_of_the_container(clips: Clips) -> None:
    times = np.array([frame.timestamp_ms for frame in clips.sequential("mp4_vfr")], float)
    assert times[0] == 0
    assert len(set(np.diff(times).round())) >= 4


@pytest.mark.parametrize("kind", ["mp4_rotated", "mp4_mirrored"])
def test_turned_and_mirrored_pictures_are_upright_as_an_independent_player_shows_them(clips: Clips, kind: str) -> None:
    frame = clips.sequential(kind)[0]
    assert frame.image is not None
    assert frame.image.flags.c_contiguous
    assert frame.image.dtype == np.uint8
    assert frame.image.shape == (180, 320, 3)
    ok, picture = cv2.VideoCapture(str(clips.path(kind))).read()
    assert ok
    if kind == "mp4_rotated":  # OpenCV applies rotations, but no mirroring
        assert np.abs(frame.image.astype(int) - picture[:, :, ::-1].astype(int)).mean() < 3


@pytest.mark.parametrize(
    ("kind", "told"), [("mp4_rotated", (90, False)), ("mp4_mirrored", (0, True)), ("mov", (0, False))]
)
def test_the_index_tells_rotation_and_mirroring(clips: Clips, kind: str, told: tuple[int, bool]) -> None:
    index = clips.video(kind).index
    assert (index.rotation, index.mirrored) == told


@pytest.mark.parametrize("kind", ["mp4_bframes", "mp4_edit_list", "avi_bframes"])
@pytest.mark.parametrize(
    ("stride", "max_frames"), [(1, 1), (2, None), (3, 5), (7, None), (10, 1), (1000, None), (1, 1000)]
)
def test_a_stride_takes_every_kth_frame_and_max_frames_bounds_how_many(
    clips: Clips, kind: str, stride: int, max_frames: int | None
) -> None:
    sampling = Sampling(stride, max_frames)
    frames = list(clips.video(kind).frames(sampling))
    expected = list(range(0, len(clips.shown(kind)), stride))[:max_frames]
    assert [frame.frame_index for frame in frames] == expected
    assert codes(frames) == [clips.shown(kind)[index] for index in expected]
    assert len(frames) == sampling.count(len(clips.shown(kind)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_going_on_in_the_middle_gives_exactly_what_a_pass_from_the_start_gives(
    clips: Clips, data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(sorted(KINDS)))
    stride = data.draw(st.integers(1, 9))
    first = data.draw(st.integers(0, FRAMES // stride + 1))
    end = data.draw(st.one_of(st.none(), st.integers(0, FRAMES // stride + 1)))
    resumed = list(clips.video(kind).frames(Sampling(stride), first, end))
    assert_same(resumed, clips.sequential(kind)[::stride][first:end])


@pytest.mark.parametrize("kind", WHOLE)
def test_every_place_to_go_on_at_gives_the_right_frame(clips: Clips, kind: str) -> None:
    video = clips.video(kind)
    for first in range(0, len(clips.shown(kind)), 5):
        frames = list(video.frames(Sampling(), first, first + 2))
        assert codes(frames) == clips.shown(kind)[first : first + 2]


def test_sound_beside_the_pictures_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    shown = write_clip(path, "mp4_open_gop", 60, audio=True)
    video = Video(LocalFile(path), Container.MOV, LIMITS)
    assert codes(list(video.frames(Sampling()))) == shown
    assert codes(list(video.frames(Sampling(), 41))) == shown[41:]
