"""One running job and its launched job in; at most one action out. An ordered list of named pure checks.

The first check that has an opinion decides. The order is the policy: what the client wants, what a worker reported and what is
already committed come before what the launcher says, because PostgreSQL is the truth and the launcher only explains.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from vidette_controller.actions import Action, CreateJob, FailJob, FinishJob, NextAttempt, ReleaseSegments
from vidette_core.domain.errors import ErrorCode, Problem
from vidette_core.domain.schedule import RunningJob
from vidette_core.domain.worker_api import WorkerExit
from vidette_core.ports.launcher import LaunchedJob, LaunchPhase

CRASHES = {128 + number for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)}
"""Exit codes of a decoder that died of its input. SIGKILL is not among them: it is the machine's doing, not the video's."""
POISON_DEATHS = 2
BLAMELESS = {WorkerExit.TRY_AGAIN, WorkerExit.TERMINATED}
"""Exit codes that say nothing against the job: what the worker needs was away, or the worker was told to end."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The controller's settings that decisions depend on."""

    max_attempts: int
    max_waited_attempts: int
    max_stalled_claims: int
    stalled_lease: timedelta
    deadline: timedelta


@dataclass(frozen=True, slots=True)
class Case:
    """One running job, what is launched under its name (None: not in the list), the database's time, and the policy."""

    job: RunningJob
    launched: LaunchedJob | None
    now: datetime
    policy: Policy


Check = Callable[[Case], Action | None]


CANCELLED = Problem(
    ErrorCode.CANCELLED, "The job was cancelled, as its client asked. Submit the video again to have it analysed."
)


def cancelled(case: Case) -> Action | None:
    """The client does not want it any more; its workers are fenced already."""
    return _fail(case, CANCELLED) if case.job.cancelled else None


def reported_problem(case: Case) -> Action | None:
    """A worker said, with its fence in force, that the job cannot succeed."""
    problem = next((segment.problem for segment in case.job.segments if segment.problem is not None), None)
    return _fail(case, problem) if problem is not None else None


def all_done(case: Case) -> Action | None:
    """Every segment is committed to its end; the ledger has the last word."""
    segments = case.job.segments
    return FinishJob(case.job.id) if segments and all(segment.done for segment in segments) else None


def poison(case: Case) -> Action | None:
    """Two pods died of a crash after claiming the same frames, and nothing was committed between."""
    crashed = {pod.name for pod in case.launched.pods if pod.exit_code in CRASHES} if case.launched else set()
    for segment in case.job.segments:
        if len(crashed.intersection(segment.stalled_claims)) >= POISON_DEATHS:
            message = "Decoding the video crashed the decoder more than once. The file is damaged or made to do harm."
            return _fail(case, Problem(ErrorCode.INVALID_VIDEO, message))
    return None


def no_progress(case: Case) -> Action | None:
    """Pods claim the same frames again and again."""
    limit = case.policy.max_stalled_claims
    for segment in case.job.segments:
        exhausted = len(segment.stalled_claims) >= limit and not _is_held(case, segment.holder)
        if exhausted and not segment.done:
            message = f"{limit} workers in a row ended without a result. Their logs, found by the job's id, say why."
            return _fail(case, Problem(ErrorCode.NO_PROGRESS, message))
    return None


def deadline(case: Case) -> Action | None:
    if case.now - case.job.started_at <= case.policy.deadline:
        return None
    hours = case.policy.deadline.total_seconds() / 3600
    message = f"The job ran longer than the {hours:g} h allowed. Send a shorter video or a larger frame_stride."
    return _fail(case, Problem(ErrorCode.DEADLINE_EXCEEDED, message))


def not_launched(case: Case) -> Action | None:
    """The row wants a launched job: create it, or, when it was there and is gone, go on with the next attempt.

    Losing the launched job is never the job's fault: someone stopped the stack, or deleted it.
    """
    if case.job.launch_uid is None:  # also when it is there: whoever made it may not have lived to complete it
        return CreateJob(case.job.id, case.job.attempt, case.job.launch_name)
    if case.launched is not None:
        return None
    return _next(case, "the launched job is gone", blame=False)


def ended_holders(case: Case) -> Action | None:
    """A pod that has ended cannot go on with what it holds."""
    assert case.launched is not None, "not_launched comes first"
    ended = {pod.name: pod.exit_code for pod in case.launched.pods if pod.exit_code is not None}
    holders = {segment.holder for segment in case.job.segments if segment.holder is not None and not segment.done}
    gone = tuple(sorted(holders & ended.keys()))
    blameless = tuple(pod for pod in gone if ended[pod] in BLAMELESS)
    return ReleaseSegments(case.job.id, case.job.attempt, gone, blameless) if gone else None


def launched_ended(case: Case) -> Action | None:
    """The launcher gave up, or thinks that all is done where the ledger does not."""
    assert case.launched is not None, "not_launched comes first"
    match case.launched.phase:
        case LaunchPhase.FAILED:
            blame = any(pod.exit_code not in BLAMELESS for pod in case.launched.pods if pod.exit_code is not None)
            return _replace(case, "the launched job failed", blame=blame)
        case LaunchPhase.SUCCEEDED:
            return _replace(case, "the launched job ended before the last frame", blame=True)
        case _:
            return None


def stalled_lease(case: Case) -> Action | None:
    """Nobody has renewed or claimed a segment for long: whatever runs does not work.

    An attempt in which nobody could claim anything has not failed: the gateway was away.
    """
    for segment in case.job.segments:
        since = segment.lease_until or case.job.started_at
        if not segment.done and case.now - since > case.policy.stalled_lease:
            was_claimed = segment.lease_until is not None
            return _replace(case, "nobody has worked on it for too long", blame=was_claimed)
    return None


ROW_CHECKS: tuple[Check, ...] = (cancelled, reported_problem, all_done)
"""What the rows alone can decide."""

CHECKS: tuple[Check, ...] = (
    *ROW_CHECKS,
    poison,
    no_progress,
    deadline,
    not_launched,
    ended_holders,
    launched_ended,
    stalled_lease,
)


def decide(case: Case, checks: Sequence[Check] = CHECKS) -> Action | None:
    """The first opinion in the order of the checks."""
    return next((action for check in checks if (action := check(case)) is not None), None)


def _fail(case: Case, problem: Problem) -> FailJob:
    return FailJob(case.job.id, case.job.attempt, problem)


def _next(case: Case, reason: str, *, blame: bool) -> NextAttempt:
    return NextAttempt(
        case.job.id, case.job.attempt, case.job.launch_name, reason, blame, case.job.launch_uid, case.launched
    )


def _replace(case: Case, reason: str, *, blame: bool) -> Action:
    """The next attempt, unless this one counts and is the last of those that may fail without a result between them."""
    so_far = case.job.stalled_attempts if blame else case.job.waited_attempts
    limit = case.policy.max_attempts if blame else case.policy.max_waited_attempts
    if so_far + 1 < limit:
        return _next(case, reason, blame=blame)
    message = f"{limit} attempts in a row ended without a result; last, {reason}. The workers' logs say why."
    return _fail(case, Problem(ErrorCode.INTERNAL, message))


def _is_held(case: Case, holder: str | None) -> bool:
    """Whether the last claimant may still be at work: then it gets its chance to commit."""
    if holder is None or case.launched is None:
        return False
    return any(pod.name == holder and pod.exit_code is None for pod in case.launched.pods)
