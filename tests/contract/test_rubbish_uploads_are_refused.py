"""Requests that no honest client sends: each is refused with a code and a sentence, soon, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import httpx
import psutil
import pytest

from tests.support.network import narrow_way
from tests.support.public_api import MP4_HEAD, Api, detail, failed_row, public_api, until
from tests.support.raw_http import BOUNDARY, FILE_HEAD, FORM_END, RawAnswer, RawUpload, raw_upload
from tests.support.servers import StoreEndpoint
from tests.support.stores import store_settings
from vidette_api.settings import UploadSettings

MIB = 2**20
LIMITS = UploadSettings(max_bytes=20 * MIB, idle_timeout_s=1, timeout_s=3600, min_bytes_per_s=1000, drain_s=1)
LENGTH = 20 * MIB
MULTIPART = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture
async def api(postgres_url: str, s3: StoreEndpoint) -> AsyncIterator[Api]:
    async with public_api(postgres_url, store_settings(s3), uploads=LIMITS) as running:
        yield running


def field_head(name: str) -> bytes:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()


async def answered(upload: RawUpload, seconds: float = 10.0) -> RawAnswer:
    return await asyncio.wait_for(upload.answer(), seconds)


@pytest.mark.parametrize("name", ["pipeline_id", "frame_stride", "title"])
async def test_a_field_of_20_mb_before_the_file_is_refused_by_its_first_bytes(api: Api, name: str) -> None:
    process = psutil.Process(os.getpid())
    before = process.memory_info().rss
    async with raw_upload(api.port, LENGTH) as upload:
        await upload.send(field_head(name) + b"x" * 100_000)
        answer = await answered(upload)
        assert (answer.status, answer.headers["vidette-error"]) == (400, "invalid_request")
        assert f"{name} is longer than 4096 bytes".encode() in answer.body or b"Unknown field 'title'" in answer.body
        for _ in range(20):
            await upload.send(b"x" * MIB)
    assert process.memory_info().rss - before < 16 * MIB
    assert await api.newest_id() is None


async def test_a_head_of_a_part_that_never_ends_is_refused_by_its_first_bytes(api: Api) -> None:
    async with raw_upload(api.port, LENGTH) as upload:
        await upload.send(f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=".encode() + b"x" * 100_000)
        answer = await answered(upload)
    assert (answer.status, answer.headers["vidette-error"]) == (400, "invalid_request")
    assert b"not well-formed" in answer.body


async def test_a_boundary_that_never_closes_is_refused_when_the_body_ends(api: Api) -> None:
    body = FILE_HEAD + MP4_HEAD + b"x" * (6 * MIB)
    answer = await api.client.post("/video/submit", content=body, headers=MULTIPART)
    assert (answer.status_code, answer.headers["vidette-error"]) == (400, "invalid_request")
    assert "not well-formed" in detail(answer)
    assert (await failed_row(api)).error_code == "invalid_request"


async def test_a_boundary_that_never_closes_in_a_body_that_never_ends_is_refused_at_the_limit(api: Api) -> None:
    async with raw_upload(api.port, 4 * 2**30) as early:
        assert (await answered(early)).status == 413
    async with raw_upload(api.port, None) as upload:
        await upload.send(_chunk(FILE_HEAD + MP4_HEAD))
        answer = asyncio.create_task(upload.answer())
        while not answer.done():
            await upload.send(_chunk(b"x" * MIB))
            await asyncio.sleep(0)
    assert (await answer).headers["vidette-error"] == "upload_too_large"
    assert b"at most 20971520 bytes (20 MiB)" in (await answer).body
    assert (await failed_row(api)).error_code == "upload_too_large"


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def test_another_boundary_than_the_declared_one_is_refused_long_before_the_end(api: Api) -> None:
    async with raw_upload(api.port, LENGTH) as upload:
        await upload.send(FILE_HEAD.replace(b"raw", b"another") + b"x" * 100_000)
        answer = await answered(upload)
    assert (answer.status, answer.headers["vidette-error"]) == (400, "invalid_request")
    assert await api.newest_id() is None


async def test_two_files_are_refused_and_neither_is_kept(api: Api) -> None:
    files = [("file", ("one.mp4", MP4_HEAD + b"x" * MIB)), ("file", ("two.mp4", MP4_HEAD + b"y" * MIB))]
    answer = await api.client.post("/video/submit", files=files, data={"pipeline_id": "yolo_ocr"})
    assert (answer.status_code, answer.headers["vidette-error"]) == (400, "invalid_request")
    assert detail(answer) == "The field file was given twice; it is allowed once."
    assert (await failed_row(api)).error_code == "invalid_request"


@pytest.mark.parametrize(
    "kind",
    [
        "video/mp4",
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/mixed; boundary=raw",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        f"multipart/form-data; boundary={'x' * 71}",
        "multipart/form-data; boundary=\xff",
        "/",
    ],
)
async def test_a_wrong_content_type_is_refused_with_the_right_one(api: Api, kind: str) -> None:
    body = FILE_HEAD + MP4_HEAD + FORM_END
    headers = httpx.Headers({"content-type": kind}, encoding="latin-1")
    answer = await api.client.post("/video/submit", content=body, headers=headers)
    assert (answer.status_code, answer.headers["vidette-error"]) == (400, "invalid_request")
    assert "multipart/form-data" in detail(answer)
    assert await api.newest_id() is None


@pytest.mark.parametrize("politely", [True, False], ids=["closed", "reset"])
async def test_a_body_cut_in_the_middle_leaves_a_row_that_says_so_and_no_bytes(api: Api, politely: bool) -> None:
    async with raw_upload(api.port, LENGTH) as upload:
        await upload.send(FILE_HEAD + MP4_HEAD + b"x" * (9 * MIB))

        async def has_begun() -> bool:
            return await api.uploads_under_way() == 1

        await until(has_begun)
        if politely:
            upload.writer.close()
        else:
            await upload.leave()
        row = await failed_row(api)
    assert row.error_code == "upload_aborted"
    status = await api.client.get(f"/video/status/{row.id}")
    assert (status.status_code, detail(status)) == (404, "Job not found")


async def test_a_client_that_sends_a_byte_at_a_time_is_ended_though_it_is_never_silent(api: Api) -> None:
    """At a tenth of a second instead of a second: 10 bytes a second, where 1000 are asked for."""
    clock = asyncio.get_running_loop()
    async with raw_upload(api.port, LENGTH) as upload:
        await upload.send(FILE_HEAD + MP4_HEAD)
        began = clock.time()
        answer = asyncio.create_task(upload.answer())
        while not answer.done() and clock.time() - began < 10:
            await upload.send(b"x")
            await asyncio.sleep(0.1)
    assert clock.time() - began < 5, "long before the hour that an upload may take"
    assert ((await answer).status, (await answer).headers["vidette-error"]) == (408, "upload_timeout")
    assert b"has to bring 1000 bytes a second" in (await answer).body
    assert (await failed_row(api)).error_code == "upload_timeout"


async def test_a_client_whose_form_crawls_before_the_file_is_ended_as_well(api: Api) -> None:
    async with raw_upload(api.port, LENGTH) as upload:
        answer = asyncio.create_task(upload.answer())
        for byte in field_head("pipeline_id"):
            await upload.send(bytes([byte]))
            await asyncio.sleep(0.05)
            if answer.done():
                break
    assert (await asyncio.wait_for(answer, 5)).status == 408
    assert await api.newest_id() is None


async def test_a_client_is_not_blamed_for_a_slow_store(postgres_url: str, s3: StoreEndpoint) -> None:
    limits = UploadSettings(idle_timeout_s=1, min_bytes_per_s=8 * MIB)
    async with (
        narrow_way(s3.endpoint.removeprefix("http://"), 4 * MIB) as address,
        public_api(postgres_url, store_settings(s3, endpoint=f"http://{address}"), uploads=limits) as api,
    ):
        answer = await api.submit(MP4_HEAD + b"x" * (36 * MIB), pipeline_id="yolo_ocr")
    assert answer.status_code == 200, answer.text
    assert answer.elapsed.total_seconds() > 4.5, "no faster than half of what is asked of the client"


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 413)])
async def test_the_limit_on_bytes_is_the_files_and_exact(api: Api, more: int, status: int) -> None:
    answer = await api.submit(MP4_HEAD + bytes(20 * MIB + more - len(MP4_HEAD)), pipeline_id="yolo_ocr")
    assert answer.status_code == status
    if more:
        assert answer.headers["vidette-error"] == "upload_too_large"
        assert "20971521 bytes or more" in detail(answer)
        assert (await failed_row(api)).error_code == "upload_too_large"
