"""Whether a running job's attempt waits for its first worker, for which reason, and since when. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from vidette_controller.diagnose import Diagnosis, diagnose
from vidette_controller.findings import Wait
from vidette_core.domain.errors import ErrorCode, Problem
from vidette_core.domain.schedule import RunningJob
from vidette_core.ports.launcher import LaunchedJob, Pod


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps every worker of an attempt from starting, and since when, as far as is known."""

    diagnosis: Diagnosis
    since: datetime


def never_started(what: str, patience: timedelta, cause: str) -> Problem:
    """The end of a job for which no worker could be had, `what` ("start", "be launched") saying how far it came."""
    minutes = patience.total_seconds() / 60
    return Problem(
        ErrorCode.WORKER_UNAVAILABLE,
        f"No worker could {what} within {minutes:g} min: {cause}. The video is not to blame: submit it again "
        "once the operator of this installation has mended that.",
    )


def obstacle(job: RunningJob, launched: LaunchedJob, now: datetime) -> Obstacle | None:
    """None while a worker runs, and while nothing that has a name keeps workers from it.

    The list of launched jobs may be a little old: a lease in force tells of a worker too.
    """
    live = [pod for pod in launched.pods if pod.exit_code is None and not pod.disrupted]
    works = any(pod.started_at is not None for pod in live) or any(
        segment.holder is not None and segment.lease_until is not None and segment.lease_until > now
        for segment in job.segments
    )
    between_two = bool(launched.pods) and not live and not launched.refusal
    if works or between_two:
        return None
    diagnosis = diagnose(launched, now)
    if diagnosis is None or not diagnosis.lasting:
        return None
    return Obstacle(diagnosis, _since(job, launched, live, diagnosis))


def _since(job: RunningJob, launched: LaunchedJob, live: list[Pod], diagnosis: Diagnosis) -> datetime:
    # Of an earlier worker, whose pod may be gone without a trace, its lease still tells.
    leases = [segment.lease_until for segment in job.segments if segment.lease_until is not None]
    since = max([job.started_at, launched.created_at, *leases])
    made = [pod.created_at for pod in live if pod.created_at is not None]
    if made and any(pod.started_at is not None for pod in launched.pods):
        since = max(since, min(made))  # an earlier worker ran, so the wait began with its successor
    if diagnosis.wait is Wait.FOR_SOMEBODY:
        since = max([since, *_placed(live)])  # waiting for a node before was no sign of a wrong image
    return since


def _placed(live: list[Pod]) -> list[datetime]:
    """When the first of the pods was given a node, if that is known."""
    conditions = (entry for pod in live for entry in pod.conditions if entry.type == "PodScheduled" and entry.holds)
    return sorted(entry.since for entry in conditions if entry.since is not None)[:1]
