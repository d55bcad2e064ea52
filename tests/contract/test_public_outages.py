"""What clients are told while PostgreSQL or the store is away or hangs: 503, soon, and before the body is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import uuid4

import pytest
from sqlalchemy import make_url

from tests.support.finished_jobs import chunks_of, finished_job, frame
from tests.support.network import BreakableWay, breakable_way, silent_port
from tests.support.public_api import MP4_HEAD, Api, detail, no_store, public_api
from tests.support.raw_http import FILE_HEAD, FORM_END, RawUpload, raw_upload
from tests.support.servers import StoreEndpoint
from tests.support.services import NOBODY
from tests.support.stores import store_settings
from vidette_api.settings import UploadSettings
from vidette_core.domain.jobs import JobState
from vidette_core.settings import StoreSettings

SOON = UploadSettings(check_s=0.5, drain_s=1)
BOUND_S = 6.0
"""Far below the minutes that the libraries' own limits add up to."""
Somewhere = Callable[[], AbstractAsyncContextManager[str]]


@asynccontextmanager
async def closed_port() -> AsyncIterator[str]:
    yield NOBODY


AWAY = pytest.mark.parametrize("away", [closed_port, silent_port])


async def assert_refused_before_the_body(api: Api, code: str, part: str) -> None:
    """To a client that has sent nothing but its head."""
    async with raw_upload(api.port, extra="Expect: 100-continue\r\n") as upload:
        answer = await asyncio.wait_for(upload.answer(), BOUND_S)
    assert answer.status == 503
    assert (answer.headers["vidette-error"], answer.headers["retry-after"]) == (code, "5")
    sentence = f"The {part} is unavailable at the moment. Nothing was lost; try again in a few seconds."
    assert answer.body == b'{"detail":"%s"}' % sentence.encode()


@AWAY
async def test_without_a_database_an_upload_is_refused_before_its_body(s3: StoreEndpoint, away: Somewhere) -> None:
    async with away() as address:
        url = f"postgresql+asyncpg://vidette@{address}/vidette"
        async with public_api(url, store_settings(s3), uploads=SOON) as api:
            await assert_refused_before_the_body(api, "database_unavailable", "database")


@AWAY
async def test_without_a_store_an_upload_is_refused_before_its_body(postgres_url: str, away: Somewhere) -> None:
    async with away() as address, public_api(postgres_url, no_store(f"http://{address}"), uploads=SOON) as api:
        await assert_refused_before_the_body(api, "store_unavailable", "store")
        with pytest.raises(LookupError):
            await api.only_row()


async def test_with_a_store_that_knows_not_the_bucket_an_upload_is_refused_before_its_body(
    postgres_url: str, s3: StoreEndpoint
) -> None:
    settings = store_settings(s3).model_copy(update={"bucket": "elsewhere"})
    async with public_api(postgres_url, settings, uploads=SOON) as api:
        await assert_refused_before_the_body(api, "store_unavailable", "store")


@AWAY
@pytest.mark.parametrize("route", ["status", "results"])
async def test_without_a_database_reading_is_a_503(away: Somewhere, route: str) -> None:
    async with away() as address:
        url = f"postgresql+asyncpg://vidette@{address}/vidette"
        async with public_api(url, no_store()) as api:
            answer = await asyncio.wait_for(api.client.get(f"/video/{route}/{uuid4()}"), BOUND_S)
    assert answer.status_code == 503
    assert (answer.headers["vidette-error"], answer.headers["retry-after"]) == ("database_unavailable", "5")
    assert detail(answer).startswith("The database is unavailable")


async def test_without_a_store_results_are_a_503_and_the_status_goes_on(postgres_url: str, s3: StoreEndpoint) -> None:
    async with public_api(postgres_url, store_settings(s3)) as api:
        job_id = await finished_job(api, chunks_of([frame(0)], 10))
    async with public_api(postgres_url, no_store()) as api:
        answer = await api.client.get(f"/video/results/{job_id}")
        assert (answer.status_code, answer.headers["vidette-error"]) == (503, "store_unavailable")
        assert (await api.client.get(f"/video/status/{job_id}")).status_code == 200


async def test_readiness_names_the_part_that_is_away_and_health_needs_none(postgres_url: str) -> None:
    async with public_api(postgres_url, no_store()) as api:
        answer = await api.client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["database"] == "ok"
        assert answer.json()["checks"]["store"] != "ok"
        assert (await api.client.get("/healthz")).status_code == 200


async def during_an_upload(api: Api, upload: RawUpload) -> None:
    await upload.send(FILE_HEAD + MP4_HEAD)
    async with asyncio.timeout(10):
        while await api.uploads_under_way() == 0:
            await asyncio.sleep(0.02)


LENGTH = len(FILE_HEAD) + len(MP4_HEAD) + len(FORM_END)


@asynccontextmanager
async def behind_a_way_to_the_database(url: str, store: StoreSettings) -> AsyncIterator[tuple[Api, BreakableWay]]:
    host = make_url(url)
    async with breakable_way(f"{host.host}:{host.port}") as way:
        there = host.set(host="127.0.0.1", port=int(way.address.rpartition(":")[2]))
        async with public_api(there.render_as_string(hide_password=False), store) as api:
            yield api, way


async def test_a_database_that_comes_back_soon_costs_an_upload_nothing(postgres_url: str, s3: StoreEndpoint) -> None:
    async with behind_a_way_to_the_database(postgres_url, store_settings(s3)) as (api, way):
        async with raw_upload(api.port, LENGTH) as upload:
            await during_an_upload(api, upload)
            way.break_off()
            await upload.send(FORM_END)
            await asyncio.sleep(1)
            way.mend()
            assert (await asyncio.wait_for(upload.answer(), 15)).status == 200
        assert (await api.only_row()).state is JobState.PENDING


async def test_a_database_that_stays_away_is_a_503_and_leaves_the_row_to_the_sweeper(
    postgres_url: str, s3: StoreEndpoint
) -> None:
    async with behind_a_way_to_the_database(postgres_url, store_settings(s3)) as (api, way):
        async with raw_upload(api.port, LENGTH) as upload:
            await during_an_upload(api, upload)
            way.break_off()
            await upload.send(FORM_END)
            answer = await asyncio.wait_for(upload.answer(), 25)
        assert (answer.status, answer.headers["vidette-error"]) == (503, "database_unavailable")
        way.mend()
        assert (await api.only_row()).state is JobState.UPLOADING


async def test_a_store_that_goes_away_during_an_upload_is_a_503_and_the_row_says_so(
    postgres_url: str, s3: StoreEndpoint
) -> None:
    async with breakable_way(s3.endpoint.removeprefix("http://")) as way:
        settings = store_settings(s3, endpoint=f"http://{way.address}")
        async with public_api(postgres_url, settings) as api, raw_upload(api.port, LENGTH) as upload:
            await during_an_upload(api, upload)
            way.break_off()
            await upload.send(FORM_END)
            answer = await asyncio.wait_for(upload.answer(), 25)
            assert (answer.status, answer.headers["vidette-error"]) == (503, "store_unavailable")
            row = await api.only_row()
            assert (row.state, row.error_code) == (JobState.FAILED, "store_unavailable")
            assert row.upload_id is not None, "by which the sweeper aborts what could not be aborted now"
