"""One running job and its launched job in; at most one action out. An ordered list of named pure checks.

The first check that has an opinion decides. The order is the policy: what the client wants, what a worker reported and what is
already committed come before what the launcher says, because PostgreSQL is the truth and the launcher only explains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from vidette_controller.actions import Action, CreateJob, FailJob, FinishJob, GrowJob, NextAttempt, ReleaseSegments
from vidette_controller.diagnose import diagnose
from vidette_controller.endings import CRASHES, ending
from vidette_controller.findings import EXPLANATIONS, Finding, Wait
from vidette_controller.starting import never_started, obstacle
from vidette_core.domain.errors import ErrorCode, Problem
from vidette_core.domain.schedule import RunningJob, RunningSegment
from vidette_core.ports.launcher import LaunchedJob, LaunchPhase, Pod

POISON_DEATHS = 2


@dataclass(frozen=True, slots=True)
class Policy:
    """The controller's settings that decisions depend on."""

    max_attempts: int
    max_waited_attempts: int
    max_stalled_claims: int
    stalled_lease: timedelta
    deadline: timedelta
    start_patience: timedelta = timedelta(minutes=30)
    """For an attempt none of whose workers can start, where that may mend by itself."""
    refused_start_patience: timedelta = timedelta(minutes=10)
    """The same where somebody has to mend something."""
    max_workers: int = 200
    """Of all running jobs together; beyond it none gets more."""
    can_have_more_memory: bool = False
    """Whether the launcher has more memory to give to an attempt after one that ran out of it."""


@dataclass(frozen=True, slots=True)
class Case:
    """One running job, what is launched under its name (None: not in the list), the database's time, and the policy."""

    job: RunningJob
    launched: LaunchedJob | None
    now: datetime
    policy: Policy
    workers: int = 0
    """Of all running jobs together."""


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
    job = case.job
    done = job.segments and all(segment.done for segment in job.segments)
    return FinishJob(job.id, job.launch_name, job.launch_uid) if done else None


def poison(case: Case) -> Action | None:
    """Two pods died of a crash after claiming the same frames, and nothing was committed between."""
    crashed = {pod.name for pod in case.launched.pods if pod.exit_code in CRASHES} if case.launched else set()
    for segment in case.job.segments:
        if len(crashed.intersection(segment.stalled_claims)) >= POISON_DEATHS:
            message = "Decoding the video crashed the decoder more than once. The file is damaged or made to do harm."
            return _fail(case, Problem(ErrorCode.INVALID_VIDEO, message))
    return None


def out_of_memory(case: Case) -> Action | None:
    """A worker was killed for its memory limit. The same limit would kill the next one too, at the same frame."""
    killed = case.launched and any(ending(pod) is Finding.OUT_OF_MEMORY for pod in case.launched.pods)
    if not case.launched or not killed:
        return None
    had_more = case.job.more_memory or case.launched.more_memory
    if case.policy.can_have_more_memory and not had_more:
        return _next(case, "a worker ran out of memory; the next has more", blame=True, more_memory=True)
    message = (
        "A worker took more memory than its limit. Submit the video with smaller frames, or have the limit raised."
    )
    return _fail(case, Problem(ErrorCode.OUT_OF_MEMORY, message))


def no_progress(case: Case) -> Action | None:
    """Pods claim the same frames again and again."""
    limit = case.policy.max_stalled_claims
    for segment in case.job.segments:
        exhausted = len(segment.stalled_claims) >= limit and not _is_held(case, segment)
        if exhausted and not segment.done:
            message = f"{limit} workers in a row ended without a result. Their logs, found by the job's id, say why."
            return _fail(case, Problem(ErrorCode.NO_PROGRESS, message))
    return None


