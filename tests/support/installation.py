"""Vidette in a cluster: api, controller and workers as pods of `deploy/dev`, in a namespace that admits restricted pods only.

PostgreSQL, NATS and the S3 store are servers of the test on this machine, Triton is the embedded stack's, so that both ways of
running analyse with one and the same server. Pods reach them through doors.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psutil
import yaml

from tests.support.cluster import REPOSITORY, Cluster, CommandFailed
from tests.support.doors import Doors
from tests.support.port_forward import answers, forwarded
from tests.support.servers import NatsServer, PostgresServer, StoreEndpoint, part_environment
from tests.support.service_images import ServiceImages
from tests.support.stacks import HASTE, free_port
from vidette_core.adapters.kube.names import JOB_ID

DEV = REPOSITORY / "deploy" / "dev"
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
START_S = 90.0
Found = TypeVar("Found")
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Backing:
    """The servers that an installation needs, as this machine knows them. `catalog`: the models that this Triton serves."""

    postgres: PostgresServer
    database: str = field(repr=False)  # its URL
    nats: NatsServer
    store: StoreEndpoint
    triton: str
    catalog: Path

    def seen_through(self, doors: Doors) -> tuple[dict[str, str], dict[str, str]]:
        """What everybody may know of them, and what nobody may, as the pods have to be told it."""

        def through(url: str) -> str:
            address = url.partition("://")[2].rpartition("@")[2].partition("/")[0]
            return url.replace(address, doors.to(address))

        settings = {
            "VIDETTE_STORE_ENDPOINT": through(self.store.endpoint),
            "VIDETTE_STORE_BUCKET": self.store.bucket,
            "VIDETTE_STORE_REGION": self.store.region,
            "VIDETTE_TRITON_URL": doors.to(self.triton),
        }
        secrets = {
            "VIDETTE_DATABASE_URL": through(self.database),
            "VIDETTE_STORE_ACCESS_KEY": self.store.access_key,
            "VIDETTE_STORE_SECRET_KEY": self.store.secret_key,
            "VIDETTE_NATS_URL": through(self.nats.url),
            "VIDETTE_TOKEN_SECRET": "of-the-tests-" + uuid4().hex,
        }
        return settings, secrets


@dataclass(frozen=True, slots=True)
class Installation:
    """A running one. `url`: where clients reach its api."""

    cluster: Cluster
    namespace: str
    url: str
    overlay: Path

    def kubectl(self, *arguments: str, stdin: str | None = None, limit_s: float = 60.0) -> str:
        return self.cluster.kubectl("-n", self.namespace, *arguments, stdin=stdin, limit_s=limit_s)

    def get(self, *arguments: str) -> list[dict[str, Any]]:
        """The items that `kubectl get` finds."""
        found: list[dict[str, Any]] = self.cluster.get("-n", self.namespace, *arguments)["items"]
        return found

    def jobs(self, job_id: UUID) -> list[dict[str, Any]]:
        return self.get("jobs", "-l", f"{JOB_ID}={job_id}")

    def pods(self, job_id: UUID) -> list[dict[str, Any]]:
        return self.get("pods", "-l", f"{JOB_ID}={job_id}")

    def running_pod(self, job_id: UUID, other_than: str = "") -> str:
        """The name of the job's pod that runs, once there is one."""

        def found() -> str | None:
            running = [pod for pod in self.pods(job_id) if pod["status"]["phase"] == "Running"]
            names = [pod["metadata"]["name"] for pod in running if "deletionTimestamp" not in pod["metadata"]]
            return next((name for name in names if name != other_than), None)

        return eventually(found, "a running pod")

    def kill_worker(self, pod: str) -> None:
        """Signal 9, from outside of the container: inside, nobody may send it to the first process."""
        assert self.cluster.is_ours, "only on a node of this machine: leave VIDETTE_TEST_KUBECONFIG unset for this test"
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("VIDETTE_POD_NAME") == pod:
                    process.kill()
                    return
        raise AssertionError(f"no process of {pod} on this machine")

    def events(self, kind: str, name: str) -> list[str]:
        """`Reason: sentence` of everything told about an object."""
        about = f"involvedObject.kind={kind},involvedObject.name={name}"
        return [f"{event['reason']}: {event['message']}" for event in self.get("events", "--field-selector", about)]

    def jobs_given_pods(self, job_id: UUID) -> list[str]:
        """Names of the Jobs for which pods were made, each as often as one was; by Events, which outlive the Jobs by an hour."""
        made = [event for event in self.get("events") if event["reason"] == "SuccessfulCreate"]
        names = [event["involvedObject"]["name"] for event in made for _ in range(event.get("count") or 1)]
        return sorted(name for name in names if name.startswith(f"vidette-{job_id}-a"))

    def scale(self, deployment: str, replicas: int) -> None:
        """Returns when as many pods are ready, or none is left."""
        self.kubectl("scale", f"deployment/{deployment}", f"--replicas={replicas}")
        if replicas:
            self.kubectl("rollout", "status", f"deployment/{deployment}", "--timeout=60s", limit_s=70)
            return
        component = deployment.removeprefix("vidette-")
        eventually(lambda: not self.get("pods", "-l", f"app.kubernetes.io/component={component}"), "no pod")

    @contextmanager
    def quota(self, resource: str, most: int) -> Iterator[None]:
        """No more of these, as Kubernetes names them, than are there or than so many, until the end of the block."""
        metadata = {"name": "full", "namespace": self.namespace}
        spec = {"hard": {resource: str(most)}}
        self.cluster.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": spec})
        try:
            yield
        finally:
            self.kubectl("delete", "resourcequota", "full")

    @contextmanager
    def gateway(self) -> Iterator[str]:
        """Where workers turn to; nobody else comes there in an installation that has its network policies."""
        with _reached(self.cluster, self.namespace, "vidette-gateway", 8001) as url:
            yield url

    def controller_outside(self) -> dict[str, str]:
        """The environment of a controller that runs on this machine, beside those in the cluster or in their place."""
        lines = [line for name in ("settings.env", "secrets.env") for line in (self.overlay / name).read_text().split()]
        return {
            **part_environment(),
            **dict(line.split("=", 1) for line in lines),
            "VIDETTE_GATEWAY_URL": "http://vidette-gateway:8001",
            "VIDETTE_KUBERNETES_NAMESPACE": self.namespace,
            "VIDETTE_KUBERNETES_WORKER_TEMPLATE": str(self.overlay / "worker.yaml"),
            "VIDETTE_KUBERNETES_KUBECONFIG": str(self.cluster.kubeconfig),
            "VIDETTE_OPS_PORT": str(free_port()),
        }

    @contextmanager
    def changed(self, worker: Callable[[dict[str, Any]], None] | None = None, **settings: str) -> Iterator[None]:
        """With another pod template of the workers or other settings, until the end of the block."""
        files = {name: (self.overlay / name).read_text() for name in ("worker.yaml", "settings.env")}
        template = yaml.safe_load(files["worker.yaml"])
        if worker is not None:
            worker(template["spec"])
        kept = dict(line.split("=", 1) for line in files["settings.env"].splitlines())
        self._rewrite({"worker.yaml": json.dumps(template), "settings.env": _lines({**kept, **settings})})
        try:
            yield
        finally:
            self._rewrite(files)

    def _rewrite(self, files: Mapping[str, str]) -> None:
        for name, content in files.items():
            (self.overlay / name).write_text(content)
        _apply(self.cluster, self.overlay)
        for deployment in ("api", "controller"):
            _wait_ready(self.cluster, self.namespace, f"vidette-{deployment}")
        eventually(lambda: answers(self.url), "the api")


