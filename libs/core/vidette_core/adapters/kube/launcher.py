"""The launcher of a cluster: one Indexed Job for each attempt, through the Kubernetes API.

`list` reads what two watches hold, which may be old; every other call asks the API server. Creating is two writes, the Job and
then the Secret that its pods wait for: when a controller dies between them, the next one meets the name and makes the Secret.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import quote

from vidette_core.adapters.kube.connection import KubeConnection
from vidette_core.adapters.kube.events import FAILED_CREATE, event, event_name, last_refusal, seen_again
from vidette_core.adapters.kube.names import RELEASE
from vidette_core.adapters.kube.owner import OwningDeployment
from vidette_core.adapters.kube.projection import JobView, PodView, job_view, launched_job, pod_view
from vidette_core.adapters.kube.reflector import Reflector
from vidette_core.ports.errors import Conflict, NotFound, PortError
from vidette_core.ports.launcher import LaunchedJob, LaunchPhase, LaunchSpec, Note

_MERGE_PATCH = "application/merge-patch+json"
_ENDED = (LaunchPhase.SUCCEEDED, LaunchPhase.FAILED)
_NO_POD_AFTER = timedelta(seconds=5)
"""A job controller that is not overrun has made a Job's first pod by then; without one, it is asked why."""
_ASK_AGAIN_S = 15.0
_MOST_ASKED = 10
_ASK_S = 2.0
"""For all questions of one look: the list does not wait long for mere explanations."""
_NEVER = (float("-inf"), "")
_TELL_S = 5.0


class Manifests(Protocol):
    """How a launch spec becomes objects of the API; `vidette_controller.manifests` knows."""

    def job(self, spec: LaunchSpec) -> dict[str, Any]: ...
    def secret(self, spec: LaunchSpec, owner_uid: str) -> dict[str, Any]: ...


