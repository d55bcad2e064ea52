"""Where a launcher explains what it does, the controller's policy goes by it: whom to blame, how long to wait, what to tell."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from vidette_controller.actions import Action, CreateJob, FailJob, NextAttempt, ReleaseSegments
from vidette_controller.checks import Case, Policy, decide
from vidette_core.domain.errors import ErrorCode, Problem
from vidette_core.domain.schedule import RunningJob, RunningSegment
from vidette_core.ports.launcher import Condition, LaunchedJob, LaunchPhase, Pod

JOB = UUID(int=1)
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
POLICY = Policy(
    max_attempts=3,
    max_waited_attempts=20,
    max_stalled_claims=4,
    stalled_lease=timedelta(minutes=5),
    deadline=timedelta(hours=24),
    start_patience=timedelta(minutes=30),
    refused_start_patience=timedelta(minutes=10),
)
NO_GPU = Condition("PodScheduled", False, "Unschedulable", "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
DRAINED = Condition("DisruptionTarget", True, "EvictionByEvictionAPI", "Eviction API: evicting")
UNCLAIMED = RunningSegment(0, False, None, None, (), None)
CLAIMED = RunningSegment(0, False, "pod-1", NOW + timedelta(seconds=20), ("pod-1",), None)


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def case(minutes: float, *pods: Pod, segment: RunningSegment = UNCLAIMED, **launched: Any) -> Case:
    """An attempt that began so long ago, with these pods."""
    job = RunningJob(JOB, 1, 0, 0, "vidette-1-a1", "uid-1", ago(minutes), False, (segment,))
    made = LaunchedJob("vidette-1-a1", "uid-1", JOB, 1, "spec", LaunchPhase.RUNNING, ago(minutes), pods)
    return Case(job, replace(made, **launched), NOW, POLICY)


def waits(minutes: float, **changes: Any) -> Pod:
    return replace(Pod("pod-1", created_at=ago(minutes)), **changes)


def ran(minutes: float, **changes: Any) -> Pod:
    return waits(minutes, started_at=ago(minutes), **changes)


def failure(action: Action | None) -> Problem:
    assert isinstance(action, FailJob), action
    return action.problem


def next_attempt(action: Action | None) -> NextAttempt:
    assert isinstance(action, NextAttempt), action
    return action


def test_a_worker_without_a_node_is_waited_for_and_then_the_job_fails_with_the_reason() -> None:
    assert decide(case(29, waits(29, conditions=(NO_GPU,)))) is None
    problem = failure(decide(case(31, waits(31, conditions=(NO_GPU,)))))
    assert problem.code is ErrorCode.WORKER_UNAVAILABLE
    assert problem.message == (
        "No worker could start within 30 min: no node has a free GPU for it. The video is not to blame: submit it again once "
        "the operator of this installation has mended that."
    )


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "CreateContainerConfigError"])
def test_what_only_somebody_can_mend_is_waited_for_less(reason: str) -> None:
    assert decide(case(9, waits(9, reason=reason))) is None
    assert failure(decide(case(11, waits(11, reason=reason)))).code is ErrorCode.WORKER_UNAVAILABLE


def test_a_policy_that_refuses_workers_is_waited_for_less_than_a_quota() -> None:
    violates = 'pods "pod-1" is forbidden: violates PodSecurity "restricted:latest"'
    assert failure(decide(case(11, refusal=violates))).code is ErrorCode.WORKER_UNAVAILABLE
    quota = 'pods "pod-1" is forbidden: exceeded quota: team, requested: pods=1, used: pods=1, limited: pods=1'
    assert decide(case(29, refusal=quota)) is None
    assert "quota" in failure(decide(case(31, refusal=quota))).message


def test_waiting_for_a_node_is_no_part_of_the_patience_with_an_image() -> None:
    def after_a_node(minutes: float) -> Case:
        placed = Condition("PodScheduled", True, since=ago(minutes))
        return case(25, waits(25, reason="ErrImagePull", conditions=(placed,)))

    assert decide(after_a_node(2)) is None
    assert failure(decide(after_a_node(11))).code is ErrorCode.WORKER_UNAVAILABLE


def test_the_wait_begins_when_the_workers_were_asked_for_and_not_while_the_launcher_was_away() -> None:
    late = case(60, waits(1, conditions=(NO_GPU,)), created_at=ago(1))
    assert decide(late) is None


def test_pods_made_anew_do_not_begin_the_wait_anew() -> None:
    assert failure(decide(case(31, waits(1, conditions=(NO_GPU,))))).code is ErrorCode.WORKER_UNAVAILABLE


def test_the_wait_for_a_successor_begins_with_it() -> None:
    drained = ran(60, name="pod-0", exit_code=143, conditions=(DRAINED,))
    late = replace(CLAIMED, holder=None, lease_until=ago(20))
    assert decide(case(60, drained, waits(20, conditions=(NO_GPU,)), segment=late)) is None
    too_late = replace(late, lease_until=ago(31))
    ended = failure(decide(case(60, drained, waits(31, conditions=(NO_GPU,)), segment=too_late)))
    assert ended.code is ErrorCode.WORKER_UNAVAILABLE


def test_a_worker_that_runs_makes_up_for_one_that_cannot_start() -> None:
    assert decide(case(60, ran(60), waits(60, name="pod-2", conditions=(NO_GPU,)), segment=CLAIMED)) is None


def test_a_lease_in_force_tells_of_a_worker_that_an_old_list_does_not_know() -> None:
    assert decide(case(31, waits(31, conditions=(NO_GPU,)), segment=CLAIMED)) is None


def test_an_attempt_that_waits_for_a_reason_is_not_replaced_by_one_that_would_wait_for_the_same() -> None:
    assert decide(case(6, waits(6, conditions=(NO_GPU,)))) is None


def test_how_the_last_worker_ended_is_no_wait_for_the_next() -> None:
    ended = case(60, ran(60, exit_code=78), segment=replace(CLAIMED, holder=None))
    assert decide(ended) is None


def test_an_attempt_that_waits_without_a_reason_is_replaced_as_ever() -> None:
    assert not next_attempt(decide(case(6, Pod("pod-1")))).blame


@pytest.mark.parametrize("segment", [UNCLAIMED, replace(CLAIMED, holder=None, lease_until=ago(20))])
def test_a_worker_that_had_to_wait_for_its_node_has_its_time_to_claim(segment: RunningSegment) -> None:
    assert decide(case(25, waits(25, started_at=ago(1)), segment=segment)) is None
    assert next_attempt(decide(case(25, waits(25, started_at=ago(6)), segment=segment))).reason.startswith("nobody")


def test_a_worker_that_ran_out_of_memory_gets_one_more_attempt_with_more_where_there_is_more() -> None:
    killed = case(2, ran(2, exit_code=137, reason="OOMKilled"), segment=CLAIMED)
    problem = failure(decide(killed))
    assert (problem.code, "memory" in problem.message) == (ErrorCode.OUT_OF_MEMORY, True)

    has_more = replace(killed, policy=replace(POLICY, can_have_more_memory=True))
    assert next_attempt(decide(has_more)).more_memory
    in_the_row = replace(has_more, job=replace(has_more.job, more_memory=True))
    assert failure(decide(in_the_row)).code is ErrorCode.OUT_OF_MEMORY
    assert has_more.launched is not None
    as_launched = replace(has_more, launched=replace(has_more.launched, more_memory=True))
    assert failure(decide(as_launched)).code is ErrorCode.OUT_OF_MEMORY


def test_the_last_attempt_that_counts_may_still_have_more_memory() -> None:
    killed = case(2, ran(2, exit_code=137, reason="OOMKilled"), phase=LaunchPhase.FAILED)
    last = replace(
        killed, job=replace(killed.job, stalled_attempts=2), policy=replace(POLICY, can_have_more_memory=True)
    )
    assert next_attempt(decide(last)).more_memory


def test_a_job_that_ran_out_of_memory_is_launched_with_more() -> None:
    waiting = case(0)
    row = replace(waiting.job, launch_uid=None, more_memory=True)
    assert decide(replace(waiting, job=row, launched=None)) == CreateJob(
        JOB, 1, "vidette-1-a1", "", row.started_at, more_memory=True
    )


def test_a_sigkill_without_a_word_of_memory_is_no_want_of_memory() -> None:
    killed = case(2, ran(2, exit_code=137, reason="Error"), segment=CLAIMED)
    assert decide(killed) == ReleaseSegments(JOB, 1, ("pod-1",), ())


BLAMELESS = [
    ran(2, exit_code=137, conditions=(DRAINED,)),
    ran(2, exit_code=1, conditions=(DRAINED,)),
    ran(2, exit_code=137, reason="Evicted", message="The node was low on resource: memory. "),
    ran(2, exit_code=137, reason="ContainerStatusUnknown"),
    waits(2, exit_code=137),
    ran(2, exit_code=75),
    ran(2, exit_code=143),
]
BLAMED = [
    ran(2, exit_code=1),
    ran(2, exit_code=137),
    ran(2, exit_code=78),
    ran(2, exit_code=143, reason="Evicted", message='Usage of EmptyDir volume "tmp" exceeds the limit "64Mi". '),
    waits(2, exit_code=128, reason="StartError"),
]
EACH = [(pod, False) for pod in BLAMELESS] + [(pod, True) for pod in BLAMED]


@pytest.mark.parametrize(
    ("pod", "blamed"), EACH, ids=[f"{pod.exit_code} {pod.reason} {blamed}" for pod, blamed in EACH]
)
def test_only_what_is_the_workers_own_is_blamed_on_the_job(pod: Pod, blamed: bool) -> None:
    released = decide(case(2, pod, segment=CLAIMED))
    # Kubernetes replaces disrupted pods without end: what bounds that are their claims.
    assert released == ReleaseSegments(JOB, 1, ("pod-1",), () if blamed or pod.disrupted else ("pod-1",))
    assert next_attempt(decide(case(2, pod, phase=LaunchPhase.FAILED))).blame is blamed


def test_attempts_that_end_for_a_wrong_configuration_end_the_job_with_that_reason() -> None:
    ended = case(2, ran(2, exit_code=78), phase=LaunchPhase.FAILED)
    problem = failure(decide(replace(ended, job=replace(ended.job, stalled_attempts=2))))
    assert problem.code is ErrorCode.WORKER_UNAVAILABLE
    assert "the launched job failed: the worker's configuration is wrong" in problem.message


def test_attempts_that_end_for_another_reason_end_the_job_with_that_one() -> None:
    ended = case(2, ran(2, exit_code=1), phase=LaunchPhase.FAILED)
    problem = failure(decide(replace(ended, job=replace(ended.job, stalled_attempts=2))))
    assert problem.code is ErrorCode.INTERNAL
    assert "the launched job failed: it failed" in problem.message


def test_the_deadline_counts_from_when_the_first_worker_started() -> None:
    hours = 60
    drained = ran(2, name="pod-0", exit_code=143, conditions=(DRAINED,))
    assert decide(case(30 * hours, drained, ran(23 * hours), segment=CLAIMED)) is None
    late = case(30 * hours, ran(25 * hours, name="pod-0", exit_code=143), ran(1), segment=CLAIMED)
    assert failure(decide(late)).code is ErrorCode.DEADLINE_EXCEEDED


def test_the_wait_for_a_successor_begins_with_it_also_when_nothing_is_left_of_the_pod_before() -> None:
    """A drained pod's object goes when its successor is made; the lease that was released then still tells."""
    released = replace(CLAIMED, holder=None, lease_until=ago(0.1))
    waiting = waits(0.1, name="pod-2", conditions=(NO_GPU,))
    assert decide(case(2 * 60, waiting, segment=released, phase=LaunchPhase.PENDING)) is None
    long_ago = replace(released, lease_until=ago(31))
    late = case(2 * 60, replace(waiting, created_at=ago(31)), segment=long_ago, phase=LaunchPhase.PENDING)
    assert failure(decide(late)).code is ErrorCode.WORKER_UNAVAILABLE


