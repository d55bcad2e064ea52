"""What is kept of Jobs and pods, and what the launcher port is told of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.scripted_kube import job
from vidette_core.adapters.kube.projection import PodView, job_view, launched_job, pod_view
from vidette_core.ports.launcher import LaunchPhase

STARTED = "2026-01-01T00:00:05Z"


def pod(
    status: dict[str, Any], name: str = "p", job_uid: str = "uid-1", created: str = "2026-01-01T00:00:01Z"
) -> PodView:
    labels = {"batch.kubernetes.io/job-name": "vidette-1", "batch.kubernetes.io/controller-uid": job_uid}
    metadata = {"uid": f"uid-of-{name}", "name": name, "labels": labels, "creationTimestamp": created}
    view = pod_view({"metadata": metadata, "status": status})
    assert view is not None
    return view


def worker(state: dict[str, Any], **status: Any) -> dict[str, Any]:
    beside = {"name": "mesh", "state": {"terminated": {"exitCode": 9, "reason": "Error"}}}
    return {"containerStatuses": [beside, {"name": "worker", "state": state}], **status}


@pytest.mark.parametrize(
    ("status", "exit_code", "reason"),
    [
        ({"phase": "Pending"}, None, ""),
        (worker({"waiting": {"reason": "ErrImagePull", "message": "no such image"}}), None, "ErrImagePull"),
        (worker({"running": {"startedAt": STARTED}}, phase="Running"), None, ""),
        (worker({"terminated": {"exitCode": 42, "reason": "Error"}}, phase="Failed"), 42, "Error"),
        (worker({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, phase="Failed"), 137, "OOMKilled"),
        (worker({"terminated": {"exitCode": 0, "reason": "Completed"}}, phase="Succeeded"), 0, "Completed"),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, 143, "Evicted"),
        (
            worker({"terminated": {"exitCode": 137, "reason": "Error"}}, phase="Failed", reason="NodeLost"),
            137,
            "NodeLost",
        ),
    ],
)
def test_a_pod_tells_how_it_ended_and_why(status: dict[str, Any], exit_code: int | None, reason: str) -> None:
    seen = pod(status).pod
    assert (seen.exit_code, seen.reason) == (exit_code, reason)


def test_a_container_that_could_not_be_started_has_not_started() -> None:
    ended = {"exitCode": 128, "reason": "StartError", "startedAt": "1970-01-01T00:00:00Z"}
    assert pod(worker({"terminated": ended}, phase="Failed")).pod.started_at is None


def test_a_drained_pod_is_disrupted() -> None:
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    assert pod({"phase": "Failed", "conditions": [condition]}).pod.disrupted


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], LaunchPhase.RUNNING),
        ([{"type": "FailureTarget", "status": "True"}], LaunchPhase.RUNNING),
        ([{"type": "Failed", "status": "False"}], LaunchPhase.RUNNING),
        ([{"type": "FailureTarget", "status": "True"}, {"type": "Failed", "status": "True"}], LaunchPhase.FAILED),
        ([{"type": "Complete", "status": "True"}], LaunchPhase.SUCCEEDED),
    ],
)
def test_only_conditions_end_a_job(conditions: list[dict[str, str]], expected: LaunchPhase) -> None:
    view = job_view(job(1) | {"status": {"conditions": conditions}})
    assert view is not None
    assert launched_job(view, [pod(worker({"running": {"startedAt": STARTED}}))]).phase is expected


def test_a_job_none_of_whose_pods_has_started_is_pending() -> None:
    view = job_view(job(1))
    assert view is not None
    assert launched_job(view, [pod({"phase": "Pending"})]).phase is LaunchPhase.PENDING


def test_pods_come_oldest_first_and_those_of_an_earlier_job_of_the_name_not_at_all() -> None:
    view = job_view(job(1))
    assert view is not None
    late, early = pod({}, "a", created="2026-01-01T00:00:09Z"), pod({}, "b", created="2026-01-01T00:00:02")
    launched = launched_job(view, [late, early, pod({}, "c", job_uid="an earlier one")])
    assert [seen.name for seen in launched.pods] == ["b", "a"]


@pytest.mark.parametrize("labels", [{}, None, "x", {"vidette.dev/job-id": "no uuid", "vidette.dev/attempt": "1"}])
def test_a_job_whose_labels_cannot_be_read_is_not_ours(labels: Any) -> None:
    raw = job(1)
    raw["metadata"]["labels"] = labels
    assert job_view(raw) is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["conditions", "containerStatuses", "name", "state", "terminated", "exitCode", "startedAt", "type"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(anything, anything)
def test_no_status_is_too_strange_to_be_read(status: Any, spec: Any) -> None:
    strange = job(1) | {"status": status, "spec": spec}
    view = job_view(strange)
    assert view is not None
    pods = [pod(status)] if isinstance(status, dict) else []
    assert launched_job(view, pods).name == "vidette-1"


def test_a_job_with_a_ttl_is_retired_only_once_it_has_ended() -> None:
    """A policy of the cluster's may give every Job one from its birth."""
    raw = job(1)
    raw["spec"] = {"ttlSecondsAfterFinished": 60}
    running = job_view(raw)
    raw["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}
    ended = job_view(raw)
    assert running is not None
    assert ended is not None
    assert [launched_job(view, ()).retired for view in (running, ended)] == [False, True]
