"""Cut and spoilt files: what can be decoded comes under its right index, what cannot is named, and nothing shifts."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.clips import KINDS, read_code, write_clip
from tests.support.limits import LIMITS
from tests.support.mp4_surgery import spoil_packets
from vidette_core.domain.containers import Container
from vidette_core.domain.errors import ErrorCode
from vidette_core.domain.results import FrameError
from vidette_core.domain.sampling import Sampling
from vidette_frame_worker.video import DecodedFrame, LocalFile, Video, VideoError

FRAMES = 60


def container_of(kind: str) -> Container:
    return Container.AVI if KINDS[kind].container == "avi" else Container.MOV


def open_clip(path: Path, kind: str) -> Video:
    return Video(LocalFile(path), container_of(kind), LIMITS)


def written(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.{KINDS[kind].container}"
    write_clip(path, kind, FRAMES)
    return path


def assert_readable_codes_are_right(frames: list[DecodedFrame]) -> int:
    """Returns how many there are: pictures whose number is their index."""
    images = [(frame.frame_index, frame.image) for frame in frames if frame.image is not None]
    assert [read_code(image) for _, image in images] == [index for index, _ in images]
    return len(images)


@pytest.fixture(scope="module")
def moov_first(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[tuple[int, int]]]:
    """A whole file with its index at the front, and per displayed frame (presentation order) where its bytes end."""
    path = tmp_path_factory.mktemp("clips") / "whole.mp4"
    write_clip(path, "mp4_edit_list", FRAMES)
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size and not p.is_discard]
    ends = sorted((p.pts or 0, (p.pos or 0) + p.size) for p in packets)
    return path.read_bytes(), ends


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keep=st.floats(0.2, 1.0))
def test_a_cut_file_gives_all_frames_before_the_first_one_lost_and_says_so(
    moov_first: tuple[bytes, list[tuple[int, int]]], tmp_path: Path, keep: float
) -> None:
    data, ends = moov_first
    cut = data[: int(len(data) * keep)]
    path = tmp_path / "cut.mp4"
    path.write_bytes(cut)
    whole = [end <= len(cut) for _, end in ends]
    expected = whole.index(False) if False in whole else len(whole)
    if expected == 0:
        with pytest.raises(VideoError) as caught:
            open_clip(path, "mp4_edit_list")
        assert caught.value.problem.code is ErrorCode.INVALID_VIDEO
        return
    video = open_clip(path, "mp4_edit_list")
    frames = list(video.frames(Sampling()))
    assert video.index.frame_count == len(frames) == expected
    assert [f.frame_index for f in frames] == list(range(expected))
    assert [read_code(f.image) for f in frames if f.image is not None] == [FRAMES // 5 + i for i in range(expected)]
    assert [warning.code for warning in video.warnings] == (["truncated"] if False in whole else [])


@pytest.mark.parametrize("keep", [0.3, 0.55, 0.8, 0.95])
@pytest.mark.parametrize("kind", ["avi", "avi_mjpeg", "avi_bframes", "mp4_fragmented"])
def test_a_cut_file_without_a_whole_index_is_decoded_as_far_as_it_goes(tmp_path: Path, kind: str, keep: float) -> None:
    path = written(tmp_path, kind)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    video = open_clip(path, kind)
    frames = list(video.frames(Sampling()))
    assert [f.frame_index for f in frames] == list(range(len(frames)))
    assert assert_readable_codes_are_right(frames) == len(frames)
    assert 1 <= len(frames) < FRAMES
    assert [warning.code for warning in video.warnings] == ["truncated"]


@pytest.mark.parametrize("kind", ["mp4_bframes", "mov"])
def test_a_file_cut_off_before_the_index_at_its_end_is_an_invalid_video(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(VideoError, match="index") as caught:
        open_clip(path, kind)
    assert caught.value.problem.code is ErrorCode.INVALID_VIDEO


GROUPS = {"mov_mjpeg": 1, "avi_mjpeg": 1, "avi": 12, "mp4_bframes": 24, "mp4_vfr": 24, "mp4_fragmented": 24}
"""Frames per closed group of pictures: a spoilt packet can harm the pictures of its own group and no other."""


@pytest.mark.parametrize("kind", GROUPS)
@pytest.mark.parametrize("doomed", [(31,), (30, 31, 32), (5, 44), (FRAMES - 1,), (FRAMES - 2, FRAMES - 1)])
def test_spoilt_packets_never_shift_the_frames_behind_them(tmp_path: Path, kind: str, doomed: tuple[int, ...]) -> None:
    path = written(tmp_path, kind)
    spoil_packets(path, container_of(kind).value, doomed)
    frames = list(open_clip(path, kind).frames(Sampling()))
    assert [f.frame_index for f in frames] == list(range(FRAMES))
    assert all((f.image is None) == (f.error is not None) for f in frames)
    errors = [f.frame_index for f in frames if f.error is FrameError.DECODE_ERROR]
    assert 1 <= len(errors) <= len(doomed)
    harmed = {number // GROUPS[kind] for number in doomed}
    assert {index // GROUPS[kind] for index in errors} <= harmed
    sound = [f for f in frames if f.frame_index // GROUPS[kind] not in harmed]
    assert assert_readable_codes_are_right(sound) == len(sound) > 0


def test_a_spoilt_packet_of_an_avi_with_reordered_frames_is_counted(tmp_path: Path) -> None:
    path = written(tmp_path, "avi_h264")
    spoil_packets(path, "avi", [5])
    frames = list(open_clip(path, "avi_h264").frames(Sampling()))
    assert [f.frame_index for f in frames] == list(range(FRAMES))
    assert sum(f.error is FrameError.DECODE_ERROR for f in frames) == 1
    assert assert_readable_codes_are_right(frames[24:]) == FRAMES - 24


@pytest.mark.parametrize("kind", ["mov_mjpeg", "avi_mjpeg"])
def test_where_frames_stand_alone_exactly_the_spoilt_ones_are_errors(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind)
    spoil_packets(path, container_of(kind).value, [0, 7, 8, 59])
    frames = list(open_clip(path, kind).frames(Sampling()))
    assert [f.frame_index for f in frames if f.error is FrameError.DECODE_ERROR] == [0, 7, 8, 59]
    assert assert_readable_codes_are_right(frames) == FRAMES - 4


@pytest.mark.parametrize("kind", ["mov_mjpeg", "mp4_bframes", "mp4_vfr", "mp4_open_gop"])
def test_going_on_behind_a_spoilt_packet_gives_the_same_errors_and_pictures(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind)
    spoil_packets(path, container_of(kind).value, [20, 41])
    video = open_clip(path, kind)
    sequential = list(video.frames(Sampling()))
    assert sum(f.error is not None for f in sequential) >= 1
    for first in (3, 17, 19, 22, 35, 40, 44, 55):
        resumed = list(video.frames(Sampling(), first))
        assert [(f.frame_index, f.error) for f in resumed] == [(f.frame_index, f.error) for f in sequential[first:]]


@pytest.mark.parametrize("kind", ["mov_mjpeg", "avi_mjpeg", "mp4_bframes", "avi"])
def test_a_video_of_which_no_frame_decodes_is_invalid(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind)
    spoil_packets(path, container_of(kind).value, range(FRAMES))
    with pytest.raises(VideoError, match="Not one frame") as caught:
        open_clip(path, kind)
    assert caught.value.problem.code is ErrorCode.INVALID_VIDEO


def test_a_file_with_sound_only_is_an_invalid_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="no video track"):
        open_clip(path, "mov")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["mp4_bframes", "mp4_edit_list", "mp4_fragmented", "avi", "avi_mjpeg"]), data=st.data())
def test_random_damage_ends_in_frames_or_in_an_invalid_video_and_in_nothing_else(
    tmp_path: Path, kind: str, data: st.DataObject
) -> None:
    path = written(tmp_path, kind)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + 4] = data.draw(st.binary(min_size=1, max_size=8))
    path.write_bytes(content)
    with suppress(VideoError):
        frames = list(open_clip(path, kind).frames(Sampling(2)))
        assert [f.frame_index for f in frames] == list(range(0, 2 * len(frames), 2))
