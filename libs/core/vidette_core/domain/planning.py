"""From a video's index to the work that is expected of it: in how many segments it is analysed, and where each ends.

A segment is a window of samples, and since samples are numbered by presentation time, a window of time. With one segment the
window is open: the decoder is the truth about where the video ends, and the number of frames in the index serves progress only.
With more, each window is closed, so that a worker can end its own without knowing of the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from vidette_core.domain.jobs import JobWarning
from vidette_core.domain.sampling import Sampling

STRETCH_CHUNKS = 20
"""Every pass over a video begins decoding afresh at multiples of so many chunks, and windows begin nowhere else: then a part of a
video is decoded as it is in the whole, damaged or not. Each costs a group of pictures or two, decoded for nothing."""
STARTS_PER_WORKER = 10
"""One more worker has to take over at least so many times the work that its start costs: a tenth of it may be waste."""

NOT_SPLIT = JobWarning(
    "not_split",
    "The video does not give each of its frames a time of its own, so one worker analysed it alone, from its first frame to its "
    "last. The results are complete; they only took longer.",
)
PLAN_DID_NOT_HOLD = JobWarning(
    "not_split",
    "The video's index does not say which frame is which, so one worker decoded it from its first frame to its last and counted. "
    "The results are complete; they only took longer.",
)


@dataclass(frozen=True, slots=True)
class Listed:
    """What the container's index says: `frames` displayed frames, and whether each has a time of its own."""

    frames: int
    has_increasing_timestamps: bool


@dataclass(frozen=True, slots=True)
class Costs:
    """`frame_s`: seconds that one worker takes for a sampled frame; `start_s`: until one more worker does something."""

    frame_s: float
    start_s: float


@dataclass(frozen=True, slots=True)
class Window:
    """The samples of a segment: [first_sample, end_sample), to the end of the video where that is None."""

    first_sample: int
    end_sample: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """`windows` follow each other without a gap from sample 0 on. `warnings`: what the job's owner should know of it."""

    expected_samples: int
    windows: tuple[Window, ...] = (Window(0),)
    warnings: tuple[JobWarning, ...] = ()


def plan(listed: Listed, sampling: Sampling, chunk_frames: int, costs: Costs, max_workers: int) -> Plan:
    """As many segments as pay for themselves, at most `max_workers`, which begin at multiples of STRETCH_CHUNKS chunks."""
    expected = max(1, sampling.count(listed.frames))
    windows = _windows(expected, STRETCH_CHUNKS * chunk_frames, _worth(expected, costs, max_workers))
    if len(windows) > 1 and not listed.has_increasing_timestamps:
        return Plan(expected, warnings=(NOT_SPLIT,))
    return Plan(expected, windows)


def _worth(samples: int, costs: Costs, max_workers: int) -> int:
    """How many workers, so that the start of each costs little beside its share."""
    return max(1, min(max_workers, int(samples * costs.frame_s / (STARTS_PER_WORKER * costs.start_s))))


def _windows(samples: int, stretch: int, wanted: int) -> tuple[Window, ...]:
    """The same number of stretches for each, give or take one: the last one's may be short."""
    stretches = -(-samples // stretch)
    count = min(wanted, stretches)
    if count == 1:
        return (Window(0),)
    bounds = [number * stretches // count * stretch for number in range(count)] + [samples]
    return tuple(Window(first, end) for first, end in pairwise(bounds))


PROGRESS_BEFORE_COMPLETION = 0.999
"""`progress` is 1.0 exactly when the job is completed, so nothing before that may round to it."""


def progress_of(samples: int, expected_samples: int) -> float:
    """Share of the expected samples, within [0, PROGRESS_BEFORE_COMPLETION]."""
    return min(PROGRESS_BEFORE_COMPLETION, max(0.0, samples / max(1, expected_samples)))
