"""A video as the pipeline sees it: an index, and sampled frames in order, each with the index that the container gives it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from vidette_core.domain.containers import Container
from vidette_core.domain.jobs import JobWarning
from vidette_core.domain.results import FrameError
from vidette_core.domain.sampling import Sampling
from vidette_frame_worker.video.av_reader import Picture, Undecodable
from vidette_frame_worker.video.byte_source import ByteSource
from vidette_frame_worker.video.facts import DecodedFrame, Limits, RgbImage, VideoIndex
from vidette_frame_worker.video.indexing import read_index
from vidette_frame_worker.video.passes import pictures

TRUNCATED = JobWarning(
    "truncated",
    "The file ends before its index says it should, so the results end at the last frame that could be read. "
    "If the rest matters, upload the whole file again.",
)


class Video:
    """One video whose index was read. Not safe for threads; `frames` may be called again and again."""

    def __init__(self, source: ByteSource, container: Container, limits: Limits) -> None:
        """Raises VideoError (invalid_video, too_long, too_large_frame) and PortError. The source stays the caller's."""
        self._video = read_index(source, container, limits)

    @property
    def index(self) -> VideoIndex:
        return self._video.index

    @property
    def warnings(self) -> tuple[JobWarning, ...]:
        """What the job's owner should know, though the job does not fail. Complete before the first frame is decoded."""
        return (TRUNCATED,) if self.index.is_truncated else ()

    def frames(
        self, sampling: Sampling, first_sample: int = 0, end_sample: int | None = None
    ) -> Iterator[DecodedFrame]:
        """The sampled frames of [first_sample, end_sample), in order, each exactly once; to the end where that is None.

        A frame that does not decode comes with an error in its place. The iterator ends where the video does, so the number
        of samples is known then. Raises VideoError, and PortError where the bytes cannot be fetched.

        With `end_sample` it raises IndexDisagrees at the first picture that is damaged, or is not what the index lists: what a
        decoder makes of it depends on where it began, and then a part would not equal the same part of the whole.
        """
        first = sampling.frame_index(first_sample)
        end = _end(sampling, end_sample)
        with closing(pictures(self._video, first, end, strict=end_sample is not None)) as decoded:
            for index, picture in decoded:
                if end is not None and index >= end:
                    return
                if index >= first and sampling.is_sampled(index):
                    yield self._frame(sampling, index, picture)

    def _frame(self, sampling: Sampling, index: int, picture: Picture | None) -> DecodedFrame:
        image: RgbImage | None = None
        if picture is not None and self._video.limits.allows(*picture.size):
            try:
                image = self._video.orientation.apply(picture.rgb())
            except Undecodable:
                image = None
        return DecodedFrame(
            sample=index // sampling.stride,
            frame_index=index,
            timestamp_ms=self._video.timestamp_ms(index),
            image=image,
            error=FrameError.DECODE_ERROR if image is None else None,
        )


def _end(sampling: Sampling, end_sample: int | None) -> int | None:
    """The first frame index that is not wanted; one behind the last sampled frame, so that no more than needed is decoded."""
    bounds = [samples for samples in (end_sample, sampling.max_frames) if samples is not None]
    if not bounds:
        return None
    return 0 if min(bounds) < 1 else sampling.frame_index(min(bounds) - 1) + 1
