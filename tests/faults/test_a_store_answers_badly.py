"""A store that answers, but badly: 503, slowly, half, with a page of somebody else, or 404 for what was just written.

As the worker meets it (the video), the gateway (a chunk), the api (results), and the sweeper.
"""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import update
from sqlmodel import col

from tests.support.clips import numbered_clip
from tests.support.http_proxy import Forward, HttpProxy, Meddle, Reply, Request, http_proxy, pass_on
from tests.support.made_up_models import PIPELINE, MadeUpModels
from tests.support.servers import StoreEndpoint
from tests.support.worker_rig import CHUNK_FRAMES, Rig, worker_rig
from vidette_api.settings import ResultSettings
from vidette_controller.settings import SweepSettings
from vidette_controller.sweep import Sweeper
from vidette_core.adapters.postgres.schema import JobRow
from vidette_core.adapters.postgres.sweeping import PostgresSweeping
from vidette_core.domain.chunks import results_prefix, source_key
from vidette_core.domain.worker_api import WorkerExit

pytestmark = pytest.mark.asyncio(loop_scope="module")
FRAMES = CHUNK_FRAMES + 1
SECONDS = 1.0
XML = (("Content-Type", "application/xml"),)
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
NO_SUCH_KEY = b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"


def busy(_: Request, __: Forward) -> Reply:
    return Reply(503, SLOW_DOWN, XML)


def busy_afterwards(request: Request, forward: Forward) -> Reply:
    """It has done what was asked for, and denies it."""
    forward(request)
    return Reply(503, SLOW_DOWN, XML)


def denying(_: Request, __: Forward) -> Reply:
    return Reply(404, NO_SUCH_KEY, XML)


def slow(request: Request, forward: Forward) -> Reply:
    return replace(forward(request), seconds=SECONDS)


