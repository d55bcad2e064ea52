"""A video as the pipeline sees it: an index, and sampled frames in order, each with the index that the container gives it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial

from vidette_core.domain.containers import Container
from vidette_core.domain.jobs import JobWarning
from vidette_core.domain.results import FrameError
from vidette_core.domain.sampling import Sampling
from vidette_frame_worker.video.av_reader import Picture, Undecodable
from vidette_frame_worker.video.byte_source import ByteSource
from vidette_frame_worker.video.facts import DecodedFrame, Limits, RgbImage, VideoIndex
from vidette_frame_worker.video.indexing import read_index
from vidette_frame_worker.video.packet_table import PacketTable
from vidette_frame_worker.video.passes import pictures
from vidette_frame_worker.video.sequence import Placed

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
        self,
        sampling: Sampling,
        first_sample: int = 0,
        end_sample: int | None = None,
        *,
        stretch: int = sys.maxsize,
        in_decoder_order: bool = False,
    ) -> Iterator[DecodedFrame]:
        """The sampled frames of [first_sample, end_sample), in order, each exactly once; to the end where that is None.

        A frame that does not decode comes with an error in its place. The iterator ends where the video does, so the number
        of samples is known then. Raises VideoError, PortError where the bytes cannot be fetched, and IndexDisagrees where the
        packets show that the container's index cannot say which frame is which: then ask again with `in_decoder_order`, which
        counts the pictures that the decoder hands out, always from the video's first on.

        Decoding begins afresh at multiples of `stretch` samples, and nowhere else: what a decoder makes of damage depends on
        where it began, and so the frames of a part are those of the whole, whoever asks for them and wherever they go on. Not at
        all of them: where two would begin at the same key frame, they are decoded in one go.
        """
        order = None if in_decoder_order else self._video.order
        if order is None:
            end = _earliest(end_sample, sampling.max_frames)
            yield from self._stretch(sampling, order, 0, end, first_sample)
            return
        end = _earliest(end_sample, sampling.max_frames, sampling.count(order.readable))
        begins = partial(_begins_afresh, order, sampling, stretch)
        begin = first_sample - first_sample % stretch
        while not begins(begin):
            begin -= stretch
        while end is not None and begin < end and first_sample < end:
            until = begin + stretch
            while until < end and not begins(until):
                until += stretch
            until = min(end, until)
            yield from self._stretch(sampling, order, begin, until, first_sample)
            begin = until

    def _stretch(
        self, sampling: Sampling, order: PacketTable | None, begin: int, until: int | None, first_sample: int
    ) -> Iterator[DecodedFrame]:
        """Those of [begin, until) from `first_sample` on; to the end where `until` is None."""
        first, wanted = sampling.frame_index(begin), sampling.frame_index(first_sample)
        # One behind the last sampled frame, so that no more than needed is decoded.
        end = None if until is None else 0 if until < 1 else sampling.frame_index(until - 1) + 1
        with closing(pictures(self._video, order, first, end)) as decoded:
            for placed in decoded:
                if end is not None and placed.index >= end:
                    return
                if placed.index >= wanted and sampling.is_sampled(placed.index):
                    yield self._frame(sampling, placed)

    def _frame(self, sampling: Sampling, placed: Placed[Picture]) -> DecodedFrame:
        image: RgbImage | None = None
        if placed.item is not None and self._video.limits.allows(*placed.item.size):
            try:
                image = self._video.orientation.apply(placed.item.rgb())
            except Undecodable:
                image = None
        return DecodedFrame(
            sample=placed.index // sampling.stride,
            frame_index=placed.index,
            timestamp_ms=self._video.milliseconds(placed.time),
            image=image,
            error=FrameError.DECODE_ERROR if image is None else None,
        )


def _begins_afresh(table: PacketTable, sampling: Sampling, stretch: int, sample: int) -> bool:
    """Whether the stretch at `sample` has another key frame to begin at than the one before it."""
    return sample == 0 or table.starts(sampling.frame_index(sample)) != table.starts(
        sampling.frame_index(sample - stretch)
    )


def _earliest(*ends: int | None) -> int | None:
    """The first sample that is not wanted, or is not there; None where only decoding shows how many there are."""
    return min((end for end in ends if end is not None), default=None)
