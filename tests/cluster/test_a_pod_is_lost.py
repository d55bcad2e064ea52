"""A worker's pod goes, in each of the ways in which pods go: the job completes, each frame exactly once."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.support.clips import numbered_clip
from tests.support.cluster import CommandFailed
from tests.support.installation import Installation, eventually
from tests.support.operators_guide import followed
from tests.support.stacks import PIPELINE_ID, completed, numbers, progress_between, until
from vidette.client import Client
from vidette_core.domain.worker_api import WorkerExit

FRAMES = 900

CHUNK = 20
_FRAMES = "vidette_worker_frames_total{"
UNDER_WAY = progress_between(0.05, 0.8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES)


@pytest.fixture
def job(through: Client, clip: Path) -> Iterator[UUID]:
    """A job under way; it has to complete after what the test did to it."""
    job_id = through.submit(clip, PIPELINE_ID)
    until(through, job_id, UNDER_WAY)
    yield job_id
    assert numbers(completed(through, job_id)) == [(index, index) for index in range(FRAMES)]


def attempts(vidette: Installation, job_id: UUID) -> set[str]:
    return {job["metadata"]["labels"]["vidette.dev/attempt"] for job in vidette.jobs(job_id)}


def test_a_pod_is_deleted(vidette: Installation, job: UUID) -> None:
    pod = vidette.running_pod(job)
    vidette.kubectl("delete", "pod", pod)
    assert vidette.running_pod(job, other_than=pod)
    assert attempts(vidette, job) == {"1"}, "the Job itself brings another pod"


@pytest.mark.own_cluster
def test_a_container_is_killed_with_signal_9(vidette: Installation, job: UUID) -> None:
    pod = vidette.running_pod(job)
    vidette.kill_worker(pod)
    assert vidette.running_pod(job, other_than=pod)
    shown = followed("A worker fails", vidette, job)
    assert re.search(rf"^{pod} +137$", shown, re.MULTILINE), shown


def test_a_pod_is_evicted(vidette: Installation, job: UUID) -> None:
    pod = vidette.running_pod(job)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    path = f"/api/v1/namespaces/{vidette.namespace}/pods/{pod}/eviction"
    vidette.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    assert vidette.running_pod(job, other_than=pod)
    (failed,) = vidette.jobs(job)
    assert failed["status"].get("failedIndexes", "") == "", "a disruption is not counted against the job"
    eventually(
        lambda: [told for told in vidette.events("Job", f"vidette-{job}-a1") if "Drained" in told], "the eviction told"
    )
    shown = followed("Pods go: evicted, drained, deleted, their node lost", vidette, job)
    assert "it was evicted through the API" in shown


@pytest.mark.own_cluster
def test_a_node_is_drained(vidette: Installation, job: UUID) -> None:
    """Of everything, api and controller too; there is one node, so all wait until it may be used again."""
    pod = vidette.running_pod(job)
    node = vidette.get("pods", "--field-selector", f"metadata.name={pod}")[0]["spec"]["nodeName"]
    options = ["--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=90s"]
    try:
        vidette.cluster.kubectl("drain", node, *options, limit_s=100)
        assert not [each for each in vidette.pods(job) if each["status"]["phase"] == "Running"]
    finally:
        vidette.cluster.kubectl("uncordon", node)
    assert vidette.running_pod(job, other_than=pod)
    vidette.kubectl("rollout", "status", "deployment/vidette-api", "--timeout=60s", limit_s=70)


def test_a_job_is_deleted_by_hand(vidette: Installation, job: UUID) -> None:
    vidette.kubectl("delete", "job", f"vidette-{job}-a1")
    eventually(lambda: attempts(vidette, job) == {"2"}, "a second attempt")


def test_a_pod_told_to_end_does_so_in_time_and_costs_one_chunk_at_most(
    vidette: Installation, job: UUID, tmp_path: Path
) -> None:
    first = vidette.running_pod(job)
    with watched(vidette, tmp_path / "pods") as pods:
        analysed = frames_of(vidette, first)
        vidette.kubectl("delete", "pod", first, "--wait=false")
        while (now := frames_of(vidette, first)) > 0:
            analysed = now
        second = vidette.running_pod(job, other_than=first)
        (end,) = eventually(lambda: ends(pods, first), "the end of the first pod", 20)
    assert end["exitCode"] == WorkerExit.TERMINATED
    assert end["message"].startswith("SIGTERM: another worker goes on")
    assert claimed_from(vidette, second) >= analysed - CHUNK > 0


def frames_of(vidette: Installation, pod: str) -> int:
    """How many the worker says that it has analysed; 0 when it answers no more."""
    path = f"/api/v1/namespaces/{vidette.namespace}/pods/{pod}:8003/proxy/metrics"
    try:
        metrics = vidette.kubectl("get", "--raw", path)
    except CommandFailed:
        return 0
    return sum(int(float(line.split()[-1])) for line in metrics.splitlines() if line.startswith(_FRAMES))


def claimed_from(vidette: Installation, pod: str) -> int:
    """The sample with which a worker began, by its log."""
    log = eventually(
        lambda: [line for line in vidette.kubectl("logs", pod).splitlines() if "claimed" in line], "a claim"
    )
    return int(json.loads(log[0])["next_sample"])


@contextmanager
def watched(vidette: Installation, file: Path) -> Iterator[Path]:
    """Every state that a pod is in meanwhile, as `kubectl get --watch` writes it."""
    cluster = vidette.cluster
    told = [str(cluster.program), f"--kubeconfig={cluster.kubeconfig}", "-n", vidette.namespace]
    with file.open("wb") as output:
        process = subprocess.Popen([*told, "get", "pods", "--watch", "-o", "json"], stdout=output)
        try:
            eventually(lambda: file.stat().st_size > 0, "the first pod that is watched")
            yield file
        finally:
            process.terminate()
            process.wait(10)


def ends(file: Path, pod: str) -> list[dict[str, Any]]:
    """How the pod's container ended, if it was seen."""
    text, decoder = file.read_text(), json.JSONDecoder()
    found: list[dict[str, Any]] = []
    while text:
        try:
            value, length = decoder.raw_decode(text)
        except json.JSONDecodeError:
            break  # still being written
        text = text[length:].lstrip()
        if value["metadata"]["name"] == pod:
            states = (status["state"] for status in value["status"].get("containerStatuses", ()))
            found += [state["terminated"] for state in states if "terminated" in state]
    return found[:1]
