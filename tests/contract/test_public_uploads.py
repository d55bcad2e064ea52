"""Uploads that go wrong, and what they leave: a row that says why, and nothing in the store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from uuid import UUID

import psutil
import pytest
from sqlalchemy import update

from tests.support.network import narrow_way
from tests.support.public_api import MP4_HEAD, Api, detail, failed_row, public_api, until
from tests.support.raw_http import FILE_HEAD, raw_upload
from tests.support.servers import StoreEndpoint
from tests.support.stores import store_settings
from vidette_api.settings import UploadSettings
from vidette_core.adapters.postgres.schema import JobRow
from vidette_core.domain.jobs import JobState

MIB = 2**20
LIMITS = UploadSettings(max_at_once=2, idle_timeout_s=0.5, timeout_s=2, heartbeat_s=0.1, drain_s=1)


@pytest.fixture
async def api(postgres_url: str, s3: StoreEndpoint) -> AsyncIterator[Api]:
    async with public_api(postgres_url, store_settings(s3), uploads=LIMITS) as running:
        yield running


async def begun(api: Api, at_least: int = 1) -> None:
    async def is_so() -> bool:
        return await api.uploads_under_way() >= at_least

    await until(is_so)


async def test_a_client_that_leaves_fails_its_row_and_aborts_its_upload(api: Api) -> None:
    async with raw_upload(api.port) as upload:
        await upload.send(FILE_HEAD + MP4_HEAD + b"x" * (9 * MIB))
        await begun(api)
        await upload.leave()
        row = await failed_row(api)
    assert (row.error_code, row.error_message) == (
        "upload_aborted",
        "The client went away before the upload was complete.",
    )


async def test_a_silent_client_is_told_and_fails_its_row(api: Api) -> None:
    async with raw_upload(api.port) as upload:
        await upload.send(FILE_HEAD + MP4_HEAD)
        answer = await asyncio.wait_for(upload.answer(), 5)
    assert answer.status == 408
    assert answer.headers["vidette-error"] == "upload_timeout"
    assert b"it may take 2 s" in answer.body
    assert (await failed_row(api)).error_code == "upload_timeout"


async def test_a_client_that_crawls_is_ended_by_the_limit_on_the_whole(api: Api) -> None:
    async with raw_upload(api.port) as upload:
        await upload.send(FILE_HEAD + MP4_HEAD)
        answer = asyncio.create_task(upload.answer())
        while not answer.done():
            await upload.send(b"x" * 100)
            await asyncio.sleep(0.1)
    assert (await answer).status == 408
    assert (await failed_row(api)).error_code == "upload_timeout"


async def test_an_upload_under_way_beats_in_its_row(api: Api) -> None:
    async with raw_upload(api.port) as upload:
        await upload.send(FILE_HEAD + MP4_HEAD)
        await begun(api)
        first = (await api.only_row()).heartbeat_at

        async def has_beaten() -> bool:
            return (await api.only_row()).heartbeat_at > first

        await until(has_beaten)


async def test_an_upload_that_the_sweeper_gave_up_ends(api: Api) -> None:
    async with raw_upload(api.port) as upload:
        await upload.send(FILE_HEAD + MP4_HEAD)
        await begun(api)
        swept = {"state": JobState.FAILED, "error_code": "upload_aborted"}
        async with api.services.database.transaction() as session:
            await session.execute(update(JobRow).values(swept))
        answer = asyncio.create_task(upload.answer())
        while not answer.done():
            await upload.send(b"x" * 100)
            await asyncio.sleep(0.05)
    assert (await answer).status == 503
    assert (await failed_row(api)).error_code == "upload_aborted"


async def test_more_uploads_than_allowed_are_told_to_come_again(api: Api) -> None:
    async with raw_upload(api.port) as first, raw_upload(api.port) as second:
        for upload in (first, second):
            await upload.send(FILE_HEAD + MP4_HEAD)
        await begun(api, at_least=2)
        answer = await api.submit(MP4_HEAD, pipeline_id="yolo_ocr")
    assert answer.status_code == 503
    assert (answer.headers["vidette-error"], answer.headers["retry-after"]) == ("too_many_uploads", "5")

    async def is_free() -> bool:
        return (await api.submit(MP4_HEAD, pipeline_id="yolo_ocr")).status_code == 200

    await until(is_free)


async def test_an_api_that_stops_aborts_what_is_under_way(postgres_url: str, s3: StoreEndpoint) -> None:
    async with public_api(postgres_url, store_settings(s3)) as api:
        async with raw_upload(api.port) as upload:
            await upload.send(FILE_HEAD + MP4_HEAD)
            await begun(api)
            api.server.should_exit = True
            row = await failed_row(api)
            answer = await asyncio.wait_for(upload.answer(), 5)
        assert (answer.status, answer.headers["vidette-error"]) == (503, "upload_aborted")
        assert (row.error_code, row.error_message) == (
            "upload_aborted",
            "The service was stopped during the upload. Send the video again.",
        )


async def test_memory_stays_bounded_when_the_store_is_slower_than_the_client(
    postgres_url: str, s3: StoreEndpoint
) -> None:
    """256 MiB through a way that lets 64 MiB a second pass: the client is slowed down, and nothing piles up."""
    size = 256 * MIB
    process = psutil.Process(os.getpid())
    highest = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal highest
        yield FILE_HEAD + MP4_HEAD
        piece = bytes(MIB)
        for _ in range(size // MIB):
            highest = max(highest, process.memory_info().rss)
            yield piece
        yield b'\r\n--raw\r\nContent-Disposition: form-data; name="pipeline_id"\r\n\r\nocr\r\n--raw--\r\n'

    async with (
        narrow_way(s3.endpoint.removeprefix("http://"), 64 * MIB) as address,
        public_api(postgres_url, store_settings(s3, endpoint=f"http://{address}")) as api,
    ):
        await api.submit(MP4_HEAD, pipeline_id="ocr")
        before = process.memory_info().rss
        began = asyncio.get_running_loop().time()
        headers = {"content-type": "multipart/form-data; boundary=raw"}
        answer = await api.client.post("/video/submit", content=body(), headers=headers)
        assert answer.status_code == 200, detail(answer)
        assert asyncio.get_running_loop().time() - began > 3.0, "the way was not narrow"
        row = await api.row(UUID(answer.json()["job_id"]))
    print(f"grown by {(highest - before) / MIB:.0f} MiB")
    assert row is not None
    assert row.source_bytes == size + len(MP4_HEAD)
    assert highest - before < 96 * MIB, f"{(highest - before) / MIB:.0f} MiB"
