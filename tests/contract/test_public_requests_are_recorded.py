"""What the log and the metrics say of a request: what its client had, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from tests.support.public_api import MP4_HEAD, Api, public_api
from tests.support.raw_http import FILE_HEAD, raw_upload
from tests.support.servers import StoreEndpoint
from tests.support.stores import store_settings
from vidette_api.settings import UploadSettings
from vidette_core.telemetry.metrics import REGISTRIES, Service

LIMITS = UploadSettings(drain_s=1.5)


@pytest.fixture
async def api(postgres_url: str, s3: StoreEndpoint) -> AsyncIterator[Api]:
    async with public_api(postgres_url, store_settings(s3), uploads=LIMITS) as running:
        yield running


async def recorded(lines: list[Any]) -> dict[str, Any]:
    """The line of the one request, once it is there."""
    async with asyncio.timeout(10):
        while True:
            found: list[dict[str, Any]] = [line for line in lines if line["event"] == "request"]
            if found:
                assert len(found) == 1
                return found[0]
            await asyncio.sleep(0.02)


def measured(sample: str, status: str) -> float:
    labels = {"app": "public", "route": "/video/submit", "status": status}
    return REGISTRIES[Service.API].get_sample_value(f"vidette_request_seconds_{sample}", labels) or 0.0


async def test_a_refusal_took_as_long_as_its_client_waited_not_as_long_as_it_was_drained(api: Api) -> None:
    clock = asyncio.get_running_loop()
    before = measured("sum", "400")
    with capture_logs() as lines:
        async with raw_upload(api.port) as upload:
            began = clock.time()
            await upload.send(FILE_HEAD + b"x" * 100)
            assert (await upload.answer()).status == 400
            waited = clock.time() - began
            line = await recorded(lines)
            drained = clock.time() - began
    assert drained > waited + 1, "the client neither sent nor left, so the api drained for its full time"
    assert line["seconds"] < waited + 0.1
    assert measured("sum", "400") - before == pytest.approx(line["seconds"], abs=0.01)
    assert (line["status"], line["whole"]) == (400, True)


async def test_a_refusal_is_logged_with_its_code_and_without_a_job_that_never_was(api: Api) -> None:
    with capture_logs() as lines:
        await api.submit(b"no video at all", pipeline_id="yolo_ocr")
        line = await recorded(lines)
    assert (line["status"], line["code"]) == (400, "invalid_format")
    assert "job_id" not in line


async def test_a_submission_is_logged_with_the_job_it_made(api: Api) -> None:
    with capture_logs() as lines:
        answer = await api.submit(MP4_HEAD + b"x" * 1000, pipeline_id="yolo_ocr")
        line = await recorded(lines)
    assert (line["status"], line["job_id"], line["whole"]) == (200, answer.json()["job_id"], True)
    assert "code" not in line


async def test_a_client_that_left_is_no_failure_of_the_service(api: Api) -> None:
    left, unavailable = measured("count", "client_left"), measured("count", "503")
    with capture_logs() as lines:
        async with raw_upload(api.port) as upload:
            await upload.send(FILE_HEAD + MP4_HEAD)
            await asyncio.sleep(0.2)
            await upload.leave()
        line = await recorded(lines)
    assert (line["status"], line["whole"]) == (499, False)
    assert measured("count", "client_left") == left + 1
    assert measured("count", "503") == unavailable


async def test_asking_for_a_status_makes_noise_only_when_the_answer_is_an_error(api: Api) -> None:
    job_id = (await api.submit(MP4_HEAD + b"x" * 1000, pipeline_id="yolo_ocr")).json()["job_id"]
    with capture_logs() as lines:
        await api.client.get(f"/video/status/{job_id}")
        line = await recorded(lines)
    assert (line["log_level"], line["job_id"]) == ("debug", job_id)
    with capture_logs() as lines:
        await api.client.get(f"/video/status/{uuid4()}")
        line = await recorded(lines)
    assert (line["log_level"], line["status"], line["code"]) == ("info", 404, "not_found")
    assert "job_id" not in line
