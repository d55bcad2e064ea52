"""The controller's Role: with it the launcher may do all that it does, and without any one of its verbs something is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml

from tests.support.cluster import Cluster, CommandFailed
from tests.support.helm import CHART
from tests.support.kube_rig import namespace
from vidette_controller.manifests import JobTemplate
from vidette_core.adapters.kube.connection import KubeConnection
from vidette_core.adapters.kube.launcher import KubeLauncher
from vidette_core.ports.errors import PortError, Rejected
from vidette_core.ports.launcher import LaunchSpec, Note

RULES: list[dict[str, Any]] = yaml.safe_load((CHART / "files" / "controller-rules.yaml").read_text())
ROLE = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}
RELEASE = "role-test"
OWNER = "vidette-controller"
POD = {"spec": {"containers": [{"name": "worker", "image": "registry.invalid/nothing:1"}]}}
VERBS = [
    (group, resource, verb)
    for rule in RULES
    for group in rule["apiGroups"]
    for resource in rule["resources"]
    for verb in rule["verbs"]
]


class Watched(KubeConnection):
    """Remembers what the API server refused it for want of a right."""

    refused: list[str]

    async def _ask(self, method: str, path: str, **rest: Any) -> dict[str, Any]:
        try:
            return await super()._ask(method, path, **rest)
        except Rejected as error:
            self.refused.append(str(error))
            raise

    async def watch(
        self, path: str, query: Mapping[str, str | int], silence_s: float
    ) -> AsyncGenerator[dict[str, Any], None]:
        try:
            async for event in super().watch(path, query, silence_s):
                yield event
        except Rejected as error:
            self.refused.append(str(error))
            raise


def without(removed: tuple[str, str, str] | None) -> dict[str, Any]:
    """The Role, one verb short."""
    rules = [
        {**rule, "apiGroups": [group], "resources": [resource], "verbs": [verb]}
        for rule in RULES
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if (group, resource, verb) != removed
    ]
    return {**ROLE, "rules": rules}


def deployment(namespace: str) -> dict[str, Any]:
    """The controller's own, without a pod: all that matters here is that it can own Jobs."""
    labels = {"app": OWNER}
    template = {"metadata": {"labels": labels}, "spec": POD["spec"]}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": OWNER, "namespace": namespace},
        "spec": spec,
    }


def kubeconfig(cluster: Cluster, name: str, folder: Path) -> Path:
    """As the service account `controller`, and nobody else."""
    token = cluster.kubectl("-n", name, "create", "token", "controller").strip()
    settings = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    settings["users"] = [{"name": settings["users"][0]["name"], "user": {"token": token}}]
    path = folder / "kubeconfig"
    path.write_text(json.dumps(settings))
    return path


@asynccontextmanager
async def connected(cluster: Cluster, folder: Path, role: dict[str, Any]) -> AsyncIterator[tuple[Watched, str]]:
    """As a service account that has this Role, in a namespace of its own."""
    async with namespace(cluster) as name:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "controller", "namespace": name}}
        own = {**role, "metadata": {"name": "controller", "namespace": name}}
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "controller", "namespace": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "controller"},
            "subjects": [{"kind": "ServiceAccount", "name": "controller", "namespace": name}],
        }
        await asyncio.to_thread(cluster.apply, account, own, binding, deployment(name))
        path = await asyncio.to_thread(kubeconfig, cluster, name, folder)
        connection = await Watched.open(path, 10.0)
        connection.refused = []
        try:
            yield connection, name
        finally:
            await connection.close()


async def everything(cluster: Cluster, connection: Watched, name: str) -> None:
    """Each thing that the launcher ever does, whatever becomes of the one before."""
    launcher = KubeLauncher(connection, name, RELEASE, JobTemplate(RELEASE, POD, 1, 60), keep_s=60, owner=OWNER)
    following = asyncio.create_task(launcher.run())
    spec = LaunchSpec("vidette-role-a1", UUID(int=5), 1, "hash", {}, {"VIDETTE_JOB_TOKEN": "x"})
    other = replace(spec, name="vidette-role-a2", attempt=2)
    note = Note("Test", "A sentence.")
    try:
        for step in (
            lambda: launcher.create(spec),
            lambda: launcher.create(spec),
            lambda: launcher.get(spec.name),
            lambda: launcher.tell(spec.name, "uid", note),
            lambda: launcher.tell(spec.name, "uid", note),
            # Asked for by `list`, of Jobs that have had no pod for a while.
            lambda: connection.get(f"/api/v1/namespaces/{name}/events", {"fieldSelector": "reason=FailedCreate"}),
            lambda: launcher.synced(1.0),
            lambda: launcher.create(other),
            lambda: _delete(launcher, other.name),
            lambda: _end(cluster, name, spec.name),
            lambda: _delete(launcher, spec.name),
        ):
            await _attempt(step())
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def _attempt(step: Awaitable[object]) -> None:
    with suppress(PortError):
        await step


async def _end(cluster: Cluster, name: str, job: str) -> None:
    """As an administrator: a deadline of nothing. Without a Job, since making one was refused, there is nothing to end."""
    deadline = json.dumps({"spec": {"activeDeadlineSeconds": 1}})
    with suppress(CommandFailed):
        await asyncio.to_thread(cluster.kubectl, "-n", name, "patch", "job", job, "--type=merge", "-p", deadline)
        await asyncio.to_thread(cluster.kubectl, "-n", name, "wait", "--for=condition=Failed", f"job/{job}")


async def _delete(launcher: KubeLauncher, job: str) -> None:
    await launcher.delete(job, (await launcher.get(job)).uid)


async def test_with_its_role_the_controller_may_do_all_that_it_does(cluster: Cluster, tmp_path: Path) -> None:
    async with connected(cluster, tmp_path, without(None)) as (connection, name):
        await everything(cluster, connection, name)
        assert connection.refused == []
        assert cluster.get("-n", name, "job", "vidette-role-a1")["spec"]["ttlSecondsAfterFinished"] == 60


@pytest.mark.parametrize("removed", VERBS, ids=["-".join(verb) for verb in VERBS])
async def test_without_one_of_its_verbs_something_is_refused(
    cluster: Cluster, tmp_path: Path, removed: tuple[str, str, str]
) -> None:
    async with connected(cluster, tmp_path, without(removed)) as (connection, name):
        await everything(cluster, connection, name)
    _, resource, verb = removed
    assert [words for words in connection.refused if f'cannot {verb} resource "{resource}"' in words], (
        connection.refused
    )