class KubeLauncher:
    """`vidette_core.ports.launcher.Launcher` in one namespace.

    Args:
        connection: to the API server.
        namespace: where Jobs, Secrets and Events are written.
        release: of this installation; other releases' Jobs do not exist for it.
        manifests: what is written.
        keep_s: how long a Job that has ended is kept for people to look at, once nobody wants it; 0 deletes it at once.
        owner: the name of the Deployment with which the Jobs go; None: they go by themselves only.
        poll_s: how long `changes` waits before it yields without a reason.
    """

    def __init__(
        self,
        connection: KubeConnection,
        namespace: str,
        release: str,
        manifests: Manifests,
        keep_s: int = 3600,
        owner: str | None = None,
        poll_s: float = 15.0,
    ) -> None:
        self._connection = connection
        self._namespace = namespace
        self._manifests = manifests
        self._keep_s = keep_s
        self._owner = OwningDeployment(connection, namespace, owner) if owner is not None else None
        self._poll_s = poll_s
        self._jobs_path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._core_path = f"/api/v1/namespaces/{namespace}"
        selector = f"{RELEASE}={release}"
        self._release = release
        self._jobs: Reflector[JobView] = Reflector(connection, self._jobs_path, selector, job_view)
        self._pods: Reflector[PodView] = Reflector(connection, f"{self._core_path}/pods", selector, pod_view)
        self._refusals = _Refusals(connection, f"{self._core_path}/events")

    async def run(self) -> None:
        """Follow Jobs and pods, until cancelled. Without it `list` is `Unavailable`."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._jobs.run())
            tasks.create_task(self._pods.run())

    async def synced(self, limit_s: float) -> None:
        """Wait until Jobs and pods are known. Raises `Unavailable` when they are not within the limit."""
        await self._jobs.synced(limit_s)
        await self._pods.synced(limit_s)

    async def close(self) -> None:
        await self._connection.close()

    async def create(self, spec: LaunchSpec) -> LaunchedJob:
        job = self._manifests.job(spec)
        if self._owner is not None:
            job["metadata"]["ownerReferences"] = [await self._owner.reference()]
        try:
            made = await self._connection.post(self._jobs_path, job)
        except Conflict:
            await self._complete(spec)
            raise
        launched = self._of(made, spec.name, [])
        await self._give_secret(spec, launched.uid)
        return launched

    async def get(self, name: str) -> LaunchedJob:
        job = await self._connection.get(self._job_path(name), {})
        selector = f"{RELEASE}={self._release},batch.kubernetes.io/job-name={name}"
        pods = await self._connection.get(f"{self._core_path}/pods", {"labelSelector": selector})
        views = [view for raw in pods.get("items", ()) if (view := pod_view(raw)) is not None]
        return self._of(job, name, views)

    async def list(self) -> list[LaunchedJob]:
        jobs, pods = self._jobs.items(), self._pods.items()
        pods_of: dict[str, list[PodView]] = defaultdict(list)
        for pod in pods:
            pods_of[pod.job_name].append(pod)
        found = [launched_job(job, pods_of.get(job.name, [])) for job in jobs]
        return await self._refusals.added_to(found)

    async def grow(self, name: str, uid: str, workers: int) -> None:
        raw = await self._connection.get(self._job_path(name), {})
        seen = self._of(raw, name, [])
        if seen.uid != uid or seen.phase in _ENDED:
            raise Conflict(f"the Job named {name} is another one than {uid}, or has ended")
        if seen.workers >= workers:
            return
        # With the version that was looked at: another controller may be about to grow it further.
        version = raw["metadata"]["resourceVersion"]
        sizes = {"completions": workers, "parallelism": workers}
        body = {"metadata": {"uid": uid, "resourceVersion": version}, "spec": sizes}
        await self._connection.patch(self._job_path(name), body, _MERGE_PATCH)

    async def delete(self, name: str, uid: str) -> None:
        try:
            seen = await self._without_pods(name)
        except NotFound:
            return
        if seen.uid != uid:
            raise Conflict(f"the Job named {name} is another one than {uid}")
        with suppress(NotFound):
            if seen.phase in _ENDED and self._keep_s > 0:
                body = {"metadata": {"uid": uid}, "spec": {"ttlSecondsAfterFinished": self._keep_s}}
                await self._connection.patch(self._job_path(name), body, _MERGE_PATCH)
            else:
                body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
                await self._connection.delete(self._job_path(name), body)

    async def tell(self, name: str, uid: str, note: Note) -> None:
        now = datetime.now(UTC)
        events = f"{self._core_path}/events"
        with suppress(PortError, TimeoutError):
            async with asyncio.timeout(_TELL_S):
                try:
                    await self._connection.post(events, event(self._namespace, name, uid, note, now))
                except Conflict:
                    path = f"{events}/{quote(event_name(name, uid, note), safe='')}"
                    await self._connection.patch(path, seen_again(now), _MERGE_PATCH)

    async def changes(self) -> AsyncIterator[None]:
        while True:
            waits = [asyncio.ensure_future(reflector.changed()) for reflector in (self._jobs, self._pods)]
            try:
                await asyncio.wait(waits, timeout=self._poll_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            yield

    async def _complete(self, spec: LaunchSpec) -> None:
        """The name is taken: if it is by this very attempt, whoever made the Job may not have lived to make its Secret."""
        with suppress(NotFound, Conflict):
            there = await self._without_pods(spec.name)
            if (there.job_id, there.attempt) == (spec.job_id, spec.attempt):
                await self._give_secret(spec, there.uid)

    async def _without_pods(self, name: str) -> LaunchedJob:
        return self._of(await self._connection.get(self._job_path(name), {}), name, [])

    def _of(self, raw: dict[str, Any], name: str, pods: Iterable[PodView]) -> LaunchedJob:
        """One of another release, or whose labels somebody spoilt, is nobody's: it would never be listed."""
        view = job_view(raw)
        if view is None or raw["metadata"]["labels"].get(RELEASE) != self._release:
            raise Conflict(f"the name {name} belongs to a Job that is not ours")
        return launched_job(view, pods)

    async def _give_secret(self, spec: LaunchSpec, uid: str) -> None:
        with suppress(Conflict):  # another try made it; what it holds follows from job and attempt
            await self._connection.post(f"{self._core_path}/secrets", self._manifests.secret(spec, uid))

    def _job_path(self, name: str) -> str:
        return f"{self._jobs_path}/{quote(name, safe='')}"


class _Refusals:
    """Why Jobs have no pods at all: nothing in a Job's status says so, only Events do. Asked for seldom, and few at a time."""

    def __init__(self, connection: KubeConnection, path: str) -> None:
        self._connection = connection
        self._path = path
        self._known: dict[str, tuple[float, str]] = {}

    async def added_to(self, jobs: list[LaunchedJob]) -> list[LaunchedJob]:
        now = datetime.now(UTC)
        podless = {
            job.uid for job in jobs if not job.pods and job.phase not in _ENDED and now - job.created_at > _NO_POD_AFTER
        }
        self._known = {uid: known for uid, known in self._known.items() if uid in podless}
        longest_ago = sorted(podless, key=lambda uid: self._known.get(uid, _NEVER)[0])
        with suppress(TimeoutError):
            async with asyncio.timeout(_ASK_S):
                for uid in longest_ago[:_MOST_ASKED]:
                    if time.monotonic() - self._known.get(uid, _NEVER)[0] > _ASK_AGAIN_S:
                        self._known[uid] = (time.monotonic(), await self._ask(uid))
        return [replace(job, refusal=self._known[job.uid][1]) if job.uid in self._known else job for job in jobs]

    async def _ask(self, uid: str) -> str:
        """Explaining is best effort: without an answer there is no explanation."""
        selector = f"involvedObject.uid={uid},reason={FAILED_CREATE}"
        try:
            return last_refusal((await self._connection.get(self._path, {"fieldSelector": selector})).get("items", ()))
        except PortError:
            return ""