def eventually(look: Callable[[], Found | None], what: str, limit_s: float = _PATIENCE_S) -> Found:
    """What `look` returns once it is true. Fails when that takes longer than `limit_s`."""
    end = time.monotonic() + limit_s
    while not (found := look()):
        assert time.monotonic() < end, f"{what}: not within {limit_s:g} s"
        time.sleep(0.2)
    return found


@contextmanager
def installed(
    cluster: Cluster, images: ServiceImages, backing: Backing, doors: Doors, folder: Path, **settings: str
) -> Iterator[Installation]:
    """Install, wait until all is ready, and take everything away again. `settings` are variables of docs/settings.md."""
    name = f"vidette-{uuid4().hex[:8]}"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}
    overlay = _overlay(folder / "overlay", name, images, backing, doors, settings)
    cluster.apply(namespace)
    try:
        _apply(cluster, overlay)
        for deployment in ("api", "controller"):
            _wait_ready(cluster, name, f"vidette-{deployment}")
        with _reached(cluster, name, "vidette-api", 8000) as url:
            yield Installation(cluster, name, url, overlay)
    finally:
        # Jobs first: a namespace with unfinished Jobs may take minutes to go.
        cluster.kubectl("-n", name, "delete", "deployments,jobs", "--all", "--wait=false")
        cluster.kubectl("delete", "namespace", name, "--wait=false")


