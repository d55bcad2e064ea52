"""PostgreSQL fails over: all connections die, and the next ones reach a promoted standby. Nothing is lost, nothing done twice."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlmodel import col

from tests.support.clips import numbered_clip
from tests.support.made_up_models import PIPELINE, MadeUpModels
from tests.support.postgres_pair import Pair, postgres_pair
from tests.support.servers import StoreEndpoint, part_environment
from tests.support.worker_rig import CHUNK_FRAMES, Rig, worker_rig
from vidette_core.adapters.postgres.schema import JobRow
from vidette_core.domain.jobs import JobState
from vidette_core.domain.pipelines import ModelRef
from vidette_core.domain.worker_api import WorkerExit
from vidette_core.ports.errors import DatabaseUnavailable
from vidette_core.ports.inference import Tensor
from vidette_frame_worker.worker import End

FRAMES = 3 * CHUNK_FRAMES + 1
JOBS = 6
LIMIT_S = 120.0


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with postgres_pair(tmp_path_factory.mktemp("pair")) as made:
        yield made


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES).read_bytes()


@pytest.fixture
def database(pair: Pair) -> str:
    subprocess.run(
        [sys.executable, "-m", "vidette_core.adapters.postgres.migrate"],
        env={**part_environment(), "VIDETTE_DATABASE_URL": pair.url},
        check=True,
        timeout=120,
    )
    return pair.url


class Slow(MadeUpModels):
    def infer(self, model: ModelRef, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Tensor]:
        time.sleep(0.05)
        return super().infer(model, inputs, outputs)


@dataclass(slots=True)
class Running:
    """A client that submits, and a controller that launches and finishes: both go on whatever PostgreSQL does."""

    rig: Rig
    clip: bytes
    accepted: list[UUID] = field(default_factory=list)
    refused: int = 0
    workers: dict[UUID, asyncio.Task[End]] = field(default_factory=dict)
    completed: set[UUID] = field(default_factory=set)

    async def submit(self) -> None:
        while len(self.accepted) < JOBS:
            form = {"pipeline_id": PIPELINE.id}
            answer = await self.rig.public.post("/video/submit", files={"file": ("a.mp4", self.clip)}, data=form)
            if answer.status_code == 200:
                self.accepted.append(UUID(answer.json()["job_id"]))
            else:
                self.refused += 1
                assert (answer.status_code, answer.headers["vidette-error"]) == (503, "database_unavailable")
            await asyncio.sleep(0.3)

    async def control(self) -> None:
        while len(self.completed) < JOBS:
            try:
                await self._round()
            except DatabaseUnavailable:
                await asyncio.sleep(0.2)
            await asyncio.sleep(0.1)

    async def _round(self) -> None:
        await self.rig.db.run()
        for job_id in await self.running():
            if job_id not in self.workers:
                self.workers[job_id] = self.rig.worker(job_id, Slow(), "pod", {})
            elif self.workers[job_id].done():
                assert self.workers[job_id].result().code == WorkerExit.DONE
                assert await self.rig.finish(job_id) == "completed"
        self.completed |= set(await self._of(JobState.COMPLETED))

    async def running(self) -> list[UUID]:
        return await self._of(JobState.RUNNING)

    async def _of(self, state: JobState) -> list[UUID]:
        async with self.rig.db.database.transaction() as session:
            return list((await session.execute(select(col(JobRow.id)).where(col(JobRow.state) == state))).scalars())

    async def chunks(self) -> dict[str, int]:
        """Epochs by key, of all that is committed."""
        return {row.key: row.epoch for job_id in self.accepted for row in await self.rig.chunks(job_id)}


async def test_committed_work_is_kept_and_every_job_completes_once(
    pair: Pair, database: str, s3: StoreEndpoint, clip: bytes
) -> None:
    async with worker_rig(database, s3, pipelines=(PIPELINE,)) as rig:
        load = Running(rig, clip)
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(load.submit())
            tasks.create_task(load.control())
            while not (load.completed and len(await load.chunks()) > 5 and await load.running()):
                await asyncio.sleep(0.05)
            before = await load.chunks()
            done_before = {job_id: await rig.rows(job_id) for job_id in list(load.completed)}
            await pair.fail_over()
        after = await load.chunks()
        assert before.items() <= after.items(), "what was committed is done again, or lost"
        assert load.completed == set(load.accepted), "a job that no client was told of, or one that is lost"
        for job_id in load.accepted:
            rows = await rig.rows(job_id)
            assert [row["frame_index"] for row in rows] == list(range(FRAMES))
            assert rows == done_before.get(job_id, rows)
            (segment,) = await rig.segments(job_id)
            assert segment.epoch == 1, "workers waited: nobody had to take over"
        assert len(after) == 4 * JOBS
        assert before.keys() < after.keys()
