"""Vidette in a cluster: installed by Helm from the chart, in a namespace that admits restricted pods only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psutil

from tests.support.backing import Backing, Seen, merged, secret_of, values_for
from tests.support.cluster import Cluster, CommandFailed
from tests.support.doors import Doors
from tests.support.helm import Helm, Values
from tests.support.port_forward import answers, forwarded
from tests.support.servers import part_environment
from tests.support.service_images import ServiceImages
from tests.support.stacks import HASTE, free_port
from vidette_core.adapters.kube.names import JOB_ID

RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
START_S = 90.0
Found = TypeVar("Found")
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Installation:
    """A running one. `url`: where clients reach its api; `values`: of the chart; `folder`: for files of the test's own."""

    cluster: Cluster
    namespace: str
    url: str
    values: Values
    seen: Seen
    folder: Path

    @property
    def helm(self) -> Helm:
        return Helm(self.cluster, self.namespace)

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
        template = self.folder / "worker.yaml"
        template.write_text(
            self.cluster.get("-n", self.namespace, "configmap", "vidette-worker")["data"]["worker.yaml"]
        )
        told: dict[str, str] = self.cluster.get("-n", self.namespace, "configmap", "vidette-settings")["data"]
        secrets = self.seen.secrets
        return {
            **part_environment(),
            **told,
            "VIDETTE_DATABASE_URL": secrets["database-url"],
            "VIDETTE_NATS_URL": secrets["nats-url"],
            "VIDETTE_STORE_ACCESS_KEY": secrets["store-access-key"],
            "VIDETTE_STORE_SECRET_KEY": secrets["store-secret-key"],
            "VIDETTE_TOKEN_SECRET": secrets["token-secret"],
            "VIDETTE_TRITON_URL": self.seen.triton,
            "VIDETTE_GATEWAY_URL": "http://vidette-gateway:8001",
            "VIDETTE_KUBERNETES_NAMESPACE": self.namespace,
            "VIDETTE_KUBERNETES_WORKER_TEMPLATE": str(template),
            "VIDETTE_KUBERNETES_KUBECONFIG": str(self.cluster.kubeconfig),
            "VIDETTE_OPS_PORT": str(free_port()),
        }

    @contextmanager
    def changed(self, values: Values | None = None, **settings: str) -> Iterator[None]:
        """Upgraded with other values, and variables of docs/settings.md, until the end of the block."""
        self._upgrade(merged(merged(self.values, values or {}), {"settings": settings}))
        try:
            yield
        finally:
            self._upgrade(self.values)

    def _upgrade(self, values: Values) -> None:
        with _told_why(self.cluster, self.namespace):
            # The schema is as it was, and the hook would cost each test some seconds.
            self.helm.upgrade(merged(values, {"migrations": {"enabled": False}}), limit_s=START_S)
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
    cluster: Cluster,
    images: ServiceImages,
    backing: Backing,
    doors: Doors,
    folder: Path,
    values: Values | None = None,
    **settings: str,
) -> Iterator[Installation]:
    """Install, wait until all is ready, and take everything away again.

    `values` are laid over those that a test's cluster needs; `settings` are variables of docs/settings.md.
    """
    with backing.seen_through(doors, folder) as seen:
        name = f"vidette-{uuid4().hex[:8]}"
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}
        values = merged(values_for(cluster, images, seen, {**HASTE, **settings}), values or {})
        cluster.apply(namespace, secret_of(name, seen))
        # `apply` would put all of it into an annotation, where it has no room.
        catalog = f"--from-file=catalog.json={backing.catalog}"
        cluster.kubectl("-n", name, "create", "configmap", "vidette-catalog", catalog)
        try:
            with _told_why(cluster, name):
                Helm(cluster, name).install(values, limit_s=START_S)
            with _reached(cluster, name, "vidette-api", 80) as url:
                yield Installation(cluster, name, url, values, seen, folder)
        finally:
            # The Jobs go with the release; a namespace with unfinished ones may take minutes to go.
            cluster.kubectl("-n", name, "delete", "deployments,jobs", "--all", "--wait=false")
            cluster.kubectl("delete", "namespace", name, "--wait=false")


@contextmanager
def _told_why(cluster: Cluster, namespace: str) -> Iterator[None]:
    """What the pods say, when Helm only says that they did not get ready."""
    try:
        yield
    except CommandFailed as error:
        told = cluster.kubectl("-n", namespace, "describe", "pods")
        try:
            selector = "app.kubernetes.io/part-of=vidette"
            told += cluster.kubectl("-n", namespace, "logs", "--all-containers", "--tail=40", "-l", selector)
        except CommandFailed as none:
            told += str(none)
        raise AssertionError(f"{error}\n{told}") from error


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
