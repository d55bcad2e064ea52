"""The life of a release under Helm, with videos under way: an upgrade loses nothing, an uninstallation leaves what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.support.backing import Backing, merged
from tests.support.clips import numbered_clip
from tests.support.cluster import Cluster, CommandFailed
from tests.support.doors import Doors
from tests.support.helm import Values
from tests.support.installation import Installation, eventually, installed
from tests.support.service_images import ServiceImages
from tests.support.slow_upload import submitted_slowly
from tests.support.stacks import PIPELINE_ID, completed, numbers
from vidette.client import Client
from vidette.models import JobState

FRAMES = 240
ALL = [(index, index) for index in range(FRAMES)]
KINDS = (
    "deployments,replicasets,pods,jobs,services,configmaps,secrets,serviceaccounts,roles,rolebindings,"
    "networkpolicies,poddisruptionbudgets,horizontalpodautoscalers,ingresses,persistentvolumeclaims"
)


pytestmark = pytest.mark.own_cluster


@pytest.fixture(scope="module")
def release(
    cluster: Cluster, images: ServiceImages, backing: Backing, ways_out: Doors, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Of its own, since it does not outlive its tests, which are in order."""
    with installed(cluster, images, backing, ways_out, tmp_path_factory.mktemp("release")) as running:
        yield running


@pytest.fixture
def client(release: Installation) -> Iterator[Client]:
    with Client(release.url) as made:
        yield made


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES)


def image_of(release: Installation, deployment: str) -> str:
    spec = release.cluster.get("-n", release.namespace, "deployment", deployment)["spec"]["template"]["spec"]
    image: str = spec["containers"][0]["image"]
    return image


def with_new_values(release: Installation) -> Values:
    """And images of another name, as those of another version have."""
    values: dict[str, Any] = {"settings": {"VIDETTE_MAX_RUNNING": "7"}, "labels": {"upgraded": "yes"}}
    for part in ("api", "controller", "worker"):
        present = release.values[part]["image"]
        values[part] = {"image": present.rpartition(":")[0] + ":next"}
        release.cluster.command("images", "tag", present, values[part]["image"])
    return merged(merged(release.values, values), {"api": {"replicas": 2}})


def names(release: Installation) -> set[str]:
    """Everything in the namespace that is not Kubernetes' own."""
    found = release.kubectl("get", KINDS, "-o", "name").split()
    return {name for name in found if not name.endswith(("/default", "/kube-root-ca.crt"))}


def test_the_charts_own_test_finds_a_new_installation_right(release: Installation) -> None:
    told = release.helm.run("test", release.helm.release, "--logs", "--timeout=240s", limit_s=250)
    assert "deleted vidette-" in told
    assert "every frame is there once" in told
    assert not [
        name for name in names(release) if name.startswith(("role/", "rolebinding/")) and name.endswith("-test")
    ]


def test_an_upgrade_while_a_video_runs_and_another_is_uploaded_costs_no_frame(
    release: Installation, client: Client, clip: Path
) -> None:
    job_id = client.submit(clip, PIPELINE_ID)
    release.running_pod(job_id)
    (before,) = release.get("pods", "-l", "app.kubernetes.io/component=api")
    upgraded = Event()
    with ThreadPoolExecutor() as beside:
        upload = beside.submit(submitted_slowly, release.url, clip, lambda: not upgraded.is_set())
        try:
            release.helm.upgrade(with_new_values(release))
            leaving = release.cluster.get("-n", release.namespace, "pod", before["metadata"]["name"])
            assert "deletionTimestamp" in leaving["metadata"], "the old pod stays for the upload"
        finally:
            upgraded.set()
        uploaded = upload.result(timeout=60)
    assert uploaded is not None
    assert numbers(completed(client, uploaded)) == ALL
    told = release.cluster.get("-n", release.namespace, "configmap", "vidette-settings")["data"]
    assert told["VIDETTE_MAX_RUNNING"] == "7"
    assert image_of(release, "vidette-api").endswith(":next")
    assert len(release.get("pods", "-l", "app.kubernetes.io/component=api")) >= 2
    assert numbers(completed(client, job_id)) == ALL
    assert not [job for job in release.get("jobs") if job["metadata"]["name"].endswith("-migrations")], (
        "the hook is gone"
    )


@pytest.mark.parametrize(
    "mistake",
    [{"api": {"image": "registry.invalid/vidette-api:typo"}}, {"store": {"endpoint": "http://127.0.0.1:9"}}],
    ids=["an image that does not come", "a store that does not answer"],
)
def test_an_upgrade_with_a_mistake_leaves_the_old_version_at_work(
    release: Installation, client: Client, clip: Path, mistake: Values
) -> None:
    broken = merged(with_new_values(release), mistake)
    job_id = client.submit(clip, PIPELINE_ID)
    with pytest.raises(CommandFailed):
        release.helm.upgrade(merged(broken, {"migrations": {"enabled": False}}), limit_s=10)
    assert client.status(job_id).status in (JobState.RUNNING, JobState.COMPLETED)
    release.helm.run("rollback", release.helm.release, "2", "--wait", "--timeout=90s", limit_s=100)
    assert image_of(release, "vidette-api").endswith(":next")
    assert numbers(completed(client, job_id)) == ALL


def test_a_rollback_brings_the_first_values_back_while_a_video_runs(
    release: Installation, client: Client, clip: Path
) -> None:
    job_id = client.submit(clip, PIPELINE_ID)
    release.running_pod(job_id)
    release.helm.run("rollback", release.helm.release, "1", "--wait", "--timeout=90s", limit_s=100)
    told = release.cluster.get("-n", release.namespace, "configmap", "vidette-settings")["data"]
    assert "VIDETTE_MAX_RUNNING" not in told
    assert numbers(completed(client, job_id)) == ALL


def test_another_key_for_tokens_costs_a_running_video_an_attempt_and_no_frame(
    release: Installation, client: Client, tmp_path: Path
) -> None:
    """What workers were given before counts no more: they end, and the next attempt's have tokens of the new key."""
    frames = 2000
    job_id = client.submit(numbered_clip(tmp_path, frames), PIPELINE_ID)
    release.running_pod(job_id)
    new = json.dumps({"stringData": {"token-secret": "of-the-tests-" + "new" * 12}})
    release.kubectl("patch", "secret", "vidette", "-p", new)
    deployments = ("deployment/vidette-api", "deployment/vidette-controller")
    release.kubectl("rollout", "restart", *deployments)
    for deployment in deployments:
        release.kubectl("rollout", "status", deployment, "--timeout=60s", limit_s=70)
    assert numbers(completed(client, job_id)) == [(index, index) for index in range(frames)]
    assert f"vidette-{job_id}-a2" in release.jobs_given_pods(job_id)


def test_an_uninstallation_takes_running_jobs_along_and_the_next_installation_ends_them(
    release: Installation, client: Client, clip: Path
) -> None:
    job_id = client.submit(clip, PIPELINE_ID)
    release.running_pod(job_id)
    release.helm.run("uninstall", release.helm.release, "--wait", "--timeout=90s", limit_s=100)
    # The pod of `helm test` stays for its log.
    left = {"secret/vidette", "configmap/vidette-catalog", "pod/vidette-test"}
    eventually(lambda: names(release) == left, "what is left are the user's own Secret and ConfigMap")
    release.helm.install(release.values, limit_s=90)
    address = release.cluster.get("-n", release.namespace, "service", "vidette-api")["spec"]["clusterIP"]
    with Client(f"http://{address}") as after:
        assert numbers(completed(after, job_id)) == ALL
