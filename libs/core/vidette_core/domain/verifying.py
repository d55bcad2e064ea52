"""Verifying a completed job: some of its frames are decoded and analysed once more, and compared with what is stored.

A verification is a job of its own over the same video and the same pinned models, so that all holds for it that holds for jobs.
Its segments are the first samples of chunks drawn at random, and where there is room for it whole chunks: what stands in a chunk
depends on nothing before it, so those have to come out as they did.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vidette_core.domain.planning import Window

FRAMES_OF_A_CHUNK = 10
"""Analysed again of each chunk drawn, from its first on: the more chunks for the same work, the more places of the video."""
TOLERANCE = 1e-3
"""By which numbers may differ, absolutely or relatively: a model's sums depend on what else is in a dynamic batch."""
MOST_SHOWN = 20
MOST_FRAMES_WITHOUT_INDEX = 3 * FRAMES_OF_A_CHUNK
"""Where only decoding from the first frame on tells which frame is which, for AVI above all."""


Draw = Callable[[Sequence[int], int], Sequence[int]]
"""So many of a population, each once: `random.Random(seed).sample`."""


def drawn(samples: int, chunk_frames: int, frames: int, draw: Draw) -> tuple[Window, ...]:
    """Windows over some `frames` of a job's `samples`, ascending, of as many chunks as that takes or as there are.

    Up to half of the frames, if that is a chunk or more, are those of whole chunks, so that every sample may be drawn.
    """
    each = min(chunk_frames, FRAMES_OF_A_CHUNK, frames)
    chunks, whole = -(-samples // chunk_frames), frames // (2 * chunk_frames)
    count = min(chunks, max(1, whole + -(-(frames - whole * chunk_frames) // each)))
    begins = [chunk * chunk_frames for chunk in draw(range(chunks), count)]
    lengths = [chunk_frames] * whole + [each] * count
    found = zip(begins, lengths, strict=False)
    return tuple(sorted((Window(begin, min(begin + length, samples)) for begin, length in found), key=_first))


def _first(window: Window) -> int:
    return window.first_sample


def frames_in(windows: Iterable[Window]) -> int:
    return sum((window.end_sample or 0) - window.first_sample for window in windows)


@dataclass(frozen=True, slots=True)
class Difference:
    """A frame that came out otherwise than it is stored: both rows as JSON texts."""

    stored: str
    found: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`identical` frames have the same row, byte for byte; `close` ones differ in their numbers by no more than TOLERANCE."""

    frames: int = 0
    identical: int = 0
    close: int = 0
    differences: tuple[Difference, ...] = ()
    """At most MOST_SHOWN."""

    @property
    def different(self) -> int:
        return self.frames - self.identical - self.close

    def __add__(self, other: Comparison) -> Comparison:
        return Comparison(
            self.frames + other.frames,
            self.identical + other.identical,
            self.close + other.close,
            (self.differences + other.differences)[:MOST_SHOWN],
        )


def compare(stored: Sequence[bytes], found: Sequence[bytes]) -> Comparison:
    """Rows of the same frames in the same order, as JSON texts."""
    together = Comparison()
    for one, other in zip(stored, found, strict=True):
        together += _compared(one, other)
    return together


def _compared(stored: bytes, found: bytes) -> Comparison:
    if stored == found:
        return Comparison(1, identical=1)
    if _is_close(json.loads(stored), json.loads(found)):
        return Comparison(1, close=1)
    return Comparison(1, differences=(Difference(stored.decode(), found.decode()),))


def _is_close(one: Any, other: Any) -> bool:
    match one, other:
        case float(), float():
            return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        case dict(), dict():
            return one.keys() == other.keys() and _all_close(one.values(), (other[key] for key in one))
        case list(), list():
            return len(one) == len(other) and _all_close(one, other)
        case _:
            return type(one) is type(other) and bool(one == other)


def _all_close(some: Iterable[Any], others: Iterable[Any]) -> bool:
    return all(_is_close(one, other) for one, other in zip(some, others, strict=True))
