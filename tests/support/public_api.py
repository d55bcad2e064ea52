"""The public app under a real uvicorn, inside the test's own event loop, before real servers or none.

    async with public_api(postgres_url, store_settings(s3)) as api:
        answer = await api.client.get("/pipelines")

`api.services` are the very objects that the app uses. Settings are the defaults unless a test gives others.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

import httpx
import uvicorn
from pydantic import SecretStr
from sqlalchemy import func, select
from sqlmodel import col

from tests.support.jobs import adapters
from tests.support.services import NOBODY, services_over
from vidette_api.public.app import public_app
from vidette_api.settings import ResultSettings, UploadSettings
from vidette_api.wiring import Services
from vidette_core.adapters.postgres.schema import JobRow
from vidette_core.adapters.s3 import S3BlobStore
from vidette_core.domain.jobs import DEFAULT_TENANT, JobState
from vidette_core.domain.pipelines import Catalog, Detector, Letterbox, ModelRef, Pipeline, TextReader
from vidette_core.ports.errors import NotFound, Rejected
from vidette_core.settings import StoreSettings

MP4_HEAD = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2"


def _model(name: str) -> ModelRef:
    return ModelRef(name=name, version=3, digest="sha256:" + "ab" * 32)


PIPELINE = Pipeline(
    id="yolo_ocr",
    description="Objects and text.",
    detector=Detector(
        model=_model("detector"),
        family="yolox",
        size=416,
        letterbox=Letterbox.TOP_LEFT,
        labels=("person", "car"),
        score_threshold=0.3,
        iou_threshold=0.45,
    ),
    text=TextReader(detection=_model("text_det"), recognition=_model("text_rec"), alphabet=("a", "b", "c")),
)
OTHER = Pipeline(id="ocr", description="Text alone.", detector=None, text=PIPELINE.text)
CATALOG = Catalog(pipelines=(PIPELINE, OTHER))


@dataclass(frozen=True, slots=True)
class Api:
    """A running server, the services behind it, and a client of it."""

    port: int
    services: Services
    client: httpx.AsyncClient
    server: uvicorn.Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def submit(self, content: bytes, **fields: str) -> httpx.Response:
        """As `curl` does: the file first."""
        files: list[tuple[str, tuple[str | None, bytes]]] = [("file", ("video.mp4", content))]
        files += [(name, (None, value.encode())) for name, value in fields.items()]
        return await self.client.post("/video/submit", files=files)

    async def row(self, job_id: UUID | str) -> JobRow | None:
        async with self.services.database.transaction() as session:
            return await session.get(JobRow, UUID(str(job_id)))

    async def only_row(self) -> JobRow:
        """The one job there is. Raises `LookupError` when there are none or several."""
        async with self.services.database.transaction() as session:
            rows = list((await session.execute(select(JobRow))).scalars())
        if len(rows) != 1:
            raise LookupError(f"{len(rows)} jobs")
        return rows[0]

    async def newest_row(self) -> JobRow:
        """The job begun last. Raises `LookupError` when there is none."""
        row = await self.row(await self.newest_id() or UUID(int=0))
        if row is None:
            raise LookupError("no job")
        return row

    async def newest_id(self) -> UUID | None:
        newest = select(col(JobRow.id)).order_by(col(JobRow.created_at).desc()).limit(1)
        async with self.services.database.transaction() as session:
            return (await session.execute(newest)).scalar_one_or_none()

    async def is_gone(self, row: JobRow) -> bool:
        """Whether the store holds neither the job's multipart upload nor its video.

        Asked by completing with a part that was never sent: sending one would bring an upload back that is just being aborted.
        """
        assert row.upload_id is not None
        try:
            await self.services.store.complete_upload(row.source_key, row.upload_id, {9999: '"none"'})
        except NotFound:
            return [key async for key in self.services.store.list(row.source_key)] == []
        except Rejected:
            return False
        raise AssertionError("a part that was never sent was taken")

    async def uploads_under_way(self) -> int:
        """Those that are open in the store too, with their ids in their rows."""
        async with self.services.database.transaction() as session:
            is_open = (col(JobRow.state) == JobState.UPLOADING) & col(JobRow.upload_id).is_not(None)
            return (await session.execute(select(func.count()).select_from(JobRow).where(is_open))).scalar_one()


def no_store(endpoint: str = f"http://{NOBODY}") -> StoreSettings:
    return StoreSettings(endpoint=endpoint, access_key=SecretStr("a"), secret_key=SecretStr("b"), timeout_s=2)


@cache
def kept_blob_store(settings: StoreSettings) -> S3BlobStore:
    """One for each store, kept for all tests: making the clients costs more than most tests do."""
    return S3BlobStore(settings)


@asynccontextmanager
async def public_api(
    database_url: str,
    store: StoreSettings,
    *,
    nats_url: str = f"nats://{NOBODY}",
    nats_timeout_s: float = 0.2,
    uploads: UploadSettings | None = None,
    results: ResultSettings | None = None,
    tenant: str = DEFAULT_TENANT,
    catalog: Catalog = CATALOG,
) -> AsyncIterator[Api]:
    changes: dict[str, Any] = {
        "uploads": uploads or UploadSettings(),
        "results": results or ResultSettings(),
        "tenant": tenant,
    }
    nats: dict[str, Any] = {"nats_url": nats_url, "nats_timeout_s": nats_timeout_s}
    async with (
        adapters(database_url, timeout_s=3) as db,
        services_over(db, kept_blob_store(store), catalog, **nats, **changes) as services,
        _serving(services) as api,
    ):
        yield api


@asynccontextmanager
async def _serving(services: Services) -> AsyncIterator[Api]:
    config = uvicorn.Config(
        public_app(services),
        host="127.0.0.1",
        port=0,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())  # without the signal handlers of `serve`, which would be the test run's
    while not server.started:
        if task.done():
            task.result()
        await asyncio.sleep(0.01)
    port: int = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            yield Api(port, services, client, server)
    finally:
        server.should_exit = True
        await task
        if server.server_state.tasks:
            await asyncio.wait(set(server.server_state.tasks), timeout=10)


def detail(answer: httpx.Response) -> str:
    """The sentence of an error answer, whose body holds nothing else."""
    body = json.loads(answer.content)
    assert list(body) == ["detail"]
    said: str = body["detail"]
    return said


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


async def failed_row(api: Api) -> JobRow:
    """The one job, once it has failed and the store holds nothing of it."""

    async def is_failed() -> bool:
        row = await api.only_row()
        return row.state is JobState.FAILED and await api.is_gone(row)

    await until(is_failed)
    return await api.only_row()
