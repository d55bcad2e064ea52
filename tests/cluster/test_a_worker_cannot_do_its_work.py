"""A worker that cannot start, or can only fail: the job waits or fails with the reason, and nothing is retried in vain."""

from __future__ import annotations

import re
import time
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.backing import merged
from tests.support.clips import numbered_clip
from tests.support.helm import Values
from tests.support.installation import Installation, eventually
from tests.support.operators_guide import followed
from tests.support.stacks import PIPELINE_ID, completed, numbers
from vidette.client import Client
from vidette.models import JobState
from vidette_core.adapters.kube.names import JOB_ID
from vidette_core.domain.errors import ErrorCode

FRAMES = 40
IMPATIENT = {"VIDETTE_START_PATIENCE_S": "4", "VIDETTE_REFUSED_START_PATIENCE_S": "4"}
PULLED_FROM_NOWHERE = "registry.invalid/worker:typo"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES)


def with_memory(limit: str) -> Values:
    return {"worker": {"resources": {"limits": {"memory": limit}, "requests": {"memory": limit}}}}


def on_nodes(label: str) -> Values:
    return {"worker": {"nodeSelector": {label: "yes"}}}


WITH_AN_UNKNOWN_IMAGE = {"worker": {"image": PULLED_FROM_NOWHERE}}
WITH_A_MISSING_KEY = {
    "worker": {
        "extraEnv": [{"name": "ABSENT", "valueFrom": {"configMapKeyRef": {"name": "nobody-made-it", "key": "k"}}}]
    }
}
WITH_NO_TRITON = {"triton": {"external": {"address": "vidette-triton.invalid:8001"}}}
WITH_A_FOLDER_OF_THE_NODE = {"worker": {"extraVolumes": [{"name": "node", "hostPath": {"path": "/"}}]}}


def told(vidette: Installation, job_id: UUID, reason: str) -> str:
    """The controller's Event on the first attempt, once it is there."""
    job = f"vidette-{job_id}-a1"
    return eventually(
        lambda: next((said for said in vidette.events("Job", job) if said.startswith(f"{reason}: ")), None),
        f"{reason} told on the Job",
    )


def failed(through: Client, job_id: UUID) -> tuple[str, str]:
    """Code and sentence of a job that has to fail."""
    status = through.wait(job_id, timeout=90)
    assert status.status is JobState.FAILED
    assert status.error is not None
    return status.error.code, status.error.message


def attempts_made(vidette: Installation, job_id: UUID) -> int:
    """By what Kubernetes has told of its Jobs, which it remembers for an hour whether they are still there or not."""
    told = (event["involvedObject"]["name"] for event in vidette.get("events"))
    return max(int(name.rpartition("-a")[2]) for name in told if re.fullmatch(rf"vidette-{job_id}-a\d+", name))


def test_a_worker_that_runs_out_of_memory_gets_more_once(vidette: Installation, through: Client, clip: Path) -> None:
    with vidette.changed(merged(with_memory("48Mi"), {"worker": {"memoryRetry": "2Gi"}})):
        job_id = through.submit(clip, PIPELINE_ID)
        assert numbers(completed(through, job_id)) == [(index, index) for index in range(FRAMES)]
        assert attempts_made(vidette, job_id) == 2
        shown = followed("A worker ran out of memory or disk", vidette, job_id)
    assert "took more memory than its limit" in shown
    assert "48Mi" in shown


def test_a_worker_that_runs_out_of_memory_fails_the_job_where_there_is_no_more(
    vidette: Installation, through: Client, clip: Path
) -> None:
    with vidette.changed(with_memory("48Mi")):
        job_id = through.submit(clip, PIPELINE_ID)
        code, sentence = failed(through, job_id)
    assert code == ErrorCode.OUT_OF_MEMORY
    assert "memory" in sentence
    assert attempts_made(vidette, job_id) == 1


def test_an_image_that_cannot_be_pulled_fails_the_job_after_the_patience_for_it(
    vidette: Installation, through: Client, clip: Path
) -> None:
    with vidette.changed(WITH_AN_UNKNOWN_IMAGE, **IMPATIENT):
        job_id = through.submit(clip, PIPELINE_ID)
        code, sentence = failed(through, job_id)
    assert code == ErrorCode.WORKER_UNAVAILABLE
    assert "image" in sentence
    assert "registry.invalid" not in sentence, (
        "a client has no use for it; the operator finds it in the log and on the Job"
    )


def test_a_pod_that_fits_no_node_fails_the_job_after_the_patience_for_it(
    vidette: Installation, through: Client, clip: Path
) -> None:
    with vidette.changed(on_nodes("vidette.test/nowhere"), **IMPATIENT):
        code, _ = failed(through, through.submit(clip, PIPELINE_ID))
    assert code == ErrorCode.WORKER_UNAVAILABLE