def breaking_off(request: Request, forward: Forward) -> Reply:
    reply = forward(request)
    body = reply.body or b"nothing that anybody would miss"
    return replace(reply, body=body, cut=len(body) // 2)


def of_somebody_else(_: Request, __: Forward) -> Reply:
    return Reply(200, b"<!doctype html><html><p>Please log in.</html>", (("Content-Type", "text/html"),))


def half_a_document(request: Request, forward: Forward) -> Reply:
    """Shorter than it was, and said to be so."""
    reply = forward(request)
    return replace(reply, body=reply.body[: len(reply.body) // 2])


def without_a_word(_: Request, __: Forward) -> Reply:
    return Reply(200)


@dataclass(slots=True)
class Bad:
    """A way to the store on which the first `times` requests of a kind are answered as `how` has it."""

    method: str
    path: str
    how: Meddle
    times: int = 10**6
    met: int = 0

    def __call__(self, request: Request, forward: Forward) -> Reply:
        with LOCK:
            is_met = request.method == self.method and self.path in request.target and self.met < self.times
            self.met += is_met
        return (self.how if is_met else pass_on)(request, forward)


LOCK = threading.Lock()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return numbered_clip(tmp_path_factory.mktemp("clip"), FRAMES).read_bytes()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def before_a_store(module_postgres_url: str, s3: StoreEndpoint) -> AsyncIterator[tuple[Rig, HttpProxy]]:
    results = ResultSettings(retry_s=0.5, wait_s=6)
    with http_proxy(s3.endpoint) as proxy:
        async with worker_rig(
            module_postgres_url, s3, results=results, pipelines=(PIPELINE,), endpoint=proxy.url
        ) as rig:
            yield rig, proxy


@pytest.fixture
def rig(before_a_store: tuple[Rig, HttpProxy]) -> Rig:
    return before_a_store[0]


@pytest.fixture
def way(before_a_store: tuple[Rig, HttpProxy]) -> HttpProxy:
    before_a_store[1].meddle = pass_on
    return before_a_store[1]


async def completed(rig: Rig, clip: bytes) -> UUID:
    job_id = await rig.running_job(clip, PIPELINE)
    assert (await rig.worker(job_id, MadeUpModels(), "pod", {})).code == WorkerExit.DONE
    assert await rig.finish(job_id) == "completed"
    return job_id


async def indices(rig: Rig, job_id: UUID) -> list[int]:
    return [row["frame_index"] for row in await rig.rows(job_id)]


WORKERS_MEET: dict[str, tuple[str, str, Meddle]] = {
    "reading the video: 503": ("GET", "/sources/", busy),
    "reading the video: 404 for what was just written": ("GET", "/sources/", denying),
    "reading the video: slowly": ("GET", "/sources/", slow),
    "reading the video: half": ("GET", "/sources/", breaking_off),
    "writing a chunk: 503": ("PUT", "/results/", busy),
    "writing a chunk: 503, though it has it": ("PUT", "/results/", busy_afterwards),
    "writing a chunk: 404": ("PUT", "/results/", denying),
    "writing a chunk: slowly": ("PUT", "/results/", slow),
    "writing a chunk: half an answer": ("PUT", "/results/", breaking_off),
}


@pytest.mark.parametrize("kind", WORKERS_MEET)
async def test_a_worker_goes_on_when_it_has_met_a_bad_answer_and_no_frame_is_lost_or_doubled(
    kind: str, rig: Rig, way: HttpProxy, clip: bytes
) -> None:
    method, path, how = WORKERS_MEET[kind]
    job_id = await rig.running_job(clip, PIPELINE)
    way.meddle = bad = Bad(method, path, how, times=4)
    assert (await rig.worker(job_id, MadeUpModels(), "pod", {})).code == WorkerExit.DONE
    assert bad.met > 0
    assert await rig.finish(job_id) == "completed"
    assert await indices(rig, job_id) == list(range(FRAMES))
    assert len(await rig.chunks(job_id)) == 2


READERS_MEET: dict[str, Meddle] = {
    "503": busy,
    "404 for what was just written": denying,
    "slowly, beyond the time for first rows": lambda request, forward: replace(forward(request), seconds=20),
    "half": breaking_off,
}


@pytest.mark.parametrize("kind", READERS_MEET)
async def test_readers_are_told_to_come_again_and_get_everything_then(
    kind: str, rig: Rig, way: HttpProxy, clip: bytes
) -> None:
    job_id = await completed(rig, clip)
    way.meddle = bad = Bad("GET", "/results/", READERS_MEET[kind])
    answer = await rig.public.get(f"/video/results/{job_id}")
    assert (answer.status_code, answer.headers["vidette-error"]) == (503, "store_unavailable")
    assert answer.headers["retry-after"] == "5"
    assert "detail" in json.loads(answer.content)
    assert bad.met > 0
    way.meddle = pass_on
    assert await indices(rig, job_id) == list(range(FRAMES))


@pytest.mark.parametrize("how", [busy, denying, slow], ids=["503", "404 for what was just written", "slowly"])
async def test_readers_notice_nothing_of_a_bad_answer_or_two(
    how: Meddle, rig: Rig, way: HttpProxy, clip: bytes
) -> None:
    job_id = await completed(rig, clip)
    way.meddle = bad = Bad("GET", "/results/", how, times=2 if how is busy else 1)
    assert await indices(rig, job_id) == list(range(FRAMES))
    assert bad.met == bad.times


UPLOADERS_MEET: dict[str, tuple[str, str, Meddle]] = {
    "beginning: 503": ("POST", "?uploads", busy),
    "beginning: an answer without an id": ("POST", "?uploads", without_a_word),
    "beginning: the page of somebody else": ("POST", "?uploads", of_somebody_else),
    "a part: 503": ("PUT", "partNumber=", busy),
    "a part: an answer without its tag": ("PUT", "partNumber=", without_a_word),
    "a part: 404 for an upload just begun": ("PUT", "partNumber=", denying),
    "the end: 503": ("POST", "?uploadId=", busy),
}


async def submit(rig: Rig, clip: bytes) -> httpx.Response:
    fields = {"pipeline_id": PIPELINE.id}
    return await rig.public.post("/video/submit", files={"file": ("clip.mp4", clip)}, data=fields)


@pytest.mark.parametrize("kind", UPLOADERS_MEET)
async def test_an_upload_that_the_store_answers_badly_may_come_again_and_leaves_no_job(
    kind: str, rig: Rig, way: HttpProxy, clip: bytes
) -> None:
    method, path, how = UPLOADERS_MEET[kind]
    way.meddle = bad = Bad(method, path, how)
    answer = await submit(rig, clip)
    assert bad.met > 0
    assert (answer.status_code, answer.headers["vidette-error"]) == (503, "store_unavailable")
    assert answer.headers["retry-after"] == "5"
    way.meddle = pass_on
    assert (await submit(rig, clip)).status_code == 200
    assert len(await rig.db.run()) == 1


@pytest.mark.parametrize("how", [busy_afterwards, breaking_off], ids=["503", "half an answer"])
async def test_an_upload_that_the_store_has_whole_is_taken_though_it_answered_badly(
    how: Meddle, rig: Rig, way: HttpProxy, clip: bytes
) -> None:
    way.meddle = bad = Bad("POST", "?uploadId=", how, times=1)
    answer = await submit(rig, clip)
    assert (answer.status_code, bad.met) == (200, 1)
    way.meddle = pass_on
    assert await rig.db.run() == [UUID(answer.json()["job_id"])]
    assert await rig.services.store.size(source_key(UUID(answer.json()["job_id"]))) == len(clip)


@dataclass(frozen=True, slots=True)
class Garbage:
    """A job that ended long ago, its chunks, and what a zombie has left beside them."""

    job_id: UUID
    results: set[str]
    left: str

    @property
    def prefix(self) -> str:
        return results_prefix(self.job_id)


async def garbage(rig: Rig, clip: bytes) -> Garbage:
    job_id = await completed(rig, clip)
    left = f"{results_prefix(job_id)}0/00000000-e0-zombie.ndjson.zst"
    await rig.services.store.put(left, b"old")
    long_ago = col(JobRow.finished_at) - timedelta(hours=2)
    async with rig.db.database.transaction() as session:
        await session.execute(update(JobRow).where(col(JobRow.id) == job_id).values(finished_at=long_ago))
    return Garbage(job_id, {chunk.key for chunk in await rig.chunks(job_id)}, left)


async def stored(rig: Rig, prefix: str) -> set[str]:
    return {key async for key in rig.services.store.list(prefix)}


SWEEPERS_MEET: dict[str, tuple[str, str, Meddle]] = {
    "listing: 503": ("GET", "list-type=2", busy),
    "listing: 404": ("GET", "list-type=2", denying),
    "listing: half": ("GET", "list-type=2", breaking_off),
    "listing: half a document": ("GET", "list-type=2", half_a_document),
    "listing: the page of somebody else": ("GET", "list-type=2", of_somebody_else),
    "deleting: 503": ("DELETE", "/results/", busy),
    "deleting: half": ("DELETE", "/results/", breaking_off),
}


@pytest.mark.parametrize("kind", SWEEPERS_MEET)
async def test_the_sweeper_leaves_the_job_for_its_next_pass_and_removes_nothing_else(
    kind: str, rig: Rig, way: HttpProxy, clip: bytes
) -> None:
    job = await garbage(rig, clip)
    sweeper = Sweeper(PostgresSweeping(rig.db.database), rig.services.store, SweepSettings())
    method, path, how = SWEEPERS_MEET[kind]
    way.meddle = bad = Bad(method, path, how)
    await sweeper.sweep()
    assert bad.met > 0
    way.meddle = pass_on
    assert await stored(rig, job.prefix) >= job.results
    await sweeper.sweep()
    assert await stored(rig, job.prefix) == job.results
    assert await indices(rig, job.job_id) == list(range(FRAMES))