def _overlay(
    folder: Path,
    namespace: str,
    images: ServiceImages,
    backing: Backing,
    doors: Doors,
    settings: Mapping[str, str],
) -> Path:
    shutil.copytree(DEV, folder / "dev")
    shutil.copy(backing.catalog, folder / "catalog.json")
    told, secrets = backing.seen_through(doors)
    (folder / "secrets.env").write_text(_lines(secrets))
    (folder / "settings.env").write_text(_lines({**HASTE, **told, **settings}))
    template = yaml.safe_load((DEV / "worker.yaml").read_text())
    (worker,) = template["spec"]["containers"]
    worker["image"] = images.frame_worker
    # A test's node is small, and two jobs have to fit beside everything else.
    worker["resources"]["requests"] = {"cpu": "50m", "memory": "256Mi"}
    (folder / "worker.yaml").write_text(json.dumps(template))
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": ["dev"],
        "images": [_image("vidette-api", images.api), _image("vidette-controller", images.controller)],
        "configMapGenerator": [
            {"name": "vidette-settings", "envs": ["settings.env"]},
            {"name": "vidette-catalog", "files": ["catalog.json"]},
            {"name": "vidette-worker", "behavior": "replace", "files": ["worker.yaml"]},
        ],
        "secretGenerator": [{"name": "vidette-secrets", "envs": ["secrets.env"]}],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
    return folder


def _lines(variables: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in variables.items())


def _image(name: str, reference: str) -> dict[str, str]:
    new, _, tag = reference.rpartition(":")
    return {"name": name, "newName": new, "newTag": tag}


def _apply(cluster: Cluster, overlay: Path) -> None:
    manifests = cluster.kubectl("kustomize", str(overlay))
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifests)


def _wait_ready(cluster: Cluster, namespace: str, deployment: str) -> None:
    limit = f"--timeout={START_S:g}s"
    try:
        cluster.kubectl("-n", namespace, "rollout", "status", f"deployment/{deployment}", limit, limit_s=START_S + 10)
    except CommandFailed as error:
        component = f"app.kubernetes.io/component={deployment.removeprefix('vidette-')}"
        told = cluster.kubectl("-n", namespace, "describe", "pods", "-l", component)
        try:
            told += cluster.kubectl("-n", namespace, "logs", "--all-containers", "--tail=40", "-l", component)
        except CommandFailed as none:
            told += str(none)
        raise AssertionError(f"{deployment} did not get ready:\n{told}") from error


@contextmanager
def _reached(cluster: Cluster, namespace: str, service: str, port: int) -> Iterator[str]:
    """A Service from this machine: by its own address where that is routed, else by kubectl."""
    if cluster.is_ours:
        address = cluster.get("-n", namespace, "service", service)["spec"]["clusterIP"]
        yield f"http://{address}:{port}"
        return
    kubectl = (str(cluster.program), f"--kubeconfig={cluster.kubeconfig}", "-n", namespace)
    with forwarded(kubectl, service, free_port(), port) as url:
        eventually(lambda: answers(url), f"{service} through kubectl port-forward")
        yield url