def deadline(case: Case) -> Action | None:
    """Counted from when a worker first ran: waiting for a node is not the job's fault, and has a patience of its own."""
    since = _running_since(case)
    told = case.launched is not None and any(ending(pod) is Finding.DEADLINE for pod in case.launched.pods)
    if not told and (since is None or case.now - since <= case.policy.deadline):
        return None
    hours = case.policy.deadline.total_seconds() / 3600
    message = f"The job ran longer than the {hours:g} h allowed. Send a shorter video or a larger frame_stride."
    return _fail(case, Problem(ErrorCode.DEADLINE_EXCEEDED, message))


def not_launched(case: Case) -> Action | None:
    """The row wants a launched job: create it, or, when it was there and is gone, go on with the next attempt.

    Losing the launched job is never the job's fault: someone stopped the stack, or deleted it.
    """
    if case.job.launch_uid is None:  # also when it is there: whoever made it may not have lived to complete it
        job = case.job
        return CreateJob(
            job.id, job.attempt, job.launch_name, job.pipeline_id, job.started_at, job.more_memory, job.traceparent
        )
    if case.launched is not None:
        return None
    return _next(case, "the launched job is gone", blame=False)


def cannot_start(case: Case) -> Action | None:
    """Something that has a name has kept every worker from starting for longer than is worth waiting."""
    assert case.launched is not None, "not_launched comes first"
    found = obstacle(case.job, case.launched, case.now)
    if found is None:
        return None
    by_itself = found.diagnosis.wait is Wait.FOR_ROOM
    patience = case.policy.start_patience if by_itself else case.policy.refused_start_patience
    if case.now - found.since <= patience:
        return None
    return _fail(case, never_started("start", patience, found.diagnosis.cause))


def ended_holders(case: Case) -> Action | None:
    """A pod that has ended cannot go on with what it holds.

    Kubernetes replaces disrupted pods without end, and nothing but their claims bounds that: those without progress count.
    """
    assert case.launched is not None, "not_launched comes first"
    ended = {pod.name: pod for pod in case.launched.pods if pod.exit_code is not None}
    holders = {segment.holder for segment in case.job.segments if segment.holder is not None and not segment.done}
    gone = tuple(sorted(holders & ended.keys()))
    blameless = tuple(pod for pod in gone if _is_blameless(ended[pod]) and not ended[pod].disrupted)
    return ReleaseSegments(case.job.id, case.job.attempt, gone, blameless) if gone else None


def launched_ended(case: Case) -> Action | None:
    """The launcher gave up, or thinks that all is done where the ledger does not."""
    assert case.launched is not None, "not_launched comes first"
    match case.launched.phase:
        case LaunchPhase.FAILED:
            blame = any(pod.exit_code is not None and not _is_blameless(pod) for pod in case.launched.pods)
            return _replace(case, "the launched job failed", blame=blame)
        case LaunchPhase.SUCCEEDED:
            return _replace(case, "the launched job ended before the last frame", blame=True)
        case _:
            return None


def stalled_lease(case: Case) -> Action | None:
    """Nobody has renewed or claimed a segment for long: whatever runs does not work.

    An attempt in which nobody could claim anything has not failed: the gateway was away. One whose workers cannot even start
    is not replaced, since the next would wait for the same; `cannot_start` ends it, once what keeps them has a name.
    """
    assert case.launched is not None, "not_launched comes first"
    live = [pod for pod in case.launched.pods if pod.exit_code is None]
    # A pod that is being ended on a lost node would be waited for without end.
    waits = case.launched.phase is LaunchPhase.PENDING and not any(pod.disrupted for pod in live)
    if waits or obstacle(case.job, case.launched, case.now) is not None:
        return None
    # Whoever came late, because the launcher was away or there was no node for it, has to have its time to claim.
    first_came = sorted(came for pod in live if (came := pod.started_at or pod.created_at))[:1]
    # Of all together, also of those that are done: a segment may wait until a worker of another one has time for it.
    leases = [segment.lease_until for segment in case.job.segments if segment.lease_until is not None]
    since = max([*(leases or [case.job.started_at]), case.launched.created_at, *first_came])
    if case.now - since > case.policy.stalled_lease:
        return _replace(case, "nobody has worked on it for too long", blame=bool(leases))
    return None


