"""What Kubernetes says of Jobs and pods, in its own words, and the finding that it comes to."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidette_controller.diagnose import Diagnosis, diagnose, quotable
from vidette_controller.findings import EXPLANATIONS, Finding, Severity, Wait
from vidette_core.ports.launcher import Condition, LaunchedJob, LaunchPhase, Pod

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BEGUN = NOW - timedelta(minutes=5)
JOB = LaunchedJob("vidette-1-a1", "uid-1", UUID(int=1), 1, "spec", LaunchPhase.RUNNING, BEGUN)
NEW = Pod("vidette-1-a1-0-abcde", created_at=BEGUN)
RAN = replace(NEW, started_at=BEGUN + timedelta(seconds=3))
LONGEST_EVENT = 1024


def unplaced(message: str, reason: str = "Unschedulable") -> LaunchedJob:
    return replace(JOB, pods=(replace(NEW, conditions=(Condition("PodScheduled", False, reason, message),)),))


def refused(words: str) -> LaunchedJob:
    return replace(JOB, refusal=f'Error creating: pods "vidette-1-a1-0-abcde" is forbidden: {words}')


def waiting(reason: str, message: str = "") -> LaunchedJob:
    return replace(JOB, pods=(replace(NEW, reason=reason, message=message),))


def ended(
    exit_code: int, reason: str = "Error", message: str = "", phase: LaunchPhase = LaunchPhase.RUNNING
) -> LaunchedJob:
    return replace(JOB, pods=(replace(RAN, exit_code=exit_code, reason=reason, message=message),), phase=phase)


def disrupted(reason: str, message: str, exit_code: int | None = 143) -> LaunchedJob:
    target = Condition("DisruptionTarget", True, reason, message)
    return replace(JOB, pods=(replace(RAN, exit_code=exit_code, conditions=(target,)),))


def failed(reason: str, message: str) -> LaunchedJob:
    return replace(JOB, phase=LaunchPhase.FAILED, conditions=(Condition("Failed", True, reason, message),))


LOW_MEMORY = (
    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 84Mi. Container worker was using 3Gi, "
    "request is 1Gi, has larger consumption of memory. "
)
PULLING = (
    'Back-off pulling image "registry.example/vidette-worker:1.2": ErrImagePull: rpc error: code = NotFound desc = failed to '
    'pull and unpack image "registry.example/vidette-worker:1.2": not found'
)

MET: list[tuple[Finding, LaunchedJob]] = [
    (Finding.SUSPENDED, replace(JOB, conditions=(Condition("Suspended", True, "JobSuspended", "Job suspended"),))),
    (Finding.QUOTA, refused("exceeded quota: team, requested: pods=1, used: pods=10, limited: pods=10")),
    (Finding.ADMISSION_REFUSED, refused('violates PodSecurity "restricted:latest": runAsNonRoot != true')),
    (Finding.ADMISSION_REFUSED, refused("failed quota: team: must specify limits.cpu for: worker")),
    (
        Finding.ADMISSION_REFUSED,
        refused('error looking up service account video/worker: serviceaccount "worker" not found'),
    ),
    (
        Finding.ADMISSION_REFUSED,
        replace(JOB, refusal='Error creating: admission webhook "p.example" denied the request: no'),
    ),
    (Finding.NO_POD, JOB),
    (Finding.IMAGE_PULL, waiting("ImagePullBackOff", PULLING)),
    (Finding.IMAGE_PULL, waiting("ErrImagePull", "failed to resolve reference: 401 Unauthorized")),
    (Finding.IMAGE_PULL, waiting("ErrImageNeverPull", 'Container image "w" is not present with pull policy of Never')),
    (
        Finding.IMAGE_PULL,
        waiting("InvalidImageName", 'Failed to apply default image tag "W:W:W": invalid reference format'),
    ),
    (Finding.CONFIGURATION_ERROR, waiting("CreateContainerConfigError", 'secret "vidette-1-a1" not found')),
    (
        Finding.CONFIGURATION_ERROR,
        waiting("CreateContainerError", "container has runAsNonRoot and image will run as root"),
    ),
    (
        Finding.CONFIGURATION_ERROR,
        ended(128, "StartError", 'exec: "vidette-worker": executable file not found in $PATH'),
    ),
    (Finding.CONFIGURATION_ERROR, ended(78, message="VIDETTE_TRITON_URL: Field required")),
    (
        Finding.NO_GPU,
        unplaced("0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available."),
    ),
    (
        Finding.NO_GPU,
        unplaced("0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient amd.com/gpu."),
    ),
    (Finding.NO_GPU, unplaced("0/1 nodes are available: 1 Insufficient nvidia.com/mig-1g.10gb.")),
    (Finding.NO_ROOM, unplaced("0/2 nodes are available: 1 Insufficient cpu, 2 Insufficient memory.")),
    (Finding.NO_ROOM, unplaced("0/1 nodes are available: 1 Too many pods.")),
    (Finding.NO_NODE, unplaced("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.")),
    (Finding.NO_NODE, unplaced("0/1 nodes are available: 1 node(s) were unschedulable.")),
    (Finding.NO_NODE, unplaced("no nodes available to schedule pods")),
    (Finding.TAINT, unplaced("0/1 nodes are available: 1 node(s) had untolerated taint {nvidia.com/gpu: present}.")),
    (Finding.UNSCHEDULABLE, unplaced('0/1 nodes are available: persistentvolumeclaim "cache" not found.')),
    (Finding.UNSCHEDULABLE, unplaced("Scheduling is blocked due to non-empty scheduling gates", "SchedulingGated")),
    (Finding.NO_ROOM, waiting("Unschedulable", "0/1 nodes are available: 1 Insufficient cpu.")),
    (Finding.SLOW_START, waiting("ContainerCreating")),
    (Finding.SLOW_START, waiting("")),
    (Finding.BAD_INPUT, ended(42, message="The video has no frame that can be decoded.", phase=LaunchPhase.FAILED)),
    (
        Finding.BAD_INPUT,
        failed("PodFailurePolicy", "Container worker for pod a/b failed with exit code 42 matching FailJob rule"),
    ),
    (Finding.OUT_OF_MEMORY, ended(137, "OOMKilled")),
    (Finding.OUT_OF_DISK, ended(143, "Evicted", 'Usage of EmptyDir volume "vidette-tmp" exceeds the limit "64Mi". ')),
    (Finding.OUT_OF_DISK, ended(143, "Evicted", 'Container worker exceeded its local ephemeral storage limit "1Gi". ')),
    (
        Finding.OUT_OF_DISK,
        ended(143, "Evicted", "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. "),
    ),
    (Finding.DEADLINE, ended(143, "DeadlineExceeded", "Pod was active on the node longer than the specified deadline")),
    (Finding.DEADLINE, failed("DeadlineExceeded", "Job was active longer than specified deadline")),
    (
        Finding.PREEMPTED,
        disrupted("PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod"),
    ),
    (
        Finding.PREEMPTED,
        disrupted("TerminationByKubelet", "Pod was preempted by Kubelet to accommodate a critical pod."),
    ),
    (Finding.DRAINED, disrupted("EvictionByEvictionAPI", "Eviction API: evicting")),
    (Finding.DRAINED, disrupted("EvictionByEvictionAPI", "Eviction API: evicting", exit_code=None)),
    (Finding.NODE_LOST, disrupted("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", None)),
    (Finding.NODE_LOST, disrupted("DeletionByPodGC", "PodGC: node no longer exists", 137)),
    (
        Finding.NODE_LOST,
        disrupted("TerminationByKubelet", "Pod was terminated in response to imminent node shutdown.", 143),
    ),
    (Finding.NODE_LOST, ended(143, "NodeShutdown", "Pod was rejected as the node is shutting down.")),
    (
        Finding.NODE_LOST,
        ended(137, "ContainerStatusUnknown", "The container could not be located when the pod was terminated"),
    ),
    (Finding.EVICTED, disrupted("TerminationByKubelet", LOW_MEMORY, 137)),
    (Finding.EVICTED, ended(143, "Evicted", LOW_MEMORY)),
    (
        Finding.REJECTED,
        ended(143, "OutOfcpu", "Node didn't have enough resource: cpu, requested: 1000, used: 0, capacity: 500"),
    ),
    (Finding.REJECTED, ended(143, "UnexpectedAdmissionError", "Allocate failed due to no healthy devices present")),
    (Finding.CRASHED, ended(139)),
    (Finding.CRASHED, ended(134)),
    (Finding.WAITED, ended(75, message="Triton was away for 300 s.")),
    (Finding.TOLD_TO_END, ended(143, message="SIGTERM: another worker goes on from the last committed chunk")),
    (Finding.KILLED, ended(137)),
    (Finding.FAILED, ended(1, message="A defect ended this worker (KeyError); its log says more.")),
    (Finding.GAVE_UP, failed("FailedIndexes", "Job has failed indexes")),
    (Finding.GAVE_UP, failed("BackoffLimitExceeded", "Job has reached the specified backoff limit")),
]


def of(launched: LaunchedJob) -> Diagnosis:
    found = diagnose(launched, NOW)
    assert found is not None
    return found


@pytest.mark.parametrize(("finding", "launched"), MET, ids=[f"{number} {each[0]}" for number, each in enumerate(MET)])
def test_what_kubernetes_says_comes_to_a_finding_with_a_sentence_and_a_remedy(
    finding: Finding, launched: LaunchedJob
) -> None:
    found = of(launched)
    assert found.finding is finding
    assert found.lasting is (EXPLANATIONS[finding].wait is not None)
    assert found.sentence.startswith(f"Pod {NEW.name} " if launched.pods else f"Job {JOB.name} ")
    assert found.cause in found.sentence
    assert "{" not in found.remedy.replace('{"spec":{"suspend":false}}', "")


def test_every_finding_is_met_and_has_a_remedy_with_something_to_look_at_or_nothing_to_do() -> None:
    assert {finding for finding, _ in MET} == set(Finding) == set(EXPLANATIONS)
    assert not [each for each, text in EXPLANATIONS.items() if "kubectl " not in text.remedy]
    assert not [each for each, text in EXPLANATIONS.items() if text.blameless and text.wait is not None]


def test_each_command_of_a_remedy_says_in_which_namespace_it_looks() -> None:
    of_no_namespace = re.compile("kubectl (describe|get) nodes")
    for launched in (replace(launched, namespace="team") for _, launched in MET):
        commands = re.findall(r"kubectl [^;:]*[^;:. ]", of(launched).remedy)
        assert all(" -n " in each or of_no_namespace.match(each) for each in commands), commands


def test_what_kubernetes_says_is_quoted() -> None:
    found = of(waiting("ImagePullBackOff", PULLING))
    assert found.sentence == (
        f"Pod {NEW.name} cannot start: the worker's image cannot be pulled. Kubernetes says: {PULLING}"
    )
    assert f"kubectl describe pod {NEW.name}." in found.remedy
    assert (found.severity, found.wait) == (Severity.WARNING, Wait.FOR_SOMEBODY)


def test_the_exit_code_of_a_pod_that_has_ended_is_told() -> None:
    assert of(ended(75)).sentence == (
        f"Pod {NEW.name} has ended with exit code 75: something it needs was away for longer than its patience."
    )


def test_whose_words_are_quoted_is_told() -> None:
    log = '{"event": "metrics"}\n{"event": "frame 7 is the last"}\n'
    assert of(ended(139, message=log)).sentence.endswith('The worker says: {"event": "frame 7 is the last"}')
    evicted = disrupted("TerminationByKubelet", LOW_MEMORY)
    (pod,) = evicted.pods
    evicted = replace(evicted, pods=(replace(pod, message="SIGTERM: another worker goes on"),))
    assert of(evicted).sentence.endswith(f"Kubernetes says: {LOW_MEMORY.strip()}")


@pytest.mark.parametrize(
    "launched",
    [
        replace(JOB, pods=(RAN,)),
        replace(JOB, pods=(Pod("pod-1"),)),
        replace(JOB, pods=(Pod("pod-1", 0),)),
        replace(JOB, created_at=NOW - timedelta(seconds=20)),
        replace(waiting("ContainerCreating"), pods=(replace(NEW, created_at=NOW - timedelta(seconds=20)),)),
        replace(ended(143), phase=LaunchPhase.SUCCEEDED),
    ],
    ids=["it runs", "nothing is told", "it is done", "no pod yet", "being made", "succeeded"],
)
def test_where_nothing_is_the_matter_nothing_is_said(launched: LaunchedJob) -> None:
    assert diagnose(launched, NOW) is None


def test_a_secret_that_is_a_moment_late_is_no_wrong_configuration() -> None:
    young = replace(
        NEW, created_at=NOW - timedelta(seconds=3), reason="CreateContainerConfigError", message="not found"
    )
    assert diagnose(replace(JOB, pods=(young,)), NOW) is None


def test_what_keeps_the_next_pod_waiting_comes_before_how_the_last_one_ended() -> None:
    drained = replace(disrupted("EvictionByEvictionAPI", "Eviction API: evicting").pods[0], name="old")
    (pod,) = unplaced("0/1 nodes are available: 1 node(s) were unschedulable.").pods
    assert of(replace(JOB, pods=(drained, pod))).finding is Finding.NO_NODE


def test_a_pod_that_is_evicted_while_it_waits_for_its_image_does_not_wait_any_more() -> None:
    (pod,) = waiting("ErrImagePull").pods
    evicted = replace(
        pod, conditions=(Condition("DisruptionTarget", True, "EvictionByEvictionAPI", "Eviction API: evicting"),)
    )
    assert of(replace(JOB, pods=(evicted,))).finding is Finding.DRAINED


def test_what_is_a_workers_own_comes_before_what_befell_another() -> None:
    told = replace(RAN, name="old", exit_code=143, created_at=NOW)
    own = replace(RAN, exit_code=1)
    assert of(replace(JOB, pods=(told, own))).sentence.startswith(f"Pod {NEW.name} ")


def test_of_pods_that_ended_alike_the_newest_is_named() -> None:
    pods = tuple(
        replace(RAN, name=name, exit_code=1, created_at=BEGUN + timedelta(minutes=n)) for n, name in enumerate("abc")
    )
    assert of(replace(JOB, pods=pods)).sentence.startswith("Pod c ")


@pytest.mark.parametrize(
    "said",
    [
        'Get "https://user:hunter2@store.example/vidette/sources/x?X-Amz-Signature=hunter2&X-Amz-Expires=600": EOF',
        "Authorization: Bearer hunter2",
        "postgresql+asyncpg://vidette:hunter2@db:5432/vidette is away",
        'config has "password": "hunter2" and password=hunter2 and VIDETTE_STORE_SECRET_KEY=hunter2',
        "token eyJhbGciOiJIUzI1NiJ9.hunter2.hunter2 refused",
    ],
)
def test_nothing_that_opens_a_door_is_quoted(said: str) -> None:
    found = of(ended(1, message=said))
    assert "hunter2" not in found.sentence
    assert "The worker says: " in found.sentence


def test_what_explains_is_quoted_whole() -> None:
    for said in ('secret "vidette-1-a1" not found', "couldn't find key VIDETTE_JOB_TOKEN in Secret video/vidette-1-a1"):
        assert quotable(said) == said
    assert quotable('Head "https://ghcr.example/v2/x/manifests/1": no such host\n') == (
        'Head "https://ghcr.example/v2/x/manifests/1": no such host'
    )


REASONS = st.sampled_from(
    sorted({text for _, job in MET for pod in job.pods for text in (pod.reason, *(c.reason for c in pod.conditions))})
)
WORDS = st.one_of(st.text(max_size=50), REASONS, st.text(min_size=500, max_size=5000))
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
CONDITIONS = st.builds(
    Condition,
    st.sampled_from(["PodScheduled", "DisruptionTarget", "Failed", "FailureTarget", "Suspended", "Ready"]),
    st.booleans(),
    WORDS,
    WORDS,
    st.none() | TIMES,
)
PODS = st.builds(
    Pod,
    st.text(max_size=300),
    st.none() | st.integers(-1, 300),
    st.none() | TIMES,
    st.none() | TIMES,
    WORDS,
    WORDS,
    st.lists(CONDITIONS, max_size=3).map(tuple),
)
JOBS = st.builds(
    LaunchedJob,
    st.text(max_size=300),
    st.text(),
    st.uuids(),
    st.integers(),
    st.text(),
    st.sampled_from(LaunchPhase),
    TIMES,
    st.lists(PODS, max_size=4).map(tuple),
    st.lists(CONDITIONS, max_size=3).map(tuple),
    WORDS,
    st.booleans(),
    st.booleans(),
)


@given(JOBS, TIMES)
def test_whatever_a_launcher_says_a_diagnosis_is_a_sentence_of_bounded_length_with_a_remedy(
    launched: LaunchedJob, now: datetime
) -> None:
    found = diagnose(launched, now)
    if found is not None:
        assert found.sentence.strip()
        assert found.cause.strip()
        assert found.remedy.strip()
        assert len(found.sentence) <= LONGEST_EVENT
        assert len(found.remedy) <= LONGEST_EVENT
        assert quotable(found.sentence)
        assert found == diagnose(launched, now)
