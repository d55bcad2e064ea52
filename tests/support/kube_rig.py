"""A launcher on a real cluster, in a namespace of its own, with workers that obey files or run what a test tells them to."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.support import obedient_worker
from tests.support.cluster import HOSTROOT, Cluster, host_python
from tests.support.launcher_promises import BACKOFF_LIMIT
from vidette_controller.manifests import JobTemplate
from vidette_core.adapters.kube.connection import KubeConnection
from vidette_core.adapters.kube.launcher import KubeLauncher

RELEASE = "under-test"
_SYNC_S = 30.0


def obedient_pod(orders: Path) -> dict[str, Any]:
    """A pod template whose worker ends as the files in `orders` tell it to; it runs this machine's own Python."""
    volumes, mounts = host_python()
    container = {
        "name": "worker",
        "image": HOSTROOT,
        "imagePullPolicy": "Never",
        "command": [sys.executable, str(Path(obedient_worker.__file__))],
        "env": [{"name": "ORDERS", "value": str(orders)}],
        "volumeMounts": [*mounts, {"name": "orders", "mountPath": str(orders)}],
    }
    spec = {
        "terminationGracePeriodSeconds": 1,
        # The machine's own Python may lie where only its owner comes.
        "securityContext": {"runAsNonRoot": False, "runAsUser": 0},
        "containers": [container],
        "volumes": [*volumes, {"name": "orders", "hostPath": {"path": str(orders), "type": "Directory"}}],
    }
    return {"spec": spec}


class KubeRig:
    """A launcher in `namespace`, its watches running."""

    def __init__(
        self, cluster: Cluster, namespace: str, orders: Path, template: JobTemplate, launcher: KubeLauncher
    ) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.orders = orders
        self.template = template
        self.launcher = launcher
        self.follow()

    def follow(self) -> None:
        """Let the watches tell what there is."""
        self._following = asyncio.create_task(self.launcher.run())

    async def stop_following(self) -> None:
        """What is listed from now on is what was told until now."""
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)

    async def end_pod(self, job: str, exit_code: int) -> None:
        """Let the oldest worker that runs end."""
        async with asyncio.timeout(_SYNC_S):
            while not (running := [pod for pod in (await self.launcher.get(job)).pods if pod.exit_code is None]):
                await asyncio.sleep(0.02)
        order = self.orders / running[0].name.rpartition("-")[0]
        order.with_suffix(".new").write_text(f"kill {exit_code - 128}" if exit_code > 128 else str(exit_code))
        order.with_suffix(".new").rename(order)
        async with asyncio.timeout(_SYNC_S):
            while order.exists():
                await asyncio.sleep(0.02)

    async def go_away(self) -> None:
        """Nobody listens where the launcher thinks the API server to be."""
        settings = json.loads(self.cluster.kubectl("config", "view", "--raw", "-o", "json"))
        for entry in settings["clusters"]:
            entry["cluster"]["server"] = "https://127.0.0.1:1"
        elsewhere = self.orders / "elsewhere.kubeconfig"
        elsewhere.write_text(json.dumps(settings))
        await self.launcher.close()
        connection = await KubeConnection.open(elsewhere, 1.0)
        self.launcher = KubeLauncher(connection, self.namespace, RELEASE, self.template, poll_s=0.2)


@asynccontextmanager
async def namespace(cluster: Cluster, labels: Mapping[str, str] | None = None) -> AsyncIterator[str]:
    """A fresh one. Jobs are deleted before it, since a namespace with unfinished Jobs may take minutes to go."""
    name = f"test-{uuid4().hex[:12]}"
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels or {})}}
    await asyncio.to_thread(cluster.apply, manifest)
    try:
        yield name
    finally:
        await asyncio.to_thread(cluster.kubectl, "-n", name, "delete", "jobs", "--all", "--wait=false")
        await asyncio.to_thread(cluster.kubectl, "delete", "namespace", name, "--wait=false")


@asynccontextmanager
async def kube_rig(
    cluster: Cluster, folder: Path, pod: Mapping[str, Any] | None = None, keep_s: int = 0
) -> AsyncIterator[KubeRig]:
    """With workers of `pod`, or with obedient ones."""
    orders = folder / "orders"
    orders.mkdir()
    async with namespace(cluster) as name:
        connection = await KubeConnection.open(cluster.kubeconfig, 10.0)
        template = JobTemplate(RELEASE, pod or obedient_pod(orders), BACKOFF_LIMIT, deadline_s=600)
        launcher = KubeLauncher(connection, name, RELEASE, template, keep_s, poll_s=0.5)
        rig = KubeRig(cluster, name, orders, template, launcher)
        try:
            await launcher.synced(_SYNC_S)
            yield rig
        finally:
            await rig.stop_following()
            await rig.launcher.close()
