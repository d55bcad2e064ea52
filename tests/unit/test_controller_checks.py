"""Every rule of the controller's policy, tried by hand: a case in, one action (or none) out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from vidette_controller.actions import CreateJob, DeleteJob, FailJob, FinishJob, GrowJob, NextAttempt, ReleaseSegments
from vidette_controller.checks import Case, Policy, decide
from vidette_controller.plan import plan
from vidette_core.domain.errors import ErrorCode, Problem
from vidette_core.domain.schedule import RunningJob, RunningSegment, Snapshot
from vidette_core.ports.launcher import LaunchedJob, LaunchPhase, Pod

JOB = UUID(int=1)
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
POLICY = Policy(3, 20, 4, timedelta(minutes=5), timedelta(hours=24))
SEGMENT = RunningSegment(0, False, "pod-1", NOW + timedelta(seconds=20), ("pod-1",), None)
RUNNING = RunningJob(JOB, 1, 0, 0, "vidette-1-a1", "uid-1", NOW - timedelta(minutes=1), False, (SEGMENT,))
LONG_AGO = NOW - timedelta(hours=1)
LAUNCHED = LaunchedJob("vidette-1-a1", "uid-1", JOB, 1, "spec", LaunchPhase.RUNNING, LONG_AGO, (Pod("pod-1"),))
HEALTHY = Case(RUNNING, LAUNCHED, NOW, POLICY)


def with_segment(**changes: Any) -> Case:
    return replace(HEALTHY, job=replace(RUNNING, segments=(replace(SEGMENT, **changes),)))


def with_pods(case: Case, *pods: Pod, phase: LaunchPhase = LaunchPhase.RUNNING) -> Case:
    return replace(case, launched=replace(LAUNCHED, pods=pods, phase=phase))


def failure(case: Case) -> ErrorCode:
    action = decide(case)
    assert isinstance(action, FailJob), action
    return action.problem.code


def test_a_healthy_job_is_left_alone() -> None:
    assert decide(HEALTHY) is None


def test_a_cancelled_job_ends_whatever_else_is_true_of_it_and_also_without_a_launcher() -> None:
    cancelled = replace(RUNNING, cancelled=True, segments=(replace(SEGMENT, done=True),))
    assert failure(replace(HEALTHY, job=cancelled)) is ErrorCode.CANCELLED
    (action,) = plan(Snapshot(NOW, (cancelled,)), None, POLICY)
    assert isinstance(action, FailJob)


def test_a_job_without_a_launched_job_gets_one() -> None:
    case = replace(HEALTHY, job=replace(RUNNING, launch_uid=None, segments=()), launched=None)
    assert decide(case) == CreateJob(JOB, 1, "vidette-1-a1", "", RUNNING.started_at)


def test_a_launched_job_whose_uid_is_not_recorded_is_made_again_so_that_what_is_missing_of_it_is_made_too() -> None:
    assert decide(replace(HEALTHY, job=replace(RUNNING, launch_uid=None))) == CreateJob(
        JOB, 1, "vidette-1-a1", "", RUNNING.started_at
    )


def test_another_launched_job_under_the_name_is_not_the_attempts_own() -> None:
    recreated = replace(LAUNCHED, uid="uid-2")
    (action,) = plan(Snapshot(NOW, (RUNNING,)), [recreated], POLICY)
    assert isinstance(action, NextAttempt)
    assert action.seen is None


def test_what_the_launcher_will_forget_by_itself_is_let_be() -> None:
    ended = replace(LAUNCHED, name="vidette-0-a1", phase=LaunchPhase.SUCCEEDED)
    assert plan(Snapshot(NOW, ()), [ended], POLICY) == [DeleteJob(ended.name, ended.uid, JOB)]
    assert plan(Snapshot(NOW, ()), [replace(ended, retired=True)], POLICY) == []


def test_a_worker_that_has_done_its_work_may_end_by_itself() -> None:
    moment = Snapshot(NOW, (), just_ended=frozenset({JOB}))
    deleted = [DeleteJob(LAUNCHED.name, LAUNCHED.uid, JOB)]
    assert plan(moment, [LAUNCHED], POLICY) == []
    assert plan(Snapshot(NOW, ()), [LAUNCHED], POLICY) == deleted
    assert plan(moment, [replace(LAUNCHED, phase=LaunchPhase.SUCCEEDED)], POLICY) == deleted
    assert plan(moment, [replace(LAUNCHED, phase=LaunchPhase.PENDING)], POLICY) == deleted, "it has nothing to end"


@pytest.mark.parametrize("stalled_attempts", [0, POLICY.max_attempts])
def test_a_launched_job_that_vanished_is_replaced_after_a_live_look_and_without_blame(stalled_attempts: int) -> None:
    action = decide(replace(HEALTHY, job=replace(RUNNING, stalled_attempts=stalled_attempts), launched=None))
    assert isinstance(action, NextAttempt)
    assert (action.uid, action.seen, action.blame) == ("uid-1", None, False)


@pytest.mark.parametrize("phase", [LaunchPhase.FAILED, LaunchPhase.SUCCEEDED])
def test_a_launched_job_that_ended_before_the_last_frame_is_replaced(phase: LaunchPhase) -> None:
    action = decide(with_pods(with_segment(holder=None), Pod("pod-1", 1), phase=phase))
    assert isinstance(action, NextAttempt)
    assert action.seen is not None
    assert (action.seen.phase, action.blame) == (phase, True)


def test_attempts_that_end_by_their_own_fault_have_an_end() -> None:
    stalled = replace(RUNNING, stalled_attempts=POLICY.max_attempts - 1, segments=(replace(SEGMENT, holder=None),))
    spent = with_pods(replace(HEALTHY, job=stalled), Pod("pod-1", 1), phase=LaunchPhase.FAILED)
    assert failure(spent) is ErrorCode.INTERNAL


@pytest.mark.parametrize("exit_code", [75, 143])
def test_an_attempt_whose_pods_only_missed_something_is_replaced_far_longer(exit_code: int) -> None:
    stalled = replace(RUNNING, stalled_attempts=POLICY.max_attempts, segments=(replace(SEGMENT, holder=None),))
    case = with_pods(replace(HEALTHY, job=stalled), Pod("pod-1", exit_code), phase=LaunchPhase.FAILED)
    action = decide(case)
    assert isinstance(action, NextAttempt)
    assert not action.blame
    waited = replace(stalled, waited_attempts=POLICY.max_waited_attempts - 1)
    assert failure(replace(case, job=waited)) is ErrorCode.INTERNAL


def test_what_a_worker_reported_ends_the_job_whatever_the_launcher_says() -> None:
    problem = Problem(ErrorCode.TOO_LONG, "too long")
    for launched in (LAUNCHED, None, replace(LAUNCHED, phase=LaunchPhase.FAILED)):
        failed = FailJob(JOB, 1, problem, "vidette-1-a1", "uid-1")
        assert decide(replace(with_segment(problem=problem), launched=launched)) == failed


def test_a_job_whose_segments_are_done_is_finished_whatever_the_launcher_says() -> None:
    for launched in (LAUNCHED, None, replace(LAUNCHED, phase=LaunchPhase.FAILED)):
        assert decide(replace(with_segment(done=True), launched=launched)) == FinishJob(JOB, "vidette-1-a1", "uid-1")


def test_two_crashes_on_the_same_frames_are_the_videos_fault() -> None:
    case = with_segment(stalled_claims=("pod-1", "pod-2"))
    assert failure(with_pods(case, Pod("pod-1", 139), Pod("pod-2", 134))) is ErrorCode.INVALID_VIDEO


@pytest.mark.parametrize(
    "pods",
    [
        (Pod("pod-1", 139), Pod("pod-2")),
        (Pod("pod-1", 137), Pod("pod-2", 137)),
        (Pod("pod-8", 139), Pod("pod-9", 139)),
    ],
    ids=["one crash", "two SIGKILLs", "crashes before the last commit"],
)
def test_less_than_two_crashes_on_the_same_frames_are_not(pods: tuple[Pod, ...]) -> None:
    action = decide(with_pods(with_segment(stalled_claims=("pod-1", "pod-2")), *pods))
    assert not isinstance(action, FailJob)


def test_claims_without_progress_end_the_job_once_the_last_claimant_is_gone() -> None:
    claims = ("pod-1", "pod-2", "pod-3", "pod-4")
    case = with_segment(stalled_claims=claims, holder="pod-4")
    assert decide(with_pods(case, Pod("pod-4"))) is None
    assert failure(with_pods(case, Pod("pod-4", 1))) is ErrorCode.NO_PROGRESS


def test_the_segments_of_ended_pods_are_released_at_once() -> None:
    action = decide(with_pods(HEALTHY, Pod("pod-1", 137), Pod("pod-2")))
    assert action == ReleaseSegments(JOB, 1, ("pod-1",), ())
    assert decide(with_pods(HEALTHY, Pod("pod-1", 75))) == ReleaseSegments(JOB, 1, ("pod-1",), ("pod-1",))


def test_a_lease_that_ran_out_long_ago_replaces_the_attempt() -> None:
    assert decide(with_segment(lease_until=NOW - timedelta(minutes=4))) is None
    action = decide(with_segment(lease_until=NOW - timedelta(minutes=6)))
    assert isinstance(action, NextAttempt)
    assert action.blame


def test_an_attempt_that_could_be_launched_only_late_has_its_time_too() -> None:
    """The row has run for an hour without a launcher; its Job has just been made, and its pods are not there yet."""
    row = replace(RUNNING, started_at=LONG_AGO, segments=(replace(SEGMENT, holder=None, lease_until=None),))
    just_made = replace(LAUNCHED, phase=LaunchPhase.PENDING, created_at=NOW - timedelta(seconds=1), pods=())
    assert decide(replace(HEALTHY, job=row, launched=just_made)) is None
    assert isinstance(decide(replace(HEALTHY, job=row)), NextAttempt), "one that has had its time is replaced"


def test_an_attempt_in_which_nobody_could_claim_is_replaced_without_blame() -> None:
    waited = replace(
        RUNNING, started_at=NOW - timedelta(minutes=6), segments=(replace(SEGMENT, holder=None, lease_until=None),)
    )
    action = decide(replace(HEALTHY, job=waited))
    assert isinstance(action, NextAttempt)
    assert not action.blame


def test_while_the_launcher_is_away_only_what_the_rows_say_is_decided() -> None:
    done = replace(RUNNING, segments=(replace(SEGMENT, done=True),))
    waiting = replace(RUNNING, id=UUID(int=2), launch_uid=None)
    assert plan(Snapshot(NOW, (done, waiting)), None, POLICY) == [FinishJob(JOB, "vidette-1-a1", "uid-1")]


def test_a_job_past_its_deadline_fails() -> None:
    late = replace(HEALTHY, job=replace(RUNNING, started_at=NOW - timedelta(hours=25)))
    assert failure(late) is ErrorCode.DEADLINE_EXCEEDED


def test_launched_jobs_that_no_row_wants_are_deleted_and_wanted_ones_are_not() -> None:
    old = replace(LAUNCHED, name="vidette-1-a0", uid="uid-0", attempt=0)
    actions = plan(Snapshot(NOW, (RUNNING,)), [LAUNCHED, old], POLICY)
    assert actions == [DeleteJob("vidette-1-a0", "uid-0", JOB)]


def test_an_empty_world_needs_nothing() -> None:
    assert plan(Snapshot(NOW, ()), [], POLICY) == []


def split(workers: int = 1, has: int = 1, done_at: datetime = LONG_AGO, **changes: Any) -> Case:
    """Three segments: the first done, the second held, the third waiting for a worker."""
    done = replace(SEGMENT, done=True, holder=None, lease_until=done_at)
    waiting = replace(SEGMENT, index=2, holder=None, lease_until=None, stalled_claims=())
    segments = (done, replace(SEGMENT, index=1, **changes), waiting)
    job = replace(RUNNING, segments=segments, workers=workers, started_at=LONG_AGO)
    return replace(HEALTHY, job=job, launched=replace(LAUNCHED, workers=has), workers=workers)


def test_a_job_with_more_unfinished_segments_than_workers_gets_more() -> None:
    assert decide(split()) == GrowJob(JOB, 1, "vidette-1-a1", "uid-1", wanted=2, has=1)


def test_a_launched_job_that_is_behind_its_row_catches_up_also_in_a_full_house() -> None:
    behind = replace(split(workers=2), policy=replace(POLICY, max_workers=2))
    assert decide(behind) == GrowJob(JOB, 1, "vidette-1-a1", "uid-1", wanted=2, has=1)


def test_a_job_with_a_worker_for_each_unfinished_segment_is_left_alone() -> None:
    assert decide(split(workers=2, has=2)) is None


def test_nobody_asks_for_more_in_a_full_house() -> None:
    assert decide(replace(split(), policy=replace(POLICY, max_workers=1))) is None


def test_a_segment_that_waits_for_a_worker_of_another_is_not_stalled() -> None:
    assert decide(split(workers=2, has=2)) is None
    action = decide(split(workers=2, has=2, lease_until=LONG_AGO))
    assert isinstance(action, NextAttempt)
    assert action.blame


def test_a_worker_that_has_just_finished_one_segment_has_time_to_claim_the_next() -> None:
    nobody: dict[str, Any] = {"holder": None, "lease_until": None, "stalled_claims": ()}
    assert decide(split(workers=2, has=2, done_at=NOW - timedelta(seconds=1), **nobody)) is None
    assert isinstance(decide(split(workers=2, has=2, done_at=NOW - timedelta(minutes=6), **nobody)), NextAttempt)
