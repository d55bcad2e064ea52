"""Clips of every kind, written once, and decoded in one pass from the start: what any other way of decoding is held against."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.support.clips import KINDS, TRUNCATED, read_code, write_clip
from tests.support.limits import LIMITS
from vidette_core.domain.containers import SNIFF_BYTES, Container, sniff
from vidette_core.domain.sampling import Sampling
from vidette_frame_worker.video import DecodedFrame, LocalFile, Video

FRAMES = 70
WHOLE = sorted(set(KINDS) - set(TRUNCATED))
UNTIMED = ("mp4_equal_timestamps", "mp4_edit_overlap")
"""MP4 whose frames have not each a time of their own: as FFmpeg reads the last, its second part begins before the first ends."""


class Clips:
    """Clips of every kind, written once, with the numbers that a player shows and one sequential pass over each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shown: dict[str, list[int]] = {}
        self._sequential: dict[str, list[DecodedFrame]] = {}

    def path(self, kind: str) -> Path:
        path = self._folder / f"{kind}.{KINDS[kind].container}"
        if kind not in self._shown:
            self._shown[kind] = write_clip(path, kind, FRAMES)
        return path

    def shown(self, kind: str) -> list[int]:
        self.path(kind)
        return self._shown[kind]

    def video(self, kind: str) -> Video:
        return opened(self.path(kind))

    def sequential(self, kind: str) -> list[DecodedFrame]:
        if kind not in self._sequential:
            self._sequential[kind] = list(self.video(kind).frames(Sampling()))
        return self._sequential[kind]


def opened(path: Path) -> Video:
    """Raises VideoError."""
    return Video(LocalFile(path), container_of(path), LIMITS)


def container_of(path: Path) -> Container:
    container = sniff(path.read_bytes()[:SNIFF_BYTES])
    assert container is not None
    return container


def codes(frames: list[DecodedFrame]) -> list[int | None]:
    return [None if frame.image is None else read_code(frame.image) for frame in frames]


def assert_same(some: list[DecodedFrame], others: list[DecodedFrame]) -> None:
    assert [(f.frame_index, f.timestamp_ms, f.error) for f in some] == [
        (f.frame_index, f.timestamp_ms, f.error) for f in others
    ]
    for one, other in zip(some, others, strict=True):
        if one.image is None or other.image is None:
            assert one.image is other.image
        else:
            assert np.array_equal(one.image, other.image)