def test_whoever_holds_a_lease_gets_its_chance_though_its_pod_is_not_in_the_list_yet() -> None:
    many = tuple(f"pod-{number}" for number in range(POLICY.max_stalled_claims))
    held = replace(CLAIMED, holder=many[-1], stalled_claims=many)
    assert decide(case(5, ran(5, name="another"), segment=held)) is None
    out = replace(held, lease_until=ago(1))
    assert failure(decide(case(5, ran(5, name="another"), segment=out))).code is ErrorCode.NO_PROGRESS


def test_an_attempt_that_only_waited_has_no_deadline() -> None:
    assert decide(case(25 * 60, waits(1), phase=LaunchPhase.PENDING)) is None


@pytest.mark.parametrize("pods", [(), (waits(5.5),)])
def test_an_attempt_whose_first_worker_is_awaited_has_not_stalled(pods: tuple[Pod, ...]) -> None:
    """The next attempt would wait for the same; what keeps workers from starting is named after two minutes, and bounded."""
    impatient = replace(POLICY, stalled_lease=timedelta(minutes=1))
    for minutes in (1.5, 5.9, 9.9):
        assert decide(replace(case(minutes, *pods, phase=LaunchPhase.PENDING), policy=impatient)) is None
    bounded = failure(decide(replace(case(31, *pods, phase=LaunchPhase.PENDING), policy=impatient)))
    assert bounded.code is ErrorCode.WORKER_UNAVAILABLE


def test_a_first_worker_that_is_being_ended_on_a_lost_node_is_not_awaited_without_end() -> None:
    assert next_attempt(decide(case(6, waits(6, conditions=(DRAINED,)), phase=LaunchPhase.PENDING))).reason


def test_a_launcher_that_tells_no_times_has_its_deadline_from_the_attempts_start() -> None:
    assert failure(decide(case(25 * 60, Pod("pod-1"), segment=CLAIMED))).code is ErrorCode.DEADLINE_EXCEEDED


def test_a_pod_that_kubernetes_ended_for_its_deadline_has_reached_that_of_the_job() -> None:
    ended = case(2, ran(2, exit_code=143, reason="DeadlineExceeded"), segment=CLAIMED)
    assert failure(decide(ended)).code is ErrorCode.DEADLINE_EXCEEDED
