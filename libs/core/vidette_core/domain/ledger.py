"""The ledger: does every sampled frame stand in exactly one committed chunk?

The controller asks this once, under a lock on the job's row, before it calls a job completed. A job whose ledger does not
balance is never completed; that would be the one lie this system must not tell.
"""

from __future__ import annotations

from collections import deque
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


def reconcile(
    segments: Sequence[SegmentRecord], entries: Iterable[Entry], *, has_gaps: bool = False
) -> Tally | Imbalance:
    """The job's tally, or why there is none. `entries` may come in any order.

    Args:
        has_gaps: the segments need not meet, nor begin at sample 0: those of a verification are drawn at random.
    """
    at, runs = 0, list[tuple[int, int]]()
    for segment in sorted(segments, key=lambda record: record.first_sample):
        if segment.state is not SegmentState.DONE or segment.end_sample is None:
            return Imbalance(f"segment {segment.index} is not done")
        if segment.first_sample != at and not (has_gaps and segment.first_sample > at):
            return Imbalance(f"segment {segment.index} begins at sample {segment.first_sample}, not at {at}")
        if segment.next_sample != segment.end_sample:
            return Imbalance(f"segment {segment.index} ends at {segment.next_sample}, not at {segment.end_sample}")
        at = segment.end_sample
        runs.append((segment.first_sample, at))
    return _add_up(sorted(entries, key=lambda entry: entry.first_sample), runs)


def _add_up(entries: Sequence[Entry], runs: Sequence[tuple[int, int]]) -> Tally | Imbalance:
    """`runs`: the samples [first, end) of each segment, which the entries have to fill one after the other."""
    tally, left = Tally(), deque(entries)
    for at, end in runs:
        while at < end:
            if not left or left[0].first_sample != at:
                found = f"a chunk begins at sample {left[0].first_sample}" if left else "the chunks end"
                return Imbalance(f"{found} where {at} is next")
            entry = left.popleft()
            at, tally = at + entry.tally.frames, tally + entry.tally
        if at != end:
            return Imbalance(f"a chunk ends at sample {at}, its segment at {end}")
    if left:
        return Imbalance(f"a chunk begins at sample {left[0].first_sample}, where no segment is")
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
