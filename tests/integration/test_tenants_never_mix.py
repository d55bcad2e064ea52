"""Two tenants on one PostgreSQL: each sees, starts and waits for its own jobs, whatever the other does.

Tenants come from the api's setting; until clients are told apart, an installation for two has an api for each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from tests.support.finished_jobs import chunks_of, finished_job, frame
from tests.support.jobs import Adapters, adapters
from tests.support.public_api import MP4_HEAD, Api, detail, public_api
from tests.support.servers import StoreEndpoint
from tests.support.stores import store_settings
from vidette_api.settings import TenantSettings
from vidette_core.domain.jobs import JobState
from vidette_core.ports.errors import NotFound
from vidette_core.ports.jobs import Caps

TENANTS = ("default", "red", "blue")


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[Adapters]:
    async with adapters(postgres_url) as made:
        yield made


@asynccontextmanager
async def two_apis(database_url: str, s3: StoreEndpoint) -> AsyncIterator[tuple[Api, Api]]:
    async with (
        public_api(database_url, store_settings(s3), tenant="red") as red,
        public_api(database_url, store_settings(s3), tenant="blue") as blue,
    ):
        yield red, blue


async def test_a_job_is_read_by_its_own_tenant_and_by_no_other(db: Adapters) -> None:
    jobs = {tenant: await db.submit(tenant=tenant) for tenant in TENANTS}
    for owner, job_id in jobs.items():
        assert (await db.reader.job(job_id, owner)).tenant == owner
        for other in set(TENANTS) - {owner}:
            with pytest.raises(NotFound):
                await db.reader.job(job_id, other)


async def test_who_names_no_tenant_is_the_default_one(db: Adapters) -> None:
    assert (await db.reader.job(await db.submit())).tenant == "default"
    with pytest.raises(NotFound):
        await db.reader.job(await db.submit(tenant="red"))


async def test_what_is_submitted_belongs_to_the_tenant_of_the_api(postgres_url: str, s3: StoreEndpoint) -> None:
    async with two_apis(postgres_url, s3) as apis:
        for api, tenant in zip(apis, ("red", "blue"), strict=True):
            answer = await api.submit(MP4_HEAD, pipeline_id="yolo_ocr")
            row = await api.row(answer.json()["job_id"])
            assert row is not None
            assert row.tenant == tenant


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.COMPLETED])
async def test_another_tenants_job_is_as_unknown_as_one_that_never_was(
    postgres_url: str, s3: StoreEndpoint, state: JobState
) -> None:
    async with two_apis(postgres_url, s3) as (red, blue):
        if state is JobState.PENDING:
            job_id = UUID((await red.submit(MP4_HEAD, pipeline_id="yolo_ocr")).json()["job_id"])
        else:
            job_id = await finished_job(red, chunks_of([frame(index) for index in range(10)], 10))
        before = await red.row(job_id)
        for method, path in (("GET", "status"), ("GET", "results"), ("POST", "cancel")):
            hers = await blue.client.request(method, f"/video/{path}/{job_id}")
            nobodys = await blue.client.request(method, f"/video/{path}/{uuid4()}")
            assert (hers.status_code, detail(hers)) == (404, "Job not found")
            assert (hers.content, hers.headers["vidette-error"]) == (nobodys.content, nobodys.headers["vidette-error"])
        assert await red.row(job_id) == before, "asking changed nothing"
        mine = await red.client.get(f"/video/status/{job_id}")
        assert (mine.status_code, mine.json()["status"]) == (200, state.value)


async def test_a_tenants_cap_is_its_own(db: Adapters) -> None:
    loud = [await db.submit(tenant="red") for _ in range(6)]
    quiet = [await db.submit(tenant="blue") for _ in range(2)]
    caps = Caps(running=5, running_per_tenant=3)
    assert set(await db.run(caps)) == {*loud[:3], *quiet}
    assert await db.run(caps) == [], "the loud one waits, though there is room"
    assert [(await db.reader.job(job_id, "red")).state for job_id in loud[3:]] == [JobState.PENDING] * 3


async def test_tenants_take_turns_however_much_one_has_queued_before(db: Adapters) -> None:
    loud = [await db.submit(tenant="red", priority=9) for _ in range(6)]
    quiet = [await db.submit(tenant="blue") for _ in range(2)]
    assert await db.run(Caps(running=4, running_per_tenant=4)) == [loud[0], quiet[0], loud[1], quiet[1]]


async def test_what_runs_counts_against_its_own_tenants_turn(db: Adapters) -> None:
    first = [await db.submit(tenant="red") for _ in range(2)]
    assert await db.run(Caps(running=2, running_per_tenant=5)) == first
    red, blue = await db.submit(tenant="red"), [await db.submit(tenant="blue") for _ in range(2)]
    assert await db.run(Caps(running=4, running_per_tenant=5)) == blue
    assert (await db.reader.job(red, "red")).state is JobState.PENDING


async def test_cancelling_ends_one_tenants_job_and_leaves_the_others(db: Adapters) -> None:
    jobs = {tenant: await db.submit(tenant=tenant) for tenant in TENANTS}
    await db.cancelling.request(jobs["red"])
    assert set(await db.run()) == {jobs["default"], jobs["blue"]}


@pytest.mark.parametrize("name", ["", "Red", "a b", "a/b", "-a", "x" * 64])
def test_a_name_that_is_no_tenants_is_a_wrong_setting(name: str) -> None:
    with pytest.raises(ValidationError):
        TenantSettings(tenant=name)
