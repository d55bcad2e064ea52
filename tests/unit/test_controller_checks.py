"""Every rule of the controller's policy, tried by hand: a case in, one action (or none) out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from vidette_controller.actions import CreateJob, DeleteJob, FailJob, FinishJob, NextAttempt, ReleaseSegments
from vidette_controller.checks import Case, Policy, decide
from vidette_controller.plan import plan
from vidette_core.domain.errors import ErrorCode, Problem
from vidette_core.domain.schedule import RunningJob, RunningSegment, Snapshot
from vidette_core.ports.launcher import LaunchedJob, LaunchPhase, Pod

JOB = UUID(int=1)
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
POLICY = Policy(3, 4, timedelta(minutes=5), timedelta(hours=24))
SEGMENT = RunningSegment(0, False, "pod-1", NOW + timedelta(seconds=20), ("pod-1",), None)
RUNNING = RunningJob(JOB, 1, "vidette-1-a1", "uid-1", NOW - timedelta(minutes=1), (SEGMENT,))
LAUNCHED = LaunchedJob("vidette-1-a1", "uid-1", JOB, 1, "spec", LaunchPhase.RUNNING, NOW, (Pod("pod-1"),))
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


def test_a_job_without_a_launched_job_gets_one() -> None:
    case = replace(HEALTHY, job=replace(RUNNING, launch_uid=None, segments=()), launched=None)
    assert decide(case) == CreateJob(JOB, 1, "vidette-1-a1")


def test_a_launched_job_that_vanished_is_replaced_only_after_a_live_look() -> None:
    action = decide(replace(HEALTHY, launched=None))
    assert isinstance(action, NextAttempt)
    assert action.expect_missing


@pytest.mark.parametrize("phase", [LaunchPhase.FAILED, LaunchPhase.SUCCEEDED])
def test_a_launched_job_that_ended_before_the_last_frame_is_replaced(phase: LaunchPhase) -> None:
    action = decide(with_pods(HEALTHY, Pod("pod-1", 75), phase=phase))
    assert isinstance(action, NextAttempt)
    assert not action.expect_missing


def test_attempts_have_an_end() -> None:
    spent = replace(HEALTHY, job=replace(RUNNING, attempt=POLICY.max_attempts), launched=None)
    assert failure(spent) is ErrorCode.INTERNAL


def test_what_a_worker_reported_ends_the_job_whatever_the_launcher_says() -> None:
    problem = Problem(ErrorCode.TOO_LONG, "too long")
    for launched in (LAUNCHED, None, replace(LAUNCHED, phase=LaunchPhase.FAILED)):
        assert decide(replace(with_segment(problem=problem), launched=launched)) == FailJob(JOB, 1, problem)


def test_a_job_whose_segments_are_done_is_finished_whatever_the_launcher_says() -> None:
    for launched in (LAUNCHED, None, replace(LAUNCHED, phase=LaunchPhase.FAILED)):
        assert decide(replace(with_segment(done=True), launched=launched)) == FinishJob(JOB)


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
    assert failure(with_pods(case, Pod("pod-4", 75))) is ErrorCode.NO_PROGRESS


def test_the_segments_of_ended_pods_are_released_at_once() -> None:
    action = decide(with_pods(HEALTHY, Pod("pod-1", 137), Pod("pod-2")))
    assert action == ReleaseSegments(JOB, 1, ("pod-1",))


def test_a_lease_that_ran_out_long_ago_replaces_the_attempt() -> None:
    assert decide(with_segment(lease_until=NOW - timedelta(minutes=4))) is None
    assert isinstance(decide(with_segment(lease_until=NOW - timedelta(minutes=6))), NextAttempt)


def test_a_job_past_its_deadline_fails() -> None:
    late = replace(HEALTHY, job=replace(RUNNING, started_at=NOW - timedelta(hours=25)))
    assert failure(late) is ErrorCode.DEADLINE_EXCEEDED


def test_launched_jobs_that_no_row_wants_are_deleted_and_wanted_ones_are_not() -> None:
    old = replace(LAUNCHED, name="vidette-1-a0", uid="uid-0", attempt=0)
    actions = plan(Snapshot(NOW, (RUNNING,)), [LAUNCHED, old], POLICY)
    assert actions == [DeleteJob("vidette-1-a0", "uid-0", JOB, 0)]


def test_an_empty_world_needs_nothing() -> None:
    assert plan(Snapshot(NOW, ()), [], POLICY) == []
