"""The ledger: does every sampled frame stand in exactly one committed chunk?

The controller asks this once, under a lock on the job's row, before it calls a job completed. A job whose ledger does not
balance is never completed; that would be the one lie this system must not tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vidette_core.domain.chunks import Chunk
from vidette_core.domain.errors import ErrorCode, Problem
from vidette_core.domain.jobs import SegmentState, Tally


@dataclass(frozen=True, slots=True)
class SegmentRecord:
    """A segment as its row says it is."""

    index: int
    state: SegmentState
    first_sample: int
    next_sample: int
    end_sample: int | None


@dataclass(frozen=True, slots=True)
class Imbalance:
    """The ledger does not balance; `reason` is a sentence for the log."""

    reason: str


def reconcile(segments: Sequence[SegmentRecord], chunks: Iterable[Chunk]) -> Tally | Imbalance:
    """The job's tally, or why there is none. `chunks` may come in any order."""
    at = 0
    for segment in sorted(segments, key=lambda record: record.index):
        if segment.state is not SegmentState.DONE or segment.end_sample is None:
            return Imbalance(f"segment {segment.index} is not done")
        if segment.first_sample != at:
            return Imbalance(f"segment {segment.index} begins at sample {segment.first_sample}, not at {at}")
        if segment.next_sample != segment.end_sample:
            return Imbalance(f"segment {segment.index} ends at {segment.next_sample}, not at {segment.end_sample}")
        at = segment.end_sample
    return _add_up(sorted(chunks, key=lambda chunk: chunk.first_sample), at)


def _add_up(chunks: Sequence[Chunk], samples: int) -> Tally | Imbalance:
    at, tally = 0, Tally()
    for chunk in chunks:
        if chunk.first_sample != at:
            return Imbalance(f"a chunk begins at sample {chunk.first_sample} where {at} is next")
        at, tally = chunk.end_sample, tally + chunk.tally
    if at != samples:
        return Imbalance(f"the chunks end at sample {at}, the segments at {samples}")
    return tally


def verdict(tally: Tally, tolerated_error_share: float) -> Problem | None:
    """None when the job completed; else why a balanced ledger is still a failure.

    Args:
        tolerated_error_share: the job fails when more than this share of its frames erred; at 1.0, only when all did.
    """
    if tally.frames == 0 or tally.decode_error == tally.frames:
        return Problem(
            ErrorCode.INVALID_VIDEO,
            "No frame of the video could be decoded. Check that the file plays, and send it again.",
        )
    erred = tally.decode_error + tally.model_error
    if erred == tally.frames or erred / tally.frames > tolerated_error_share:
        return Problem(
            ErrorCode.FRAMES_FAILED,
            f"{erred} of {tally.frames} frames could not be analysed ({tally.decode_error} did not decode, "
            f"{tally.model_error} were refused by a model).",
        )
    return None
