"""What follows from a worker's exit: the rules of the Job that Kubernetes would run, as pure functions."""

from __future__ import annotations

from enum import StrEnum

from vidette_core.domain.worker_api import WorkerExit

BACKOFF_LIMIT = 6
_FIRST_BACKOFF_SECONDS = 1.0
_LONGEST_BACKOFF_SECONDS = 30.0


class Verdict(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    AGAIN = "again"


def verdict(exit_code: int, failures: int, backoff_limit: int = BACKOFF_LIMIT) -> Verdict:
    """Decide over a job whose pod ended with `exit_code`; `failures` counts failed pods, this one included."""
    if exit_code == WorkerExit.DONE:
        return Verdict.SUCCEEDED
    if exit_code == WorkerExit.BAD_INPUT or failures > backoff_limit:
        return Verdict.FAILED
    return Verdict.AGAIN


def backoff_seconds(failures: int, first_seconds: float = _FIRST_BACKOFF_SECONDS) -> float:
    """The pause before the pod after the `failures`-th failure: doubles, up to 30 s."""
    return min(first_seconds * 2.0 ** max(0, failures - 1), _LONGEST_BACKOFF_SECONDS)
