"""`GET /video/results/{job_id}`: every sampled frame once and in order, in pages or as a stream."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import psutil
import pytest
import pytest_asyncio

from tests.support.finished_jobs import change, chunks_of, finished_job, frame, put_chunks, running_job
from tests.support.public_api import PIPELINE, Api, detail, public_api
from tests.support.servers import StoreEndpoint
from tests.support.stores import store_settings
from vidette_api.settings import ResultSettings
from vidette_core.domain.jobs import JobState
from vidette_core.domain.sampling import Sampling

pytestmark = pytest.mark.asyncio(loop_scope="module")
MIB = 2**20
NDJSON = {"accept": "application/x-ndjson"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(module_postgres_url: str, s3: StoreEndpoint) -> AsyncIterator[Api]:
    async with public_api(module_postgres_url, store_settings(s3), results=ResultSettings(retry_s=1)) as running:
        yield running


async def results(api: Api, job_id: UUID, **query: Any) -> httpx.Response:
    return await api.client.get(f"/video/results/{job_id}", params=query)


async def pages(api: Api, job_id: UUID, limit: int) -> list[list[dict[str, Any]]]:
    """All pages, by following the links as RFC 8288 says."""
    found, answer = [], await results(api, job_id, limit=limit)
    while True:
        assert answer.status_code == 200, answer.text
        found.append(answer.json()["results"])
        if "next" not in answer.links:
            return found
        answer = await api.client.get(answer.url.join(answer.links["next"]["url"]))


async def test_the_body_holds_the_keys_of_the_contract_and_every_frame_in_order(api: Api) -> None:
    rows = [frame(index) for index in range(24)] + [frame(24, error="decode_error"), frame(25, error="model_error")]
    job_id = await finished_job(api, chunks_of(rows, 10))
    answer = await results(api, job_id)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert "link" not in answer.headers
    body = answer.json()
    assert list(body) == ["job_id", "results", "created_at", "updated_at", "models", "summary"]
    assert body["job_id"] == str(job_id)
    assert body["created_at"].endswith("Z")
    assert body["updated_at"].endswith("Z")
    assert body["results"][:24] == rows[:24]
    nothing: dict[str, Any] = {"detections": [], "text": "", "timestamp_ms": None, "lines": []}
    assert body["results"][24:] == [
        {"frame_index": 24, "result": {**nothing, "error": "decode_error"}},
        {"frame_index": 25, "result": {**nothing, "error": "model_error"}},
    ]
    assert body["models"] == [model.model_dump() for model in PIPELINE.models]
    text = {"lines_read": 0, "lines_reused": 0}
    assert body["summary"] == {"frames": 26, "ok": 24, "decode_error": 1, "model_error": 1, **text}


async def test_a_stride_shows_in_the_frame_indices(api: Api) -> None:
    rows = [frame(index) for index in range(0, 75, 3)]
    job_id = await finished_job(api, chunks_of(rows, 10), Sampling(3, 25))
    assert [row["frame_index"] for row in (await results(api, job_id)).json()["results"]] == list(range(0, 75, 3))


async def test_ndjson_is_a_line_for_each_frame(api: Api) -> None:
    rows = [frame(index) for index in range(25)]
    job_id = await finished_job(api, chunks_of(rows, 10))
    answer = await api.client.get(f"/video/results/{job_id}", headers=NDJSON)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["vary"] == "Accept"
    assert answer.text.endswith("\n")
    assert [json.loads(line) for line in answer.text.splitlines()] == rows


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("application/json, application/x-ndjson;q=0.5", "application/json"),
        ("application/json;q=0.4, application/x-ndjson;q=0.5", "application/x-ndjson"),
        ("application/x-ndjson;q=0", "application/json"),
        ("application/x-ndjson, */*;q=0.1", "application/x-ndjson"),
        ("application/x-ndjson;q=many", "application/json"),
        ("text/html,;;q=,", "application/json"),
    ],
)
async def test_the_form_that_the_client_wants_more_is_given(api: Api, accept: str, kind: str) -> None:
    job_id = await finished_job(api, chunks_of([frame(0)], 10))
    answer = await api.client.get(f"/video/results/{job_id}", headers={"accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)


async def test_pages_together_are_the_whole_whatever_their_length(api: Api) -> None:
    rows = [frame(index) for index in range(0, 64, 2)]
    job_id = await finished_job(api, chunks_of(rows, 10), Sampling(2))
    for limit in (1, 7, 10, 20, 31, 32, 33, 2**53):
        found = await pages(api, job_id, limit)
        assert [row for page in found for row in page] == rows
        assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)
        assert len(found) == -(-len(rows) // limit)


async def test_the_link_keeps_what_was_asked_and_the_body_keeps_its_shape(api: Api) -> None:
    job_id = await finished_job(api, chunks_of([frame(index) for index in range(5)], 10))
    answer = await results(api, job_id, limit=2)
    link = answer.headers["link"]
    assert link.startswith(f"</video/results/{job_id}?limit=2&cursor=")
    assert link.endswith('>; rel="next"')
    assert list(answer.json()) == ["job_id", "results", "created_at", "updated_at", "models", "summary"]
    assert answer.json()["summary"]["frames"] == 5


async def test_ndjson_is_paged_too(api: Api) -> None:
    rows = [frame(index) for index in range(5)]
    job_id = await finished_job(api, chunks_of(rows, 10))
    first = await api.client.get(f"/video/results/{job_id}", params={"limit": 3}, headers=NDJSON)
    second = await api.client.get(first.links["next"]["url"], headers=NDJSON)
    assert [json.loads(line) for line in (first.text + second.text).splitlines()] == rows
    assert "link" not in second.headers


async def test_a_cursor_that_was_tampered_with_or_borrowed_is_a_400(api: Api) -> None:
    rows = [frame(index) for index in range(5)]
    mine, other = [await finished_job(api, chunks_of(rows, 10)) for _ in range(2)]
    link = (await results(api, mine, limit=2)).links["next"]["url"]
    cursor = link.rpartition("cursor=")[2]
    assert (await results(api, mine, cursor=cursor)).status_code == 200
    for wrong in ("", "x", "é", cursor + "=", cursor[:-1], "B" + cursor[1:], cursor + "A", "A" * 22, "x" * 300):
        answer = await results(api, mine, cursor=wrong)
        assert answer.status_code == 400, wrong
        assert answer.headers["vidette-error"] == "invalid_request"
        assert "cursor" in detail(answer)
    assert (await results(api, other, cursor=cursor)).status_code == 400


@pytest.mark.parametrize("limit", ["0", "-1", "abc", "1.5", "", str(2**53 + 1), "1" * 5000])
async def test_a_limit_that_is_none_is_a_400_with_a_plain_sentence(api: Api, limit: str) -> None:
    answer = await results(api, await finished_job(api, chunks_of([frame(0)], 10)), limit=limit)
    assert (answer.status_code, answer.headers["vidette-error"]) == (400, "invalid_request")
    shown = repr(limit if len(limit) < 60 else "1" * 60 + "…")
    assert detail(answer) == f"limit must be a whole number from 1 to {2**53}, not {shown}."


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=1&limit=2", "The query parameter limit was given twice; it is allowed once."),
        ("limit=1&limit=1", "The query parameter limit was given twice; it is allowed once."),
        ("cursor=a&cursor=b", "The query parameter cursor was given twice; it is allowed once."),
        ("limits=1", "Unknown query parameter 'limits'. Allowed are limit, cursor."),
        ("limit=1&page=", "Unknown query parameter 'page'. Allowed are limit, cursor."),
    ],
)
async def test_a_query_parameter_that_is_unknown_or_given_twice_is_a_400(api: Api, query: str, said: str) -> None:
    job_id = await finished_job(api, chunks_of([frame(0)], 10))
    answer = await api.client.get(f"/video/results/{job_id}?{query}")
    assert (answer.status_code, answer.headers["vidette-error"]) == (400, "invalid_request")
    assert detail(answer) == said


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.RUNNING, JobState.FAILED])
async def test_a_job_that_is_not_completed_has_no_results(api: Api, state: JobState) -> None:
    job_id = await running_job(api)
    await put_chunks(api, job_id, chunks_of([frame(0)], 10), 10)
    await change(api, job_id, state=state, error_code="internal" if state is JobState.FAILED else None)
    answer = await results(api, job_id)
    assert (answer.status_code, answer.content) == (404, b'{"detail":"Job not completed"}')
    assert answer.headers["vidette-error"] == "not_completed"


async def test_an_unknown_job_has_no_results(api: Api) -> None:
    answer = await results(api, uuid4())
    assert (answer.status_code, answer.content) == (404, b'{"detail":"Job not found"}')


async def test_fifty_thousand_frames_stream_in_constant_memory(api: Api) -> None:
    count, chunk_frames = 50_000, 1000
    rows = [frame(index) for index in range(count)]
    job_id = await finished_job(api, chunks_of(rows, chunk_frames), chunk_frames=chunk_frames)
    del rows
    await results(api, job_id, limit=2 * chunk_frames)
    process = psutil.Process(os.getpid())
    before = highest = process.memory_info().rss
    received, began = 0, time.perf_counter()
    async with api.client.stream("GET", f"/video/results/{job_id}") as answer:
        async for piece in answer.aiter_raw():
            received += len(piece)
            highest = max(highest, process.memory_info().rss)
    print(
        f"{received / MIB:.1f} MiB in {time.perf_counter() - began:.1f} s, grown by {(highest - before) / MIB:.1f} MiB"
    )
    assert received > 12 * MIB
    assert highest - before < 12 * MIB


async def test_a_client_that_leaves_stops_the_reading(api: Api) -> None:
    rows = [frame(index) for index in range(20_000)]
    job_id = await finished_job(api, chunks_of(rows, 1000), chunk_frames=1000)
    async with api.client.stream("GET", f"/video/results/{job_id}") as answer:
        await anext(answer.aiter_raw())

    async with asyncio.timeout(5):
        while api.server.server_state.tasks:
            await asyncio.sleep(0.02)
