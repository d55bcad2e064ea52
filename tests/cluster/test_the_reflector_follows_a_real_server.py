"""The reflector against a real API server: many pages, changes, noise by kubectl, a server that dies, an etcd that forgets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from tests.support.cluster import Cluster
from tests.support.kube_rig import namespace
from vidette_core.adapters.kube.connection import Gone, KubeConnection
from vidette_core.adapters.kube.projection import JobView, job_view
from vidette_core.adapters.kube.reflector import Reflector
from vidette_core.ports.errors import Conflict, PortError

MANY = 2000
SELECTOR = "vidette.dev/release=followed"
LIMIT_S = 60.0


def suspended(name: str, number: int) -> dict[str, Any]:
    """A Job of ours that makes no pods."""
    labels = {
        "vidette.dev/release": "followed",
        "vidette.dev/job-id": str(UUID(int=number)),
        "vidette.dev/attempt": "1",
    }
    container = {"name": "worker", "image": "registry.vidette.test/none:1"}
    template = {"metadata": {"labels": labels}, "spec": {"restartPolicy": "Never", "containers": [container]}}
    metadata = {"name": name, "labels": labels}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {"suspend": True, "template": template},
    }


class Followed:
    """A namespace's Jobs, and a reflector that follows them."""

    def __init__(self, connection: KubeConnection, name: str) -> None:
        self.connection = connection
        self.namespace = name
        self.path = f"/apis/batch/v1/namespaces/{name}/jobs"
        self.reflector: Reflector[JobView] = Reflector(connection, self.path, SELECTOR, job_view)

    @property
    def names(self) -> set[str]:
        return {view.name for view in self.reflector.items()}

    async def create(self, first: int, last: int) -> None:
        at_once = asyncio.Semaphore(20)

        async def make(number: int) -> None:
            async with at_once:
                await self.connection.post(self.path, suspended(f"vidette-{number}", number))

        await asyncio.gather(*(make(number) for number in range(first, last)))

    async def create_when_it_is_back(self, number: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            while True:
                try:
                    await self.create(number, number + 1)
                    break
                except PortError:
                    await asyncio.sleep(0.2)

    async def delete(self, name: str) -> None:
        await self.connection.delete(f"{self.path}/{name}", {"propagationPolicy": "Background"})

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not holds():
                await asyncio.sleep(0.02)


@asynccontextmanager
async def _followed(cluster: Cluster) -> AsyncIterator[Followed]:
    async with namespace(cluster) as name:
        connection = await KubeConnection.open(cluster.kubeconfig, 10.0)
        followed = Followed(connection, name)
        try:
            yield followed
        finally:
            await connection.close()


@asynccontextmanager
async def _running(followed: Followed) -> AsyncIterator[None]:
    task = asyncio.create_task(followed.reflector.run())
    try:
        await followed.reflector.synced(LIMIT_S)
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def followed(cluster: Cluster) -> AsyncIterator[Followed]:
    async with _followed(cluster) as made:
        yield made


async def test_jobs_that_come_change_and_go_are_seen_within_a_second(followed: Followed) -> None:
    async with _running(followed):
        assert followed.names == set()
        began = time.monotonic()
        await followed.create(1, 2)
        await followed.until(lambda: followed.names == {"vidette-1"})
        patch = {"metadata": {"annotations": {"vidette.dev/spec-hash": "another"}}}
        path = f"{followed.path}/vidette-1"
        await followed.connection.patch(path, patch, "application/merge-patch+json")
        await followed.until(lambda: [view.spec_hash for view in followed.reflector.items()] == ["another"])
        with pytest.raises(Conflict):
            await followed.create(1, 2)
        await followed.delete("vidette-1")
        await followed.until(lambda: followed.names == set())
        assert time.monotonic() - began < 3.0


async def test_what_people_do_with_kubectl_does_not_confuse_it(cluster: Cluster, followed: Followed) -> None:
    def kubectl(*arguments: str) -> str:
        return cluster.kubectl("-n", followed.namespace, *arguments)

    async with _running(followed):
        await followed.create(1, 3)
        await asyncio.to_thread(kubectl, "create", "job", "not-ours", "--image=none", "--", "true")
        await asyncio.to_thread(kubectl, "label", "job", "vidette-1", "vidette.dev/job-id=spoilt", "--overwrite")
        await followed.until(lambda: followed.names == {"vidette-2"})
        await asyncio.to_thread(kubectl, "label", "job", "vidette-2", "vidette.dev/release-")
        await followed.until(lambda: followed.names == set())


async def test_thousands_of_jobs_are_listed_in_pages(followed: Followed) -> None:
    await followed.create(0, MANY)
    async with _running(followed):
        assert len(followed.reflector.items()) == MANY


@pytest.mark.own_cluster
async def test_a_server_that_was_killed_is_followed_again_when_it_is_back(cluster: Cluster, followed: Followed) -> None:
    async with _running(followed):
        await followed.create(1, 3)
        await followed.until(lambda: len(followed.names) == 2)
        await asyncio.to_thread(cluster.command, "stop", "kube-apiserver", "--kill")
        try:
            await asyncio.sleep(5.0)
            assert followed.names == {"vidette-1", "vidette-2"}
        finally:
            await asyncio.to_thread(cluster.command, "start", "kube-apiserver")
        await followed.create_when_it_is_back(3)
        await followed.until(lambda: len(followed.names) == 3)


async def test_a_past_that_the_server_has_forgotten_is_gone(followed: Followed) -> None:
    watch = followed.connection.watch(followed.path, {"resourceVersion": "1"}, 10.0)
    try:
        code = (await anext(watch))["object"].get("code")
    except Gone:
        code = 410
    await watch.aclose()
    assert code == 410
