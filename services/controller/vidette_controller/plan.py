"""The planner: a snapshot of rows and launched jobs in, actions out. Pure, so that every rule of it can be tried by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vidette_controller.actions import Action, DeleteJob
from vidette_controller.checks import CHECKS, ROW_CHECKS, Case, Policy, decide
from vidette_core.domain.schedule import RunningJob, Snapshot
from vidette_core.ports.launcher import LaunchedJob, LaunchPhase


def plan(snapshot: Snapshot, launched: Sequence[LaunchedJob] | None, policy: Policy) -> list[Action]:
    """At most one action for each running job, and one for each launched job that no running job wants.

    While the launcher is away (None) only what the rows alone can decide is decided.

    `launched` must be older than `snapshot` (list first, then read the rows): then a launched job without a running row is
    really unwanted, since rows are claimed before anything is launched for them.
    """
    by_name = {job.name: job for job in launched or ()}
    checks = ROW_CHECKS if launched is None else CHECKS
    workers = sum(job.workers for job in snapshot.jobs)
    cases = (Case(job, _of(job, by_name), snapshot.now, policy, workers) for job in snapshot.jobs)
    actions = [action for case in cases if (action := decide(case, checks)) is not None]
    wanted = {job.launch_name for job in snapshot.jobs}
    unwanted = (job for job in launched or () if job.name not in wanted and not job.retired)
    actions.extend(DeleteJob(job.name, job.uid, job.job_id) for job in unwanted if not _is_leaving(job, snapshot))
    return actions


def _is_leaving(job: LaunchedJob, snapshot: Snapshot) -> bool:
    """Its worker is just ending, having done what there was to do: deleted now, it would leave no log and no end to read."""
    return job.phase is LaunchPhase.RUNNING and job.job_id in snapshot.just_ended


def _of(job: RunningJob, by_name: Mapping[str, LaunchedJob]) -> LaunchedJob | None:
    """What was launched for the attempt; another one that somebody made under its name since is not it."""
    launched = by_name.get(job.launch_name)
    return launched if launched is not None and job.launch_uid in (None, launched.uid) else None
