"""What the rest of the worker knows about a video: its index, its frames, its limits and what can be wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vidette_core.domain.errors import DomainError, ErrorCode, Problem
from vidette_core.domain.results import FrameError
from vidette_core.settings import VideoLimitSettings

RgbImage = NDArray[np.uint8]
"""[height, width, 3], contiguous, RGB, rotation and mirroring applied."""


class VideoError(DomainError):
    """The video itself makes the job fail; `problem` says why. Nothing about the store or the network is a VideoError."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an installation is willing to decode: `settings.VideoLimitSettings`, which alone has the defaults.

    `max_pixels` bounds one frame, `max_frames` the displayed frames, `max_duration_s` the video's length in seconds,
    `max_tracks` the tracks of all kinds, and `max_decode_s` the time of the processor that one frame may take.
    """

    max_pixels: int
    max_frames: int
    max_duration_s: float
    max_tracks: int
    max_decode_s: float

    @classmethod
    def of(cls, settings: VideoLimitSettings) -> Self:
        return cls(settings.pixels, settings.frames, settings.duration_s, settings.tracks, settings.decode_s)

    def allows(self, width: int, height: int) -> bool:
        return width * height <= self.max_pixels

    def check_frame(self, width: int, height: int) -> None:
        """Raises VideoError (too_large_frame)."""
        if not self.allows(width, height):
            raise VideoError(
                Problem(
                    ErrorCode.TOO_LARGE_FRAME,
                    f"Its frames have {width} x {height} pixels, and this installation takes {self.max_pixels} pixels at most. "
                    "Scale the video down and submit it again.",
                )
            )

    def check_length(self, frames: int, duration_ms: float | None) -> None:
        """Raises VideoError (too_long)."""
        if frames > self.max_frames:
            raise _too_long(f"has at least {frames} frames", f"{self.max_frames} frames")
        if duration_ms is not None and duration_ms > self.max_duration_s * 1000:
            raise _too_long(f"lasts {_plain(duration_ms / 1000)} s", f"{_plain(self.max_duration_s)} s")

    def check_tracks(self, tracks: int) -> None:
        """Raises VideoError (invalid_video)."""
        if tracks > self.max_tracks:
            raise invalid_video(
                f"The file has {tracks} tracks or more, and this installation takes {self.max_tracks} at most. "
                "Export the video with the pictures alone and submit it again."
            )

    def check_decoding(self, seconds: float) -> None:
        """Raises VideoError (invalid_video)."""
        if seconds > self.max_decode_s:
            raise invalid_video(
                f"Decoding one frame of the video, or reading its index, takes more than {_plain(self.max_decode_s)} s of "
                "computing, which is all that this installation allows. Export the video again with a common codec, e.g. H.264."
            )


def _too_long(found: str, limit: str) -> VideoError:
    message = f"It {found}, and this installation takes {limit} at most. Cut the video and submit the parts."
    return VideoError(Problem(ErrorCode.TOO_LONG, message))


def _plain(seconds: float) -> str:
    """Exact to a millisecond, without zeros that say nothing."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def invalid_video(message: str) -> VideoError:
    return VideoError(Problem(ErrorCode.INVALID_VIDEO, message))


@dataclass(frozen=True, slots=True)
class VideoIndex:
    """What the container says, before any work.

    `width` and `height` are pixels as displayed, after `rotation` (degrees counter-clockwise: 0, 90, 180, 270, applied to the
    stored picture after `mirrored` turned left and right around). `frame_count` counts the displayed frames that can be read;
    it is exact when `is_exact`, else (AVI) what the container's index claims. `has_increasing_timestamps`: every frame has a
    time of its own, so a decoder may begin in the middle.
    """

    width: int
    height: int
    rotation: int
    mirrored: bool
    frame_count: int
    duration_ms: float | None
    has_increasing_timestamps: bool
    is_exact: bool
    is_truncated: bool
    codec: str


@dataclass(frozen=True, slots=True, eq=False)
class DecodedFrame:
    """One sampled frame. Either `image` or `error` is set. `timestamp_ms` is the presentation time, where there is one."""

    sample: int
    frame_index: int
    timestamp_ms: float | None
    image: RgbImage | None
    error: FrameError | None
