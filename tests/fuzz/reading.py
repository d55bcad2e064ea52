"""What is done with a spoilt video: all that a worker does with one before it looks at the pictures."""

from __future__ import annotations

import sys

from tests.fuzz.videos import VideoCase
from vidette_core.domain.sampling import Sampling
from vidette_frame_worker.video import DecodedFrame, IndexDisagrees, Limits, Video, VideoError

LIMITS = Limits(max_pixels=1280 * 720, max_frames=100_000, max_duration_s=3600, max_tracks=100, max_decode_s=5)
MOST_FRAMES = 40


class Bytes:
    """A ByteSource in memory, since the process opens no file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read_at(self, offset: int, count: int) -> bytes:
        return self._data[offset : offset + count] if offset >= 0 else b""

    def close(self) -> None:
        pass


def read(case: VideoCase) -> tuple[str, str]:
    """A code and what was said: `frames`, or that of an error. What else is raised is a defect, and so is a wrong answer."""
    try:
        return "frames", _read(case)
    except VideoError as error:
        return error.problem.code.value, error.problem.message


def _read(case: VideoCase) -> str:
    video = Video(Bytes(case.data), case.container, LIMITS)
    assert LIMITS.allows(video.index.width, video.index.height)
    whole = _frames(video, 0, sys.maxsize)
    assert [frame.sample for frame in whole] == list(range(len(whole))), "each frame once, in order"
    assert all((frame.image is None) != (frame.error is None) for frame in whole)
    assert all(LIMITS.allows(*frame.image.shape[:2]) for frame in whole if frame.image is not None)
    part = _frames(video, 3, 2)
    assert [frame.sample for frame in part] == list(range(3, 3 + len(part)))
    return f"{len(whole)} frames"


def _frames(video: Video, first: int, stretch: int) -> list[DecodedFrame]:
    """As a worker asks for them."""
    sampling = Sampling(1, MOST_FRAMES)
    try:
        return list(video.frames(sampling, first, stretch=stretch))
    except IndexDisagrees:
        return list(video.frames(sampling, first, in_decoder_order=True))
