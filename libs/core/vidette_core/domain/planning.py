"""From a video's index to the work that is expected of it.

Every video is one open-ended segment, made when the job is claimed: its decoder is the truth about where it ends, and the number
of frames in the index serves progress only.
"""

from __future__ import annotations

from dataclasses import dataclass

from vidette_core.domain.sampling import Sampling


@dataclass(frozen=True, slots=True)
class Plan:
    expected_samples: int


def plan(frames: int, sampling: Sampling) -> Plan:
    """`frames` is what the container's index claims: displayed frames, a hint."""
    return Plan(max(1, sampling.count(frames)))


PROGRESS_BEFORE_COMPLETION = 0.999
"""`progress` is 1.0 exactly when the job is completed, so nothing before that may round to it."""


def progress_of(samples: int, expected_samples: int) -> float:
    """Share of the expected samples, within [0, PROGRESS_BEFORE_COMPLETION]."""
    return min(PROGRESS_BEFORE_COMPLETION, max(0.0, samples / max(1, expected_samples)))
