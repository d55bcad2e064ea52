"""Where the bench of Kubernetes Jobs happens: a control plane of its own, PostgreSQL, NATS, and the controller as a process."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.kubernetes_nodes import TIMEOUT_S, add_node
from tests.support.cluster import REPOSITORY, Cluster, own_cluster
from tests.support.servers import nats_running, part_environment, postgres_running
from vidette_core.adapters.kube.connection import KubeConnection
from vidette_local.child import Child, Command
from vidette_local.ports import LOOPBACK, load_or_pick

RELEASE = "bench"
NAMESPACE = "bench"
AT_ONCE = 1000
"""Jobs of one tenant that may run."""
SPARE = 100
"""Jobs that may run beyond them, for another tenant."""
POD: Mapping[str, Any] = {
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": "worker",
                "image": "registry.vidette.test/worker:1",
                "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
            }
        ],
    }
}
_CLUSTER = (
    "--control-plane-only",
    # The history of ten thousand Jobs between two compactions, and all their ended pods, have to find room.
    "--argument=etcd=--quota-backend-bytes=8589934592",
    "--argument=kube-controller-manager=--terminated-pod-gc-threshold=100000",
    # Nobody renews the lease of the bench's Node.
    "--argument=kube-controller-manager=--node-monitor-grace-period=5h",
)
_UNLIMITED = (
    "--argument=kube-controller-manager=--kube-api-qps=1000",
    "--argument=kube-controller-manager=--kube-api-burst=2000",
    "--argument=kube-controller-manager=--concurrent-job-syncs=20",
    "--argument=kube-scheduler=--kube-api-qps=1000",
    "--argument=kube-scheduler=--kube-api-burst=2000",
)


@dataclass(frozen=True, slots=True)
class Place:
    folder: Path
    cluster: Cluster
    database_url: str = field(repr=False)
    nats_url: str = field(repr=False)
    pids: Mapping[str, tuple[int, ...]]
    """Of the servers, for what they use."""


@dataclass(frozen=True, slots=True)
class RunningController:
    child: Child
    operations_port: int

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def ended(self) -> bool:
        return self.child.ended

    @property
    def peak_mib(self) -> float:
        """The greatest resident memory so far, as the kernel has it."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(peak) / 1024

    def ticks(self) -> tuple[float, float]:
        """Rounds so far, and the seconds spent in them."""
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self.operations_port}/metrics", timeout=30) as answer:
            lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[:1] != "#")
        name = "vidette_controller_tick_seconds"
        return float(lines[f"{name}_count"]), float(lines[f"{name}_sum"])


@contextmanager
def place(folder: Path, *, default_limits: bool) -> Iterator[Place]:
    """Everything but the controller. With `default_limits` Kubernetes' own controllers may ask as seldom as they come."""
    options = _CLUSTER if default_limits else (*_CLUSTER, *_UNLIMITED)
    with (
        own_cluster(*options) as cluster,
        postgres_running(folder, max_connections="60") as postgres,
        nats_running(folder) as nats,
    ):
        asyncio.run(_furnish(cluster))
        url = postgres.url()
        subprocess.run(
            [sys.executable, "-m", "vidette_core.adapters.postgres.migrate"],
            env={**part_environment(), "VIDETTE_DATABASE_URL": url},
            check=True,
            timeout=120,
        )
        parts = cluster.status()["parts"]
        pids = {
            "API server and etcd": (parts["kube-apiserver"]["pid"], parts["etcd"]["pid"]),
            "job controller, scheduler, …": (parts["kube-controller-manager"]["pid"], parts["kube-scheduler"]["pid"]),
            "PostgreSQL": (postgres.child.pid,),
        }
        yield Place(folder, cluster, url, nats.url, pids)


async def _furnish(cluster: Cluster) -> None:
    connection = await KubeConnection.open(cluster.kubeconfig, TIMEOUT_S)
    try:
        await connection.post(
            "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        )
        await add_node(connection)
    finally:
        await connection.close()


@contextmanager
def controller_running(here: Place) -> Iterator[RunningController]:
    """`python -m vidette_controller` as an administrator. It starts at once and may not be ready yet."""
    template = here.folder / "worker.yaml"
    template.write_text(json.dumps(POD))
    port = load_or_pick(here.folder / "controller-port.json", ["operations"])["operations"]
    environment = {
        **part_environment(),
        "VIDETTE_DATABASE_URL": here.database_url,
        "VIDETTE_NATS_URL": here.nats_url,
        "VIDETTE_TOKEN_SECRET": "the-benchmarks-secret-of-32-bytes-and-more",
        # Nobody listens there: nothing is swept within an hour.
        "VIDETTE_STORE_ENDPOINT": "http://127.0.0.1:1",
        "VIDETTE_STORE_ACCESS_KEY": "nobody",
        "VIDETTE_STORE_SECRET_KEY": "nothing",
        "VIDETTE_SWEEP_SETTLE_S": "3600",
        "VIDETTE_GATEWAY_URL": "http://gateway:8001",
        "VIDETTE_TRITON_URL": "triton:8001",
        "VIDETTE_KUBERNETES_NAMESPACE": NAMESPACE,
        "VIDETTE_KUBERNETES_RELEASE": RELEASE,
        "VIDETTE_KUBERNETES_KUBECONFIG": str(here.cluster.kubeconfig),
        "VIDETTE_KUBERNETES_WORKER_TEMPLATE": str(template),
        "VIDETTE_MAX_RUNNING": str(AT_ONCE + SPARE),
        "VIDETTE_MAX_RUNNING_PER_TENANT": str(AT_ONCE),
        # Workers that stand still claim only when they end.
        "VIDETTE_STALLED_LEASE_S": "7200",
        "VIDETTE_OPS_HOST": LOOPBACK,
        "VIDETTE_OPS_PORT": str(port),
    }
    argv = (sys.executable, "-m", "vidette_controller")
    log = Path(os.environ.get("VIDETTE_BENCH_LOG", here.folder / "controller.log"))
    child = Child.start(Command(argv, REPOSITORY, environment), log)
    try:
        yield RunningController(child, port)
    finally:
        child.stop_blocking(10)
