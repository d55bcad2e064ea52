"""The real worker, gateway and public api around a real PostgreSQL and a real store, with every step in a test's hand.

What is missing is whoever decides: a test submits, launches and finishes jobs itself, with the adapters that the controller uses.
Workers are the product's own code, each in a thread with settings and models of its own.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
from sqlalchemy import func, select, update
from sqlmodel import col
from starlette.types import ASGIApp

from tests.support.jobs import Adapters, adapters, launch
from tests.support.limits import LIMITS
from tests.support.servers import StoreEndpoint
from tests.support.services import services_over
from tests.support.stores import blob_store
from vidette_api.gateway.app import gateway_app
from vidette_api.public.app import public_app
from vidette_api.settings import AnalysisSettings, ResultSettings
from vidette_api.wiring import Services
from vidette_core import serving
from vidette_core.adapters.postgres.schema import ChunkRow, SegmentRow
from vidette_core.domain.chunks import source_key
from vidette_core.domain.ledger import verdict
from vidette_core.domain.pipelines import Catalog, Pipeline
from vidette_core.domain.sampling import Sampling
from vidette_core.ports.inference import Inference
from vidette_core.ports.jobs import Submission
from vidette_frame_worker.gateway import Gateway
from vidette_frame_worker.settings import WorkerSettings
from vidette_frame_worker.worker import End, Worker

CHUNK_FRAMES = 4


@dataclass(frozen=True, slots=True)
class Rig:
    db: Adapters
    services: Services
    public: httpx.AsyncClient
    gateway_url: str

    async def running_job(self, video: bytes, pipeline: Pipeline) -> UUID:
        """A job of this video (MP4), which its first attempt may claim."""
        job_id = uuid4()
        await self.db.submissions.begin(job_id, container="mov", source_key=source_key(job_id))
        await self.services.store.put(source_key(job_id), video)
        await self.db.submissions.submit(job_id, Submission(pipeline, Sampling(), CHUNK_FRAMES, len(video)))
        assert job_id in await self.db.run()
        return job_id

    async def next_attempt(self, job_id: UUID, attempt: int) -> None:
        """As the controller does when it takes the workers for lost."""
        assert await self.db.schedule.next_attempt(job_id, attempt - 1, launch(job_id, attempt), blame=False)

    def variables(self, job_id: UUID, pod: str, attempt: int = 1) -> dict[str, str]:
        """What a worker's environment says, but for the address of Triton."""
        return {
            "VIDETTE_JOB_ID": str(job_id),
            "VIDETTE_JOB_TOKEN": self.services.tokens.job_token(job_id, attempt, datetime.now(UTC)),
            "VIDETTE_GATEWAY_URL": self.gateway_url,
            "VIDETTE_POD_NAME": pod,
            "VIDETTE_PATIENCE_S": "30",
        }

    def worker(
        self, job_id: UUID, inference: Inference, pod: str, others: Mapping[str, str], attempt: int = 1
    ) -> asyncio.Task[End]:
        """A worker that begins now, in a thread. `others` are more variables of its environment."""
        named = {**self.variables(job_id, pod, attempt), "VIDETTE_TRITON_URL": "127.0.0.1:1", **others}
        values = {name.removeprefix("VIDETTE_").lower(): value for name, value in named.items()}
        settings = WorkerSettings.model_validate(values)
        gateway = Gateway(settings.gateway_url, settings.job_token.get_secret_value(), settings.patience_s)
        return asyncio.create_task(asyncio.to_thread(Worker(gateway, inference, settings, LIMITS).run))

    @contextmanager
    def process(
        self, job_id: UUID, triton: str, pod: str, log: Path, others: Mapping[str, str]
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A worker in a process of its own, as launchers start it. `triton` is `host:port`."""
        named = {**self.variables(job_id, pod), "VIDETTE_TRITON_URL": triton, **others}
        with log.open("wb") as output:
            argv = [sys.executable, "-m", "vidette_frame_worker"]
            started = subprocess.Popen(argv, env={**os.environ, **named}, stderr=output)
        try:
            yield started
        finally:
            started.kill()
            started.wait(timeout=10)

    async def lease_runs_out(self, job_id: UUID) -> None:
        held = (col(SegmentRow.job_id) == job_id) & col(SegmentRow.lease_until).is_not(None)
        async with self.db.database.transaction() as session:
            await session.execute(update(SegmentRow).where(held).values(lease_until=func.now()))

    async def finish(self, job_id: UUID) -> str:
        """As the controller does: `completed`, or what is in the way."""
        return str(await self.db.schedule.finish(job_id, lambda balance: verdict(balance, 1.0)))

    async def rows(self, job_id: UUID) -> list[dict[str, Any]]:
        """The results of a completed job, as a client reads them."""
        answer = await self.public.get(f"/video/results/{job_id}")
        assert answer.status_code == 200, answer.text
        rows: list[dict[str, Any]] = answer.json()["results"]
        return rows

    async def segments(self, job_id: UUID) -> list[SegmentRow]:
        async with self.db.database.transaction() as session:
            found = select(SegmentRow).where(col(SegmentRow.job_id) == job_id).order_by(col(SegmentRow.index))
            return list((await session.execute(found)).scalars())

    async def chunks(self, job_id: UUID) -> list[ChunkRow]:
        async with self.db.database.transaction() as session:
            found = select(ChunkRow).where(col(ChunkRow.job_id) == job_id).order_by(col(ChunkRow.first_sample))
            return list((await session.execute(found)).scalars())


@asynccontextmanager
async def worker_rig(
    database_url: str,
    store: StoreEndpoint,
    *,
    lease_s: float = 30.0,
    results: ResultSettings | None = None,
    pipelines: Sequence[Pipeline] = (),
    **changes: Any,
) -> AsyncIterator[Rig]:
    """`changes` are those of the store's settings, e.g. `worker_endpoint`."""
    analysis = AnalysisSettings(chunk_frames=CHUNK_FRAMES)
    catalog = Catalog(pipelines=tuple(pipelines))
    async with (
        adapters(database_url, lease_s=lease_s, max_stalled_claims=1000) as db,
        blob_store(store, **changes) as blobs,
        services_over(db, blobs, catalog, analysis=analysis, results=results or ResultSettings()) as services,
    ):
        transport = httpx.ASGITransport(public_app(services))
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://api", timeout=60) as public,
            served(gateway_app(services)) as gateway_url,
        ):
            yield Rig(db, services, public, gateway_url)


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    server = serving.server(app, "127.0.0.1", 0, shutdown_s=1)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done(), "the gateway did not start"
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