def test_a_pod_that_fits_no_node_yet_runs_as_soon_as_there_is_one(
    vidette: Installation, through: Client, clip: Path
) -> None:
    label = "vidette.test/late"
    node = vidette.cluster.get("nodes")["items"][0]["metadata"]["name"]
    with vidette.changed(on_nodes(label)):
        job_id = through.submit(clip, PIPELINE_ID)
        assert "kubectl describe pod" in told(vidette, job_id, "NoNode")
        shown = followed("No pod can be placed", vidette, job_id)
        assert "didn't match Pod's node affinity/selector" in shown
        vidette.cluster.kubectl("label", "node", node, f"{label}=yes")
        try:
            assert numbers(completed(through, job_id)) == [(index, index) for index in range(FRAMES)]
        finally:
            vidette.cluster.kubectl("label", "node", node, f"{label}-")
    assert attempts_made(vidette, job_id) == 1


@pytest.mark.parametrize(
    ("change", "reason", "section", "shown"),
    [
        (WITH_AN_UNKNOWN_IMAGE, "ImagePull", "The image cannot be pulled", PULLED_FROM_NOWHERE),
        (WITH_A_MISSING_KEY, "ConfigurationError", "A worker's configuration is wrong", "nobody-made-it"),
        (WITH_A_FOLDER_OF_THE_NODE, "AdmissionRefused", "A policy refuses the pod", "hostPath"),
    ],
)
def test_a_template_that_no_pod_can_start_from_is_told_and_after_its_mending_the_next_attempt_goes_on(
    vidette: Installation,
    through: Client,
    clip: Path,
    change: Values,
    reason: str,
    section: str,
    shown: str,
) -> None:
    with vidette.changed(change):
        job_id = through.submit(clip, PIPELINE_ID)
        told(vidette, job_id, reason)
        assert shown in followed(section, vidette, job_id)
    assert attempts_made(vidette, job_id) == 1, "the next would wait for the same"
    followed("The worker template was mended", vidette, job_id)
    assert numbers(completed(through, job_id)) == [(index, index) for index in range(FRAMES)]


def test_a_cluster_that_takes_no_jobs_is_asked_seldom_and_the_video_runs_once_it_does(
    vidette: Installation, through: Client, clip: Path
) -> None:
    with vidette.quota("count/jobs.batch", 0):
        job_id = through.submit(clip, PIPELINE_ID)

        def refusals() -> list[str]:
            log = vidette.kubectl("logs", "deployment/vidette-controller", "--tail=-1")
            return [line for line in log.splitlines() if str(job_id) in line and "the launch is refused" in line]

        eventually(refusals, "the refusal in the log")
        time.sleep(5)
        assert len(refusals()) <= 4, "after one, two and four seconds, and not in each round"
        assert through.status(job_id).status is JobState.RUNNING
    assert numbers(completed(through, job_id)) == [(index, index) for index in range(FRAMES)]


def test_a_job_that_somebody_suspended_goes_on_when_it_is_resumed(
    vidette: Installation, through: Client, clip: Path
) -> None:
    job_id = through.submit(clip, PIPELINE_ID)
    eventually(lambda: vidette.jobs(job_id), "a Job")
    vidette.kubectl("patch", "job", f"vidette-{job_id}-a1", "-p", '{"spec":{"suspend":true}}')
    told(vidette, job_id, "Suspended")
    assert "true" in followed("Its Job is suspended", vidette, job_id)
    assert numbers(completed(through, job_id)) == [(index, index) for index in range(FRAMES)]
    assert attempts_made(vidette, job_id) == 1


def test_a_quota_that_is_reached_holds_the_job_until_there_is_room(
    vidette: Installation, through: Client, clip: Path
) -> None:
    with vidette.quota("pods", 1):
        job_id = through.submit(clip, PIPELINE_ID)
        told(vidette, job_id, "Quota")
        assert "full" in followed("The quota is used up", vidette, job_id)
        assert not vidette.pods(job_id)
        assert through.status(job_id).status is JobState.RUNNING
    assert numbers(completed(through, job_id)) == [(index, index) for index in range(FRAMES)]
    assert attempts_made(vidette, job_id) == 1


def test_a_worker_for_whom_triton_is_away_ends_with_75_and_the_job_waits(
    vidette: Installation, through: Client, clip: Path
) -> None:
    with vidette.changed(WITH_NO_TRITON, VIDETTE_PATIENCE_S="2"):
        job_id = through.submit(clip, PIPELINE_ID)
        told(vidette, job_id, "Waited")
        assert "triton" in followed("Something that workers need is away", vidette, job_id).lower()
        assert through.status(job_id).status is JobState.RUNNING
    vidette.kubectl("delete", "jobs", "-l", f"{JOB_ID}={job_id}")
    assert numbers(completed(through, job_id)) == [(index, index) for index in range(FRAMES)]


def test_a_video_that_cannot_be_decoded_is_tried_by_one_pod_only(
    vidette: Installation, through: Client, clip: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:200])
    job_id = through.submit(broken, PIPELINE_ID)
    code, _ = failed(through, job_id)
    assert code == ErrorCode.INVALID_VIDEO
    assert attempts_made(vidette, job_id) == 1
    assert len(vidette.pods(job_id)) == 1
    assert '"exitCode":42' in followed("The video is at fault", vidette, job_id)
