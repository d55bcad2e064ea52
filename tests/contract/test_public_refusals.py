"""An early refusal reaches the client: whole, readable, and before the client has sent what nobody wants."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pycurl
import pytest

from tests.support.public_api import MP4_HEAD, Api, public_api
from tests.support.raw_http import BOUNDARY, FILE_HEAD, FORM_END, raw_upload
from tests.support.servers import StoreEndpoint
from tests.support.stores import store_settings
from vidette_api.settings import UploadSettings

MIB = 2**20
INVALID = b'{"detail":"Invalid file format. Must be MP4, MOV, or AVI."}'
FILE = "<the file>"
FORM = {"file": FILE, "pipeline_id": "yolo_ocr"}
LIMITS = UploadSettings(drain_bytes=8 * MIB, drain_s=2, max_bytes=100 * MIB)


@pytest.fixture
async def api(postgres_url: str, s3: StoreEndpoint) -> AsyncIterator[Api]:
    async with public_api(postgres_url, store_settings(s3), uploads=LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def garbage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("garbage") / "garbage.mp4"
    with path.open("wb") as file:
        for _ in range(64):
            file.write(b"garbage!" * (MIB // 8))
    return path


def curl(api: Api, file: Path, fields: dict[str, str], *options: tuple[int, Any]) -> tuple[int, bytes, int]:
    """Status, body and bytes sent, as libcurl saw them; raises `pycurl.error` as `curl` would exit with an error."""
    body = BytesIO()
    handle = pycurl.Curl()
    form = pycurl.CurlMime(handle)
    for name, value in fields.items():
        part = form.addpart()
        part.name(name)
        if value == FILE:
            part.filedata(str(file))
        else:
            part.data(value.encode())
    handle.setopt(pycurl.MIMEPOST, form)
    handle.setopt(pycurl.URL, f"{api.url}/video/submit")
    handle.setopt(pycurl.PROXY, "")
    handle.setopt(pycurl.WRITEDATA, body)
    handle.setopt(pycurl.TIMEOUT, 30)
    for option, value in options:
        handle.setopt(option, value)
    handle.perform()
    return handle.getinfo(pycurl.RESPONSE_CODE), body.getvalue(), handle.getinfo(pycurl.SIZE_UPLOAD_T)


@pytest.mark.parametrize("headers", [[], ["Expect:"], ["Expect:", "Transfer-Encoding: chunked"]])
async def test_curl_reads_the_refusal_of_a_large_file_after_its_first_bytes(
    api: Api, garbage: Path, headers: list[str]
) -> None:
    status, body, sent = await asyncio.to_thread(curl, api, garbage, FORM, (pycurl.HTTPHEADER, headers))
    assert (status, body) == (400, INVALID)
    print(f"libcurl sent {sent} bytes")
    assert sent < 8 * MIB, "most of the 64 MiB were never sent"


async def test_curl_over_http_1_0_reads_the_refusal_too(api: Api, garbage: Path) -> None:
    version = (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_0)
    status, body, sent = await asyncio.to_thread(curl, api, garbage, FORM, version)
    assert (status, body) == (400, INVALID)
    assert sent < 8 * MIB


async def test_a_known_bad_field_is_refused_before_the_file(api: Api, garbage: Path) -> None:
    status, body, sent = await asyncio.to_thread(curl, api, garbage, {"frame_stride": "0", **FORM})
    assert status == 400
    assert b"frame_stride must be a whole number" in body
    assert sent < 8 * MIB


async def test_a_client_that_waits_for_100_continue_sends_nothing_of_what_is_too_large(api: Api) -> None:
    async with raw_upload(api.port, 200 * MIB, extra="Expect: 100-continue\r\n") as upload:
        answer = await asyncio.wait_for(upload.answer(), 5)
        assert answer.status == 413
        assert answer.headers["connection"] == "close"


async def test_a_client_that_waits_for_100_continue_gets_it_once_the_upload_may_begin(api: Api) -> None:
    length = len(FILE_HEAD) + len(MP4_HEAD) + len(FORM_END)
    async with raw_upload(api.port, length, extra="Expect: 100-continue\r\n") as upload:
        assert (await asyncio.wait_for(upload.answer(), 5)).status == 100
        await upload.send(FILE_HEAD + MP4_HEAD + FORM_END)
        assert (await asyncio.wait_for(upload.answer(), 5)).status == 200


async def test_the_answer_is_there_while_the_client_still_has_most_to_send(api: Api) -> None:
    async with raw_upload(api.port) as upload:
        await upload.send(FILE_HEAD + b"x" * 100)
        answer = await asyncio.wait_for(upload.answer(), 5)
        assert (answer.status, answer.body) == (400, INVALID)
        assert answer.headers["content-length"] == str(len(INVALID))
        assert answer.headers["connection"] == "close"


async def test_a_client_that_reads_only_after_sending_all_reads_the_answer_and_no_reset(api: Api) -> None:
    rest = b"x" * (6 * MIB)
    async with raw_upload(api.port, len(FILE_HEAD) + len(rest)) as upload:
        await upload.send(FILE_HEAD)
        for at in range(0, len(rest), MIB):
            await upload.send(rest[at : at + MIB])
        answer = await asyncio.wait_for(upload.answer(), 5)
        assert (answer.status, answer.body) == (400, INVALID)
        assert await upload.reader.read() == b""


async def test_draining_ends_at_the_limit_of_bytes(api: Api) -> None:
    """8 MiB here, of the endless body."""
    sent = 0
    async with raw_upload(api.port) as upload:
        await upload.send(FILE_HEAD)
        with contextlib.suppress(ConnectionError):
            while sent < 80 * MIB:
                await upload.send(b"x" * MIB)
                sent += MIB
    assert 8 * MIB <= sent < 40 * MIB, "past what lies in the kernel's buffers"


async def test_draining_ends_at_the_limit_of_time(api: Api) -> None:
    """2 s here, for a client that neither sends nor leaves."""
    clock = asyncio.get_running_loop()
    async with raw_upload(api.port) as upload:
        await upload.send(FILE_HEAD + b"x" * 100)
        await upload.answer()
        began = clock.time()
        assert await asyncio.wait_for(upload.reader.read(), 10) == b""
        assert 1.0 < clock.time() - began < 5.0


async def test_a_connection_lives_on_after_a_refusal_of_a_whole_body(api: Api) -> None:
    body = FILE_HEAD + b"x" * 100 + f"\r\n--{BOUNDARY}--\r\n".encode()
    headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    answer = await api.client.post("/video/submit", content=body, headers=headers)
    assert (answer.status_code, answer.content) == (400, INVALID)
