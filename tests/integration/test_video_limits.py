"""What an installation is not willing to decode is refused before it is decoded, with the cause and a remedy."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.clips import write_clip
from tests.support.hostile_clips import (
    edits_that_repeat,
    fragment_outside_its_box,
    index_elsewhere,
    one_frame_of_many_pictures,
    tracks_in_avi,
    tracks_in_mp4,
)
from tests.support.limits import LIMITS
from vidette_core.domain.containers import Container
from vidette_core.domain.errors import ErrorCode
from vidette_core.domain.sampling import Sampling
from vidette_frame_worker.video import Limits, LocalFile, Video, VideoError, overtime

FRAMES = 50


def refusal(path: Path, container: Container, limits: Limits) -> VideoError:
    with pytest.raises(VideoError) as caught:
        Video(LocalFile(path), container, limits)
    return caught.value


@pytest.fixture(params=["mp4_bframes", "mp4_fragmented", "avi"])
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Container]:
    path = tmp_path / "clip"
    write_clip(path, request.param, FRAMES)
    return path, Container.AVI if request.param == "avi" else Container.MOV


def test_a_video_at_its_limits_is_taken(clip: tuple[Path, Container]) -> None:
    limits = Limits(320 * 180, FRAMES, FRAMES / 25 + 0.1, max_tracks=1, max_decode_s=LIMITS.max_decode_s)
    assert len(list(Video(LocalFile(clip[0]), clip[1], limits).frames(Sampling()))) == FRAMES


def test_one_pixel_too_many_is_too_large(clip: tuple[Path, Container]) -> None:
    error = refusal(*clip, replace(LIMITS, max_pixels=320 * 180 - 1))
    assert error.problem.code is ErrorCode.TOO_LARGE_FRAME
    assert "320 x 180" in error.problem.message


def test_one_frame_too_many_is_too_long(clip: tuple[Path, Container]) -> None:
    assert refusal(*clip, replace(LIMITS, max_frames=FRAMES - 1)).problem.code is ErrorCode.TOO_LONG


def test_a_moment_too_many_is_too_long(clip: tuple[Path, Container]) -> None:
    assert refusal(*clip, replace(LIMITS, max_duration_s=FRAMES / 25 - 0.1)).problem.code is ErrorCode.TOO_LONG


def test_a_header_that_lies_about_the_size_does_not_get_a_larger_picture_past_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "liar.mov"
    write_clip(path, "mov_mjpeg", 5)
    data = bytearray(path.read_bytes())
    entry = data.index(b"jpeg", data.index(b"stsd"))
    assert struct.unpack_from(">HH", data, entry + 28) == (320, 180)
    struct.pack_into(">HH", data, entry + 28, 16, 16)
    path.write_bytes(data)
    assert refusal(path, Container.MOV, replace(LIMITS, max_pixels=10_000)).problem.code is ErrorCode.TOO_LARGE_FRAME


@pytest.mark.parametrize(("make", "container"), [(tracks_in_mp4, Container.MOV), (tracks_in_avi, Container.AVI)])
def test_one_track_too_many_is_refused(make: Callable[[int], bytes], container: Container, tmp_path: Path) -> None:
    path, limits = tmp_path / "clip", replace(LIMITS, max_tracks=7)
    path.write_bytes(make(7))
    assert len(list(Video(LocalFile(path), container, limits).frames(Sampling()))) == 5
    path.write_bytes(make(8))
    error = refusal(path, container, limits)
    assert (error.problem.code, error.problem.message[:28]) == (ErrorCode.INVALID_VIDEO, "The file has 8 tracks or mor")


def test_more_tracks_than_ffmpeg_takes_are_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "clip"
    path.write_bytes(tracks_in_avi(1100))
    assert refusal(path, Container.AVI, LIMITS).problem.code is ErrorCode.INVALID_VIDEO


@pytest.mark.parametrize(
    "content",
    [index_elsewhere(b"moov"), index_elsewhere(b"hoov"), fragment_outside_its_box()],
    ids=["moov in udta", "hoov in udta", "trun"],
)
def test_frames_are_counted_wherever_ffmpeg_looks_for_them(content: bytes, tmp_path: Path) -> None:
    """FFmpeg alone makes room for all of them: 0.7 to 1.4 GB (measured)."""
    path = tmp_path / "clip"
    path.write_bytes(content)
    assert len(content) < 15_000
    error = refusal(path, Container.MOV, LIMITS)
    assert (error.problem.code, error.problem.message[:22]) == (ErrorCode.TOO_LONG, "It has at least 200000")


def test_an_edit_list_that_multiplies_a_track_is_refused(tmp_path: Path) -> None:
    """FFmpeg alone takes 35 bytes for each sample of each edit (measured): 0.7 GB here, and more for a longer list."""
    path = tmp_path / "clip"
    path.write_bytes(edits_that_repeat(2000))
    assert path.stat().st_size < 40_000
    error = refusal(path, Container.MOV, LIMITS)
    assert error.problem.message.startswith("The video's edit list shows parts of it again and again.")
    path.write_bytes(edits_that_repeat(20, 1000))
    assert refusal(path, Container.MOV, LIMITS).problem.message.startswith("Not one frame"), "it has none, but was read"


@pytest.mark.parametrize("where", ["trak", "moov in udta"])
def test_tracks_are_counted_wherever_ffmpeg_looks_for_them(where: str, tmp_path: Path) -> None:
    path, more = tmp_path / "clip", 10 * b"\0\0\0\x08trak"
    if where != "trak":
        more = struct.pack(">I4sI4s", 16 + len(more), b"udta", 8 + len(more), b"moov") + more
    path.write_bytes(tracks_in_mp4(1) + more)
    assert refusal(path, Container.MOV, replace(LIMITS, max_tracks=10)).problem.code is ErrorCode.INVALID_VIDEO


def test_a_frame_that_takes_too_long_is_noticed_while_it_is_decoded(tmp_path: Path) -> None:
    path, limits = tmp_path / "slow.mp4", replace(LIMITS, max_decode_s=0.1)
    path.write_bytes(one_frame_of_many_pictures(6_000))
    with ThreadPoolExecutor(1) as decoder:
        call = decoder.submit(Video, LocalFile(path), Container.MOV, limits)
        late = None
        while late is None and not wait((call,), 0.05).done:
            late = overtime()
    assert late is not None
    assert late.problem.code is ErrorCode.INVALID_VIDEO
    assert "more than 0.1 s of computing" in late.problem.message
    assert overtime() is None, "nothing is under way any more"


def test_a_store_that_is_waited_for_is_no_time_of_decoding(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, "mp4_bframes", 5)
    limits, found = replace(LIMITS, max_decode_s=0.3), []

    class Slow(LocalFile):
        def read_at(self, offset: int, count: int) -> bytes:
            if count > 1000:  # the demuxer reads, in the middle of a call
                time.sleep(0.5)
                found.append(overtime())
            return super().read_at(offset, count)

    Video(Slow(path), Container.MOV, limits)
    assert found, "the demuxer read something"
    assert set(found) == {None}
