"""Which frames of a video are analysed: 0, k, 2k, … for a stride of k, at most `max_frames` of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sampling:
    """A sampling rule. A *sample* is a position in the sequence of analysed frames; a *frame index* one in the video."""

    stride: int = 1
    max_frames: int | None = None

    def __post_init__(self) -> None:
        if self.stride < 1 or (self.max_frames is not None and self.max_frames < 1):
            raise ValueError("stride and max_frames are at least 1")

    def frame_index(self, sample: int) -> int:
        return sample * self.stride

    def is_sampled(self, frame_index: int) -> bool:
        on_stride = frame_index % self.stride == 0
        return on_stride and (self.max_frames is None or frame_index // self.stride < self.max_frames)

    def count(self, frames: int) -> int:
        """How many of `frames` frames are sampled: ⌈frames / stride⌉, at most `max_frames`."""
        on_stride = -(-frames // self.stride)
        return on_stride if self.max_frames is None else min(on_stride, self.max_frames)
