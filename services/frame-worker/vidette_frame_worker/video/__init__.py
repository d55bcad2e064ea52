"""Decodes hostile media exactly: every frame has the index that the container gives it, wherever decoding began.

`Video(source, container, limits)` is the way in, over a `LocalFile` or a `RangeReader`.
"""

from vidette_frame_worker.video.byte_source import ByteSource, LocalFile
from vidette_frame_worker.video.calls import overtime
from vidette_frame_worker.video.facts import (
    DecodedFrame,
    Limits,
    RgbImage,
    VideoError,
    VideoIndex,
    invalid_video,
)
from vidette_frame_worker.video.passes import IndexDisagrees
from vidette_frame_worker.video.range_reader import RangePolicy, RangeReader
from vidette_frame_worker.video.reading import Video

__all__ = [
    "ByteSource",
    "DecodedFrame",
    "IndexDisagrees",
    "Limits",
    "LocalFile",
    "RangePolicy",
    "RangeReader",
    "RgbImage",
    "Video",
    "VideoError",
    "VideoIndex",
    "invalid_video",
    "overtime",
]
