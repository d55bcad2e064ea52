"""What `make kind-up` installs, on the tests' own cluster: the manifests of deploy/kind as they are, the chart with its values.

Two things are not kind's. Servers out of wheels stand in for the three upstream images, by the upstream names, since no registry
can be reached; and folders of this machine are the disks that kind would make for the claims.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cluster import REPOSITORY, Cluster, CommandFailed
from tests.support.helm import CHART, Helm, Manifest, manifests, rendered
from tests.support.installation import RESTRICTED
from tests.support.service_images import ServiceImages, give_names, give_standins
from tests.support.stacks import completed
from tests.support.tilt import WRAPPER, evaluated, lies_in
from vidette.client import Client

pytestmark = [pytest.mark.own_cluster, pytest.mark.timeout(1200)]
KIND = REPOSITORY / "deploy" / "kind"
VALUES = KIND / "values.yaml"
NAMESPACE = "vidette"
SAMPLE = REPOSITORY / "libs" / "models" / "vidette_models" / "demo" / "sample.mp4"
FRAMES, STRIDE = 100, 25
START_S = 400.0


def backing(cluster: Cluster) -> list[Manifest]:
    return manifests(cluster.kubectl("kustomize", str(KIND / "backing")))


def images_of(backing: list[Manifest]) -> set[str]:
    pods = [entry["spec"]["template"]["spec"] for entry in backing if "template" in entry.get("spec", {})]
    return {container["image"] for pod in pods for container in pod["containers"]}


def disk(claim: str, folder: Path) -> Manifest:
    """A volume that this claim gets and no other; the pods' users are not this machine's."""
    folder.mkdir()
    folder.chmod(0o777)
    spec: dict[str, Any] = {
        "capacity": {"storage": "20Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": NAMESPACE, "name": claim},
        "hostPath": {"path": str(folder)},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"kind-{claim}"}, "spec": spec}


def claims(backing: list[Manifest]) -> list[str]:
    sets = [entry for entry in backing if entry["kind"] == "StatefulSet"]
    return [
        f"{claim['metadata']['name']}-{entry['metadata']['name']}-0"
        for entry in sets
        for claim in entry["spec"]["volumeClaimTemplates"]
    ]


@contextmanager
def restricted_namespace(cluster: Cluster) -> Iterator[None]:
    """Made before the manifests come, which only add to it."""
    metadata = {"name": NAMESPACE, "labels": RESTRICTED}
    cluster.kubectl(
        "create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    )
    try:
        yield
    finally:
        cluster.kubectl("-n", NAMESPACE, "delete", "deployments,statefulsets,jobs", "--all", "--wait=false")
        cluster.kubectl("-n", NAMESPACE, "delete", "pods", "--all", "--grace-period=1", "--wait=false")
        cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=150s", limit_s=160)


@contextmanager
def told_why(cluster: Cluster) -> Iterator[None]:
    try:
        yield
    except CommandFailed as error:
        raise AssertionError(f"{error}\n{cluster.kubectl('-n', NAMESPACE, 'describe', 'pods')}") from error


@pytest.fixture(scope="module")
def url(cluster: Cluster, images: ServiceImages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of the api, through the port of the node that kind gives to the laptop."""
    servers, folder = backing(cluster), tmp_path_factory.mktemp("disks")
    disks = [disk(claim, folder / claim) for claim in claims(servers)]
    values = yaml.safe_load(VALUES.read_text())
    give_names(cluster, images, f"docker.io/{values['image']['registry']}", values["image"]["tag"])
    give_standins(cluster, {image for image in images_of(servers) if image.startswith("docker.io/")})
    cluster.apply(*disks)
    try:
        with restricted_namespace(cluster), told_why(cluster):
            cluster.kubectl("apply", "-k", str(KIND / "backing"))
            for kind, name in ((entry["kind"], entry["metadata"]["name"]) for entry in servers):
                if kind in ("Deployment", "StatefulSet"):
                    started = ("rollout", "status", f"{kind.lower()}/{name}", "--timeout=180s")
                    cluster.kubectl("-n", NAMESPACE, *started, limit_s=190)
            done = ("--for=condition=Complete", "job/bucket", "--timeout=180s")
            cluster.kubectl("-n", NAMESPACE, "wait", *done, limit_s=190)
            waiting = ("--wait", f"--timeout={START_S:g}s")
            helm = Helm(cluster, NAMESPACE)
            helm.run("install", "vidette", str(CHART), "--values", str(VALUES), *waiting, limit_s=START_S + 20)
            yield f"http://{cluster.status()['node_address']}:{values['api']['service']['nodePort']}"
    finally:
        cluster.kubectl("delete", "persistentvolume", *(entry["metadata"]["name"] for entry in disks), "--wait=false")


def test_the_sample_is_analysed_through_the_port_of_the_node(url: str) -> None:
    with Client(url) as client:
        job_id = client.submit(SAMPLE, "yolo_ocr", STRIDE)
        rows = completed(client, job_id)
    assert [row.frame_index for row in rows] == list(range(0, FRAMES, STRIDE))
    assert any(row.result.detections for row in rows)


def test_all_of_it_runs_where_only_restricted_pods_may_and_nothing_was_started_twice(
    url: str, cluster: Cluster
) -> None:
    assert url
    labels = cluster.get("namespace", NAMESPACE)["metadata"]["labels"]
    assert labels == {**labels, **RESTRICTED}
    pods = cluster.get("-n", NAMESPACE, "pods")["items"]
    statuses = [status for pod in pods for status in pod["status"]["containerStatuses"]]
    running = {status["name"] for status in statuses if "running" in status["state"]}
    assert running >= {"postgres", "nats", "seaweedfs", "api", "controller", "triton"}
    assert {status["name"]: status["restartCount"] for status in statuses if status["restartCount"]} == {}


def test_tilt_adapts_what_helm_and_kustomize_really_render(cluster: Cluster) -> None:
    charts = {"deploy/kind/backing": backing(cluster), "charts/vidette": rendered(cluster, VALUES)}
    tilt = evaluated(REPOSITORY / "Tiltfile", charts)
    wrapped = [container for container in tilt.containers() if WRAPPER in container.command]
    assert {(each.kind, each.workload) for each in wrapped} == {
        ("Deployment", "vidette-api"),
        ("Deployment", "vidette-controller"),
    }
    for each in wrapped:
        (build,) = [build for build in tilt.builds if build.ref == each.image]
        assert not any(lies_in(build.restart_file, mount["mountPath"]) for mount in each.spec["volumeMounts"])
        user = each.pod["securityContext"]
        assert build.build_args["OWNER"] == f"{user['runAsUser']}:{user['runAsGroup']}"
        assert each.spec["securityContext"]["readOnlyRootFilesystem"] is False
    assert {each.image for each in tilt.containers() if each.kind == "Job"} == {"vidette/vidette-api-once"}
