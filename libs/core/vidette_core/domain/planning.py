"""From a video's index to the segments that workers claim.

Every video is one open-ended segment today: its decoder is the truth about where it ends, and the number of frames in the
index serves progress only. A plan with more segments has the same shape.
"""

from __future__ import annotations

from dataclasses import dataclass

from vidette_core.domain.sampling import Sampling


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """What a worker read from the container's index. `frames` counts displayed frames and may be wrong: it is a hint."""

    width: int
    height: int
    frames: int
    duration_ms: float | None


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """Samples [first_sample, end_sample); None is open-ended: the decoder finds the end."""

    index: int
    first_sample: int
    end_sample: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    segments: tuple[SegmentPlan, ...]
    expected_samples: int


def plan_segments(media: MediaFacts, sampling: Sampling) -> Plan:
    """One open-ended segment, whatever the length."""
    return Plan((SegmentPlan(0, 0, None),), max(1, sampling.count(media.frames)))


PROGRESS_BEFORE_COMPLETION = 0.999
"""`progress` is 1.0 exactly when the job is completed, so nothing before that may round to it."""


def progress_of(samples: int, expected_samples: int) -> float:
    """Share of the expected samples, within [0, PROGRESS_BEFORE_COMPLETION]."""
    return min(PROGRESS_BEFORE_COMPLETION, max(0.0, samples / max(1, expected_samples)))