def too_few_workers(case: Case) -> Action | None:
    """The plan made more segments than there are workers for, or the launched job is behind what the row gave it."""
    assert case.launched is not None, "not_launched comes first"
    job, launched = case.job, case.launched
    unfinished = sum(not segment.done for segment in job.segments)
    wanted = min(unfinished, job.max_workers or unfinished)
    if wanted <= launched.workers or job.launch_uid is None:
        return None
    if launched.workers >= job.workers and case.workers >= case.policy.max_workers:
        return None  # The house is full.
    return GrowJob(job.id, job.attempt, job.launch_name, job.launch_uid, wanted, launched.workers)


ROW_CHECKS: tuple[Check, ...] = (cancelled, reported_problem, all_done)
"""What the rows alone can decide."""

CHECKS: tuple[Check, ...] = (
    *ROW_CHECKS,
    poison,
    out_of_memory,
    no_progress,
    deadline,
    not_launched,
    cannot_start,
    ended_holders,
    launched_ended,
    stalled_lease,
    too_few_workers,
)


def decide(case: Case, checks: Sequence[Check] = CHECKS) -> Action | None:
    """The first opinion in the order of the checks."""
    return next((action for check in checks if (action := check(case)) is not None), None)


def _fail(case: Case, problem: Problem) -> FailJob:
    return FailJob(case.job.id, case.job.attempt, problem, case.job.launch_name, case.job.launch_uid)


def _next(case: Case, reason: str, *, blame: bool, more_memory: bool = False) -> NextAttempt:
    job = case.job
    return NextAttempt(job.id, job.attempt, job.launch_name, reason, blame, job.launch_uid, case.launched, more_memory)


def _replace(case: Case, reason: str, *, blame: bool) -> Action:
    """The next attempt, unless this one counts and is the last of those that may fail without a result between them."""
    so_far = case.job.stalled_attempts if blame else case.job.waited_attempts
    limit = case.policy.max_attempts if blame else case.policy.max_waited_attempts
    if so_far + 1 < limit:
        return _next(case, reason, blame=blame)
    diagnosis = diagnose(case.launched, case.now) if case.launched is not None else None
    why = reason if diagnosis is None else f"{reason}: {diagnosis.cause}"
    message = f"{limit} attempts in a row ended without a result; last, {why}. The workers' logs say more."
    lasting = diagnosis is not None and diagnosis.lasting
    return _fail(case, Problem(ErrorCode.WORKER_UNAVAILABLE if lasting else ErrorCode.INTERNAL, message))


def _is_blameless(pod: Pod) -> bool:
    """Whether an ended pod says nothing against its job: the cluster, or want of something else, ended it, or it never ran."""
    finding = ending(pod)
    if finding is Finding.CONFIGURATION_ERROR:  # it would go on for ever if it counted for nothing
        return False
    never_ran = pod.created_at is not None and pod.started_at is None
    return never_ran or (finding is not None and EXPLANATIONS[finding].blameless)


def _running_since(case: Case) -> datetime | None:
    """When the attempt's first worker began; None while none has. A launcher that tells no times counts from the start."""
    pods = case.launched.pods if case.launched is not None else ()
    started = [pod.started_at for pod in pods if pod.started_at is not None]
    if started:
        return min(started)
    tells_times = any(pod.created_at is not None for pod in pods)
    return None if tells_times or not pods else case.job.started_at


def _is_held(case: Case, segment: RunningSegment) -> bool:
    """Whether the last claimant may still be at work: then it gets its chance to commit. The list may be older than its pod."""
    if segment.holder is None:
        return False
    pods = case.launched.pods if case.launched is not None else ()
    holder = next((pod for pod in pods if pod.name == segment.holder), None)
    if holder is not None:
        return holder.exit_code is None
    return segment.lease_until is not None and segment.lease_until > case.now
