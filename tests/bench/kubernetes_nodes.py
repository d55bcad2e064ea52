"""One node's kubelet and its workers, played: pods become Running and Succeeded, and their jobs' rows finish in between.

A process of its own, so that playing it takes no turn of what measures. A worker's writes are those of a real one, through the
adapter that the gateway uses: claim, plan, one chunk, finish. Two things differ. There is no video, and a worker claims only
when it is about to end, so that a thousand of them that stand still need not renew a thousand leases.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.support.jobs import CHUNK_FRAMES, Adapters, adapters, chunk
from vidette_core.adapters.kube.connection import KubeConnection
from vidette_core.adapters.kube.events import timestamp
from vidette_core.adapters.kube.names import ATTEMPT, JOB_ID, RELEASE, WORKER
from vidette_core.domain.planning import Plan
from vidette_core.ports.jobs import Claimed

Json = dict[str, Any]
NODE = "bench"
TIMEOUT_S = 60.0
_SILENCE_S = 300.0
_STARTERS = _ENDERS = 8
_LOOK_S = 0.05
_MERGE_PATCH = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Board:
    """What the player and the one who measures tell each other."""

    stay: Synchronized[int]
    """Workers end, the newest first, while more than so many run."""
    pods: Synchronized[int]
    doubled: Synchronized[int]
    """Pods beyond the first of their Job."""


@dataclass(frozen=True, slots=True)
class Player:
    """The process that plays, and its board."""

    process: SpawnProcess
    board: Board

    @property
    def pid(self) -> int:
        assert self.process.pid is not None, "it has been started"
        return self.process.pid


async def follow(connection: KubeConnection, path: str, selector: str = "") -> AsyncIterator[Json]:
    """What is there, as if it were just added, and then the events, for ever."""
    version = ""
    while True:
        query: dict[str, str | int] = {
            "labelSelector": selector,
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
        }
        async with aclosing(connection.watch(path, query, _SILENCE_S)) as events:
            async for event in events:
                if event["type"] == "ERROR":
                    raise RuntimeError(f"the bench's own watch of {path} ended: {event['object']}")
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    yield event


class Nodes:
    """Plays all pods of a namespace. Those of `release` have a worker, others only end."""

    def __init__(self, connection: KubeConnection, namespace: str, release: str, db: Adapters, board: Board) -> None:
        self._connection = connection
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._release = release
        self._segments, self._planning = db.segments, db.planning
        self._board = board
        self._seen: set[str] = set()
        self._jobs: set[str] = set()
        self._placed: asyncio.Queue[Json] = asyncio.Queue()
        self._running: list[Json] = []

    async def run(self) -> None:
        """Until cancelled, or until the process that measures has ended. Raises whatever goes wrong: then no figure counts."""
        parent = multiprocessing.parent_process()
        async with asyncio.TaskGroup() as tasks:
            work = [tasks.create_task(self._follow())]
            work += [tasks.create_task(self._start()) for _ in range(_STARTERS)]
            work += [tasks.create_task(self._end()) for _ in range(_ENDERS)]
            while parent is None or parent.is_alive():
                await asyncio.sleep(1)
            for task in work:
                task.cancel()

    async def _follow(self) -> None:
        async for event in follow(self._connection, self._path):
            pod = event["object"]
            uid, job_uid = pod["metadata"]["uid"], pod["metadata"]["labels"]["batch.kubernetes.io/controller-uid"]
            if event["type"] == "ADDED":
                self._board.pods.value += 1
                self._board.doubled.value += job_uid in self._jobs
                self._jobs.add(job_uid)
            if event["type"] != "DELETED" and pod["spec"].get("nodeName") and uid not in self._seen:
                self._seen.add(uid)
                self._placed.put_nowait(pod)

    async def _start(self) -> None:
        while True:
            pod = await self._placed.get()
            await self._tell(pod, "Running", {"running": {"startedAt": timestamp(datetime.now(UTC))}})
            self._running.append(pod)

    async def _end(self) -> None:
        while True:
            while len(self._running) <= self._board.stay.value:
                await asyncio.sleep(_LOOK_S)
            pod = self._running.pop()
            labels = pod["metadata"]["labels"]
            if labels[RELEASE] == self._release:
                await self._work(UUID(labels[JOB_ID]), int(labels[ATTEMPT]), pod["metadata"]["name"])
            times = dict.fromkeys(("startedAt", "finishedAt"), timestamp(datetime.now(UTC)))
            await self._tell(pod, "Succeeded", {"terminated": {"exitCode": 0, "reason": "Completed", **times}})

    async def _work(self, job_id: UUID, attempt: int, name: str) -> None:
        claimed = await self._segments.claim(job_id, attempt, name)
        if not isinstance(claimed, Claimed):
            raise RuntimeError(f"the pod {name} could not claim its job: {claimed}")
        await self._planning.post_plan(claimed.fence, Plan(CHUNK_FRAMES))
        await self._segments.commit(claimed.fence, chunk(0))
        await self._segments.finish(claimed.fence, CHUNK_FRAMES, ())

    async def _tell(self, pod: Json, phase: str, state: Mapping[str, object]) -> None:
        now = timestamp(datetime.now(UTC))
        runs = phase == "Running"
        holds = {"PodScheduled": True, "Initialized": True, "ContainersReady": runs, "Ready": runs}
        status = {
            "phase": phase,
            "startTime": now,
            "conditions": [
                {"type": kind, "status": str(held), "lastTransitionTime": now} for kind, held in holds.items()
            ],
            "containerStatuses": [
                {
                    "name": WORKER,
                    "image": pod["spec"]["containers"][0]["image"],
                    "imageID": "",
                    "ready": runs,
                    "started": runs,
                    "restartCount": 0,
                    "state": state,
                }
            ],
        }
        await self._connection.patch(f"{self._path}/{pod['metadata']['name']}/status", {"status": status}, _MERGE_PATCH)


async def add_node(connection: KubeConnection) -> None:
    """A Node that the scheduler takes for ready and endless. Nobody renews its lease: the cluster has to be patient."""
    plenty = {"pods": "100000", "cpu": "100000", "memory": "100000Gi", "ephemeral-storage": "100000Gi"}
    now = timestamp(datetime.now(UTC))
    ready = {"type": "Ready", "status": "True", "reason": "Bench", "lastHeartbeatTime": now, "lastTransitionTime": now}
    await connection.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    status = {"capacity": plenty, "allocatable": plenty, "conditions": [ready]}
    await connection.patch(f"/api/v1/nodes/{NODE}/status", {"status": status}, _MERGE_PATCH)


def _play(kubeconfig: Path, namespace: str, release: str, database_url: str, board: Board) -> None:
    async def until_told() -> None:
        connection = await KubeConnection.open(kubeconfig, TIMEOUT_S)
        try:
            async with adapters(database_url) as made:
                await Nodes(connection, namespace, release, made, board).run()
        finally:
            await connection.close()

    asyncio.run(until_told())


@contextmanager
def nodes_running(kubeconfig: Path, namespace: str, release: str, database_url: str) -> Iterator[Player]:
    spawn = multiprocessing.get_context("spawn")
    board = Board(*(spawn.Value("i", 0) for _ in range(3)))
    process = spawn.Process(target=_play, args=(kubeconfig, namespace, release, database_url, board), daemon=True)
    process.start()
    try:
        yield Player(process, board)
    finally:
        process.kill()
        process.join(10)
