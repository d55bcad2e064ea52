"""What the bench of Kubernetes Jobs asks and sees: rows submitted as the api does, Jobs seen by a watch, Jobs made in a loop."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import asyncpg
from pydantic import SecretStr

from tests.bench.kubernetes_nodes import TIMEOUT_S, follow
from tests.bench.kubernetes_place import NAMESPACE, POD, RELEASE, Place
from tests.support.jobs import CHUNK_FRAMES, PIPELINE, Adapters, adapters
from vidette_controller.manifests import JobTemplate, job_manifest
from vidette_core.adapters.kube.connection import KubeConnection
from vidette_core.adapters.kube.names import ATTEMPT, JOB_ID
from vidette_core.adapters.kube.names import RELEASE as RELEASE_LABEL
from vidette_core.adapters.nats import NatsWakeup
from vidette_core.domain.chunks import source_key
from vidette_core.domain.sampling import Sampling
from vidette_core.ports.jobs import Submission
from vidette_core.ports.launcher import LaunchSpec
from vidette_core.settings import WakeupSettings

JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
AT_A_TIME = 8
"""Requests under way, of a submitter and of the loop that makes Jobs."""
_BARE = "bare"
_PATIENCE_S = 1800.0


@dataclass(slots=True)
class Seen:
    """The controller's Jobs, as another client of the API server learns of them."""

    at: dict[UUID, float] = field(default_factory=dict)
    """When the Job of a row was first seen, by the monotonic clock of this machine."""
    doubled: int = 0
    """Jobs beyond the first of their row."""
    completed: int = 0
    """Of all Jobs, the loop's too."""


class Clients:
    def __init__(self, here: Place, made: Adapters, wakeup: NatsWakeup, connection: KubeConnection) -> None:
        self.here = here
        self.seen = Seen()
        self._made = made
        self._wakeup = wakeup
        self._connection = connection

    async def submit(self, tenant: str, *, wake: bool = True) -> tuple[UUID, float]:
        """A pending row, and when its last transaction began."""
        job_id = uuid4()
        await self._made.submissions.begin(job_id, container="mov", source_key=source_key(job_id), tenant=tenant)
        began = time.monotonic()
        await self._made.submissions.submit(job_id, Submission(PIPELINE, Sampling(), CHUNK_FRAMES, source_bytes=1000))
        if wake:
            await self._wakeup.wake(job_id)
        return job_id, began

    async def submit_many(self, count: int, tenant: str, *, wake: bool = True) -> dict[UUID, float]:
        """As quickly as it goes."""
        found: dict[UUID, float] = {}

        async def some(share: int) -> None:
            for _ in range(share):
                job_id, began = await self.submit(tenant, wake=wake)
                found[job_id] = began

        await asyncio.gather(*(some(count // AT_A_TIME + (n < count % AT_A_TIME)) for n in range(AT_A_TIME)))
        return found

    async def submit_steadily(self, count: int, per_second: float, tenant: str) -> dict[UUID, float]:
        """One after the other, each at its time, whatever became of the last."""
        first = time.monotonic()
        found: dict[UUID, float] = {}
        for number in range(count):
            await asyncio.sleep(max(0.0, first + number / per_second - time.monotonic()))
            job_id, began = await self.submit(tenant)
            found[job_id] = began
        return found

    async def make_bare(self, count: int) -> None:
        """Jobs like the controller's, without rows and Secrets, as quickly as it goes; `forget_bare` removes them."""
        template = JobTemplate(_BARE, POD, backoff_limit=3, deadline_s=86400)

        async def some(share: int) -> None:
            for _ in range(share):
                job_id = uuid4()
                spec = LaunchSpec(f"vidette-{job_id}-a1", job_id, 1, "bare", {})
                await self._connection.post(JOBS, job_manifest(spec, template))

        await asyncio.gather(*(some(count // AT_A_TIME + (n < count % AT_A_TIME)) for n in range(AT_A_TIME)))

    async def forget_bare(self) -> None:
        """Their removal must not slow what is measured next."""
        selector = f"labelSelector={RELEASE_LABEL}%3D{_BARE}"
        await self._connection.delete(f"{JOBS}?{selector}", {"propagationPolicy": "Background"})
        async with asyncio.timeout(_PATIENCE_S):
            while (await self._connection.get(PODS, {"labelSelector": f"{RELEASE_LABEL}={_BARE}", "limit": 1}))[
                "items"
            ]:
                await asyncio.sleep(0.5)

    async def states(self) -> Counter[str]:
        """How many rows are in each state."""
        connection = await asyncpg.connect(self.here.database_url.replace("+asyncpg", ""), timeout=10, ssl=False)
        try:
            rows = await connection.fetch("SELECT state::text, count(*) FROM jobs GROUP BY state", timeout=30)
        finally:
            await connection.close()
        return Counter({str(state): int(count) for state, count in rows})

    async def odd_rows(self) -> int:
        """Rows that did not go through with one attempt and exactly one chunk."""
        odd = """SELECT count(*) FROM jobs j WHERE state <> 'completed' OR attempt <> 1
                 OR (SELECT count(*) FROM chunks c WHERE c.job_id = j.id) <> 1"""
        connection = await asyncpg.connect(self.here.database_url.replace("+asyncpg", ""), timeout=10, ssl=False)
        try:
            return int(await connection.fetchval(odd, timeout=60))
        finally:
            await connection.close()

    async def watch(self) -> None:
        """Keep `seen`, until cancelled."""
        complete: set[str] = set()
        names: set[str] = set()
        async for event in follow(self._connection, JOBS):
            metadata, status = event["object"]["metadata"], event["object"].get("status", {})
            labels = metadata["labels"]
            if event["type"] == "ADDED" and labels[RELEASE_LABEL] == RELEASE:
                self.seen.at.setdefault(UUID(labels[JOB_ID]), time.monotonic())
                self.seen.doubled += labels[JOB_ID] in names or labels[ATTEMPT] != "1"
                names.add(labels[JOB_ID])
            kinds = {entry["type"] for entry in status.get("conditions", ()) if entry["status"] == "True"}
            if "Complete" in kinds and metadata["uid"] not in complete:
                complete.add(metadata["uid"])
                self.seen.completed += 1


@asynccontextmanager
async def clients(here: Place) -> AsyncIterator[Clients]:
    async with AsyncExitStack() as held:
        made = await held.enter_async_context(adapters(here.database_url))
        wakeup = NatsWakeup(WakeupSettings(url=SecretStr(here.nats_url), timeout_s=10))
        held.push_async_callback(wakeup.close)
        connection = await KubeConnection.open(here.cluster.kubeconfig, TIMEOUT_S)
        held.push_async_callback(connection.close)
        found = Clients(here, made, wakeup, connection)
        watching = asyncio.create_task(found.watch())
        try:
            yield found
            if watching.done():
                watching.result()
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching


async def until(what: str, holds: Callable[[], bool]) -> float:
    """The moment at which it held. Raises `TimeoutError` naming what was waited for."""
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {_PATIENCE_S:g} s")
        await asyncio.sleep(0.02)
    return time.monotonic()
