"""`POST /video/cancel/{job_id}`, from a job's beginning to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio

from tests.support.finished_jobs import change, running_job
from tests.support.public_api import Api, detail, no_store, public_api
from vidette_core.domain.jobs import JobState

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(module_postgres_url: str) -> AsyncIterator[Api]:
    async with public_api(module_postgres_url, no_store()) as running:
        yield running


async def test_a_running_job_answers_with_its_status_and_again_with_the_same(api: Api) -> None:
    job_id = await running_job(api)
    for _ in range(2):
        answer = await api.client.post(f"/video/cancel/{job_id}")
        assert (answer.status_code, answer.json()["status"]) == (200, "running")
    await change(api, job_id, state=JobState.FAILED, error_code="cancelled", error_message="As asked.")
    answer = await api.client.post(f"/video/cancel/{job_id}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (200, "cancelled")


async def test_a_job_that_has_ended_is_a_409_with_its_own_code(api: Api) -> None:
    job_id = await running_job(api)
    await change(api, job_id, state=JobState.COMPLETED, progress=1.0)
    answer = await api.client.post(f"/video/cancel/{job_id}")
    assert (answer.status_code, answer.headers["vidette-error"]) == (409, "job_over")
    assert "nothing to cancel" in detail(answer)


@pytest.mark.parametrize("job_id", [str(UUID(int=7)), "no-id"])
async def test_an_unknown_or_malformed_id_is_the_404_of_the_contract(api: Api, job_id: str) -> None:
    answer = await api.client.post(f"/video/cancel/{job_id}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Job not found"})
