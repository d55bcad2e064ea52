"""`/video/verify`: a job of its own over some frames of a completed one, and what came of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import select
from sqlmodel import col

from tests.support.finished_jobs import (
    change,
    chunks_of,
    finished_job,
    frame,
    made_chunk,
    ndjson,
    packed,
    put_chunks,
    running_job,
)
from tests.support.public_api import Api, detail, public_api
from tests.support.servers import StoreEndpoint
from tests.support.stores import store_settings
from vidette_core.adapters.postgres.schema import JobRow, SegmentRow
from vidette_core.domain.jobs import JobState, Tally
from vidette_core.domain.sampling import Sampling

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHUNK, STRIDE = 20, 3
SAMPLES = 95
ROWS = [frame(STRIDE * sample, error="model_error" if sample == 41 else None) for sample in range(SAMPLES)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(module_postgres_url: str, s3: StoreEndpoint) -> AsyncIterator[Api]:
    async with public_api(module_postgres_url, store_settings(s3)) as running:
        yield running


async def completed(api: Api) -> UUID:
    return await finished_job(api, chunks_of(ROWS, CHUNK), Sampling(STRIDE), CHUNK)


async def asked(api: Api, job_id: UUID, query: str = "") -> UUID:
    answer = await api.client.post(f"/video/verify/{job_id}{query}")
    assert answer.status_code == 200, answer.text
    verification_id = answer.json()["job_id"]
    assert answer.headers["location"] == f"/video/status/{verification_id}"
    return UUID(verification_id)


async def windows(api: Api, job_id: UUID) -> list[tuple[int, int]]:
    statement = select(SegmentRow).where(col(SegmentRow.job_id) == job_id).order_by(col(SegmentRow.index))
    async with api.services.database.transaction() as session:
        return [(row.first_sample, row.window_end or 0) for row in (await session.execute(statement)).scalars()]


async def worked(api: Api, verification_id: UUID, rows: list[dict[str, Any]]) -> None:
    """What a worker finds, of which `rows` are all that there is."""
    made = []
    for first, end in await windows(api, verification_id):
        part = rows[first:end]
        errors = sum(row["result"].get("error") is not None for row in part)
        made.append(made_chunk(first, packed(ndjson(part)), Tally(ok=len(part) - errors, model_error=errors)))
    await put_chunks(api, verification_id, made, CHUNK)
    await change(api, verification_id, state=JobState.COMPLETED, progress=1.0, frames_ok=1)


async def test_it_is_a_pending_job_over_the_same_video_and_models_with_windows_of_its_own(api: Api) -> None:
    job_id = await completed(api)
    verification_id = await asked(api, job_id, "?frames=30&seed=7")
    async with api.services.database.transaction() as session:
        job, made = await session.get_one(JobRow, job_id), await session.get_one(JobRow, verification_id)
    assert made.state is JobState.PENDING
    for name in ("source_key", "pipeline_digest", "frame_stride", "chunk_frames", "container", "tenant"):
        assert getattr(made, name) == getattr(job, name)
    drawn = await windows(api, verification_id)
    assert len(drawn) == 3
    assert all(first % CHUNK == 0 and 0 < end - first <= 10 for first, end in drawn)
    assert made.expected_samples == sum(end - first for first, end in drawn)
    assert await windows(api, await asked(api, job_id, "?frames=30&seed=7")) == drawn
    assert (await api.client.get(f"/video/status/{verification_id}")).json()["status"] == "pending"


async def test_frames_that_come_out_as_they_are_stored_are_counted_as_identical(api: Api) -> None:
    job_id = await completed(api)
    verification_id = await asked(api, job_id, "?frames=1000")
    await worked(api, verification_id, ROWS)
    found = (await api.client.get(f"/video/verification/{verification_id}")).json()
    assert found == {
        "job_id": str(verification_id),
        "verifies": str(job_id),
        "frames": SAMPLES,
        "identical": SAMPLES,
        "close": 0,
        "different": 0,
        "differences": [],
    }


async def test_frames_that_come_out_otherwise_are_told_with_both_rows(api: Api) -> None:
    job_id = await completed(api)
    verification_id = await asked(api, job_id, "?frames=1000")
    others = [*ROWS]
    others[1] = frame(STRIDE * 1, error="model_error")
    box = dict(ROWS[62]["result"]["detections"][0], confidence=0.8755)
    others[62] = {**ROWS[62], "result": {**ROWS[62]["result"], "detections": [box]}}
    await worked(api, verification_id, others)
    found = (await api.client.get(f"/video/verification/{verification_id}")).json()
    assert (found["frames"], found["identical"], found["close"], found["different"]) == (SAMPLES, SAMPLES - 2, 1, 1)
    [difference] = found["differences"]
    assert difference["frame_index"] == STRIDE
    assert difference["stored"]["detections"][0]["label"] == "car"
    assert difference["found"]["error"] == "model_error"


async def test_a_job_that_is_not_completed_cannot_be_verified_nor_a_verification_be_read_early_or_verified(
    api: Api,
) -> None:
    running = await running_job(api)
    answer = await api.client.post(f"/video/verify/{running}")
    assert (answer.status_code, answer.headers["vidette-error"]) == (404, "not_completed")
    job_id = await completed(api)
    verification_id = await asked(api, job_id)
    answer = await api.client.get(f"/video/verification/{verification_id}")
    assert (answer.status_code, answer.headers["vidette-error"]) == (404, "not_completed")
    await worked(api, verification_id, ROWS)
    answer = await api.client.post(f"/video/verify/{verification_id}")
    assert (answer.status_code, answer.headers["vidette-error"]) == (404, "not_completed")


async def test_a_job_is_no_verification_and_a_verification_has_no_results(api: Api) -> None:
    job_id = await completed(api)
    answer = await api.client.get(f"/video/verification/{job_id}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Job not found"})
    verification_id = await asked(api, job_id)
    await worked(api, verification_id, ROWS)
    answer = await api.client.get(f"/video/results/{verification_id}")
    assert (answer.status_code, answer.headers["vidette-error"]) == (404, "not_found")
    assert "/video/verification/" in detail(answer)


@pytest.mark.parametrize("job_id", [str(UUID(int=7)), "no-id"])
@pytest.mark.parametrize(("method", "path"), [("POST", "verify"), ("GET", "verification")])
async def test_an_unknown_or_malformed_id_is_the_404_of_the_contract(
    api: Api, method: str, path: str, job_id: str
) -> None:
    answer = await api.client.request(method, f"/video/{path}/{job_id}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Job not found"})


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("?frames=0", "frames must be a whole number from 1 to 1000,"),
        ("?frames=1001", "frames must be a whole number from 1 to 1000,"),
        ("?seed=x", "seed must be a whole number"),
        ("?frames=1&frames=2", "given twice"),
        ("?chunks=1", "Unknown query parameter"),
    ],
)
async def test_a_wrong_query_is_refused_with_what_is_allowed(api: Api, query: str, told: str) -> None:
    answer = await api.client.post(f"/video/verify/{await completed(api)}{query}")
    assert (answer.status_code, answer.headers["vidette-error"]) == (400, "invalid_request")
    assert told in detail(answer)
