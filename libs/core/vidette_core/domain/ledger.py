"""The ledger: does every sampled frame stand in exactly one committed chunk?

The controller asks this once, under a lock on the job's row, before it calls a job completed. A job whose ledger does not
balance is never completed; that would be the one lie this system must not tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
class Entry:
    """A committed chunk as the ledger needs it."""

    first_sample: int
    tally: Tally


@dataclass(frozen=True, slots=True)
class Imbalance:
    """The ledger does not balance; `reason` is a sentence for the log."""

    reason: str


def reconcile(segments: Sequence[SegmentRecord], entries: Iterable[Entry]) -> Tally | Imbalance:
    """The job's tally, or why there is none. `entries` may come in any order."""
    at = 0
    for segment in sorted(segments, key=lambda record: record.first_sample):
        if segment.state is not SegmentState.DONE or segment.end_sample is None:
            return Imbalance(f"segment {segment.index} is not done")
        if segment.first_sample != at:
            return Imbalance(f"segment {segment.index} begins at sample {segment.first_sample}, not at {at}")
        if segment.next_sample != segment.end_sample:
            return Imbalance(f"segment {segment.index} ends at {segment.next_sample}, not at {segment.end_sample}")
        at = segment.end_sample
    return _add_up(sorted(entries, key=lambda entry: entry.first_sample), at)


def _add_up(entries: Sequence[Entry], samples: int) -> Tally | Imbalance:
    at, tally = 0, Tally()
    for entry in entries:
        if entry.first_sample != at:
            return Imbalance(f"a chunk begins at sample {entry.first_sample} where {at} is next")
        at, tally = at + entry.tally.frames, tally + entry.tally
    if at != samples:
        return Imbalance(f"the chunks end at sample {at}, the segments at {samples}")
    return tally


def verdict(balance: Tally | Imbalance, tolerated_error_share: float) -> Problem | None:
    """None when the job completed; else why it failed.

    Args:
        tolerated_error_share: the job fails when more than this share of its frames erred; at 1.0, only when all did.
    """
    if isinstance(balance, Imbalance):
        message = (
            f"The results do not account for every frame once ({balance.reason}). This is a defect; please report it."
        )
        return Problem(ErrorCode.INTERNAL, message)
    if balance.frames == 0 or balance.decode_error == balance.frames:
        message = "No frame of the video could be decoded. Check that the file plays, and send it again."
        return Problem(ErrorCode.INVALID_VIDEO, message)
    erred = balance.decode_error + balance.model_error
    if erred == balance.frames or erred / balance.frames > tolerated_error_share:
        message = (
            f"{erred} of {balance.frames} frames could not be analysed ({balance.decode_error} did not decode, "
            f"{balance.model_error} were refused by a model)."
        )
        return Problem(ErrorCode.FRAMES_FAILED, message)
    return None
