"""What an installation is not willing to decode is refused before it is decoded, with the cause and a remedy."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.clips import write_clip
from tests.support.limits import LIMITS
from vidette_core.domain.containers import Container
from vidette_core.domain.errors import ErrorCode
from vidette_core.domain.sampling import Sampling
from vidette_frame_worker.video import Limits, LocalFile, Video, VideoError

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
    limits = Limits(max_pixels=320 * 180, max_frames=FRAMES, max_duration_s=FRAMES / 25 + 0.1)
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
