"""`POST /video/submit`: what becomes of a right form, and what is said of each wrong one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio

from tests.support.network import silent_port
from tests.support.public_api import MP4_HEAD, PIPELINE, Api, detail, public_api
from tests.support.servers import StoreEndpoint
from tests.support.services import NOBODY
from tests.support.stores import store_settings
from vidette_api.settings import UploadSettings
from vidette_core.domain.chunks import source_key
from vidette_core.domain.jobs import JobState

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 2**20
AVI_HEAD = b"RIFF\x00\x10\x00\x00AVI LIST\x00\x00\x00\x00"
INVALID = {"detail": "Invalid file format. Must be MP4, MOV, or AVI."}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(module_postgres_url: str, s3: StoreEndpoint) -> AsyncIterator[Api]:
    async with public_api(
        module_postgres_url, store_settings(s3), uploads=UploadSettings(max_bytes=20 * MIB)
    ) as running:
        yield running


def pattern(size: int) -> bytes:
    """A video by its first bytes, and content in which every misplaced part would show."""
    count = size // 4
    return (MP4_HEAD + b"".join(number.to_bytes(4, "big") for number in range(count)))[:size]


async def test_a_video_becomes_a_pending_job_and_its_bytes_an_object(api: Api) -> None:
    video = pattern(12 * MIB + 12345)
    answer = await api.submit(video, pipeline_id="yolo_ocr", frame_stride="5", max_frames="100", max_workers="3")
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["job_id"]
    job_id = UUID(answer.json()["job_id"])
    assert answer.headers["location"] == f"/video/status/{job_id}"
    assert answer.headers["content-type"] == "application/json"
    row = await api.row(job_id)
    assert row is not None
    assert (row.state, row.container, row.frame_stride, row.max_frames) == (JobState.PENDING, "mov", 5, 100)
    assert (row.source_bytes, row.upload_id, row.chunk_frames, row.max_workers) == (len(video), None, 200, 3)
    assert row.pipeline_digest == PIPELINE.digest
    assert await api.services.store.get(source_key(job_id), len(video)) == video


@pytest.mark.parametrize("order", [("pipeline_id", "file", "frame_stride"), ("frame_stride", "pipeline_id", "file")])
async def test_fields_may_come_in_any_order(api: Api, order: tuple[str, ...]) -> None:
    parts: dict[str, tuple[str | None, bytes]] = {
        "file": ("v.avi", AVI_HEAD + b"x" * 100),
        "pipeline_id": (None, b"ocr"),
        "frame_stride": (None, b"2"),
    }
    answer = await api.client.post("/video/submit", files=[(name, parts[name]) for name in order])
    assert answer.status_code == 200, answer.text
    row = await api.row(answer.json()["job_id"])
    assert row is not None
    assert (row.container, row.frame_stride, row.max_frames) == ("avi", 2, None)


async def test_empty_and_null_optional_fields_are_absent(api: Api) -> None:
    answer = await api.submit(pattern(1000), pipeline_id="yolo_ocr", frame_stride="", max_frames="null", max_workers="")
    assert answer.status_code == 200, answer.text
    row = await api.row(answer.json()["job_id"])
    assert row is not None
    assert (row.frame_stride, row.max_frames, row.max_workers) == (1, None, None)


async def test_a_body_without_a_declared_length_is_taken(api: Api) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="pipeline_id"\r\n\r\nyolo_ocr\r\n'
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="v"\r\n\r\n' + MP4_HEAD[:10]
        for _ in range(9):
            yield MP4_HEAD[10:] + b"x" * MIB
        yield b"\r\n--b--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = await api.client.post("/video/submit", content=body(), headers=headers)
    assert answer.status_code == 200, answer.text
    row = await api.row(answer.json()["job_id"])
    assert row is not None
    assert row.source_bytes == 10 + 9 * (MIB + len(MP4_HEAD) - 10)


async def test_a_nats_that_is_away_or_never_answers_does_not_delay_the_answer(
    postgres_url: str, s3: StoreEndpoint
) -> None:
    async with silent_port() as silent:
        for address in (silent, NOBODY):
            store = store_settings(s3)
            async with public_api(postgres_url, store, nats_url=f"nats://{address}", nats_timeout_s=2) as api:
                answer = await api.submit(pattern(1000), pipeline_id="yolo_ocr")
            assert answer.status_code == 200
            assert answer.elapsed.total_seconds() < 1.5


async def test_a_submitted_job_wakes_the_controller(postgres_url: str, s3: StoreEndpoint, nats_url: str) -> None:
    async with public_api(postgres_url, store_settings(s3), nats_url=nats_url, nats_timeout_s=2) as api:
        assert (await api.submit(pattern(1000), pipeline_id="yolo_ocr")).status_code == 200
        wakes = api.services.wakeup.wakes()
        await anext(wakes)


REFUSED: list[tuple[bytes, dict[str, str], str, str]] = [
    (b"GIF89a" + b"x" * 100, {"pipeline_id": "yolo_ocr"}, "invalid_format", INVALID["detail"]),
    (b"", {"pipeline_id": "yolo_ocr"}, "invalid_format", INVALID["detail"]),
    (MP4_HEAD[:6], {"pipeline_id": "yolo_ocr"}, "invalid_format", INVALID["detail"]),
    (MP4_HEAD, {}, "invalid_request", "The field pipeline_id is missing. Allowed: yolo_ocr, ocr."),
    (MP4_HEAD, {"pipeline_id": "x"}, "unknown_pipeline", "Unknown pipeline_id 'x'. Allowed: yolo_ocr, ocr."),
    (
        MP4_HEAD,
        {"pipeline_id": "yolo_ocr", "frame_stride": "0"},
        "invalid_request",
        "frame_stride must be a whole number from 1 to 2147483647, not '0'.",
    ),
    (
        MP4_HEAD,
        {"pipeline_id": "yolo_ocr", "max_frames": "many"},
        "invalid_request",
        "max_frames must be a whole number from 1 to 2147483647, not 'many'.",
    ),
    (
        MP4_HEAD,
        {"pipeline_id": "yolo_ocr", "stride": "1"},
        "invalid_request",
        "Unknown field 'stride'. Allowed are file, pipeline_id, frame_stride, max_frames, max_workers.",
    ),
]


@pytest.mark.parametrize(("content", "fields", "code", "said"), REFUSED)
async def test_what_is_wrong_is_said_and_what_is_allowed(
    api: Api, content: bytes, fields: dict[str, str], code: str, said: str
) -> None:
    answer = await api.submit(content, **fields)
    assert answer.status_code == 400
    assert detail(answer) == said
    assert answer.headers["vidette-error"] == code


async def test_the_body_of_the_format_refusal_is_exactly_the_contracts(api: Api) -> None:
    answer = await api.submit(b"#EXTM3U\nhttp://example.com/" + b"x" * 100, pipeline_id="yolo_ocr")
    assert answer.content == b'{"detail":"Invalid file format. Must be MP4, MOV, or AVI."}'


@pytest.mark.parametrize("filename", ["v.mp4", "v.txt", "", "../../etc/passwd", "v\u00e9.mov"])
async def test_a_files_name_means_nothing(api: Api, filename: str) -> None:
    files = [("file", (filename, pattern(100))), ("pipeline_id", (None, b"yolo_ocr"))]
    assert (await api.client.post("/video/submit", files=files)).status_code == 200


async def test_a_form_whose_file_was_not_chosen_has_no_file(api: Api) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\n\r\n--b--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = await api.client.post("/video/submit", content=body, headers=headers)
    assert answer.status_code == 400
    assert detail(answer).startswith("The part file is missing")


@pytest.mark.parametrize("headers", [{"content-type": "application/json"}, {}, {"content-type": "multipart/form-data"}])
async def test_a_body_that_is_no_form_is_a_400(api: Api, headers: dict[str, str]) -> None:
    answer = await api.client.post("/video/submit", content=b"{}", headers=headers)
    assert answer.status_code == 400
    assert "multipart/form-data" in detail(answer)


async def test_what_only_shows_after_the_file_ends_the_upload_and_its_row_says_why(api: Api) -> None:
    answer = await api.submit(pattern(6 * MIB), pipeline_id="nonsense")
    assert answer.status_code == 400
    row = await api.newest_row()
    assert row.state is JobState.FAILED
    assert row.error_code == "unknown_pipeline"
    assert row.error_message == "Unknown pipeline_id 'nonsense'. Allowed: yolo_ocr, ocr."
    assert await api.is_gone(row)


async def test_a_failed_upload_is_no_job_for_clients(api: Api) -> None:
    await api.submit(pattern(100), pipeline_id="nonsense")
    answer = await api.client.get(f"/video/status/{(await api.newest_row()).id}")
    assert (answer.status_code, detail(answer)) == (404, "Job not found")


async def test_a_refusal_by_the_first_bytes_leaves_no_row(api: Api) -> None:
    before = await api.newest_id()
    await api.submit(b"x" * 100, pipeline_id="yolo_ocr")
    assert await api.newest_id() == before


async def test_a_video_past_the_limit_is_a_413_by_its_declared_length(api: Api) -> None:
    before = await api.newest_id()
    answer = await api.submit(pattern(21 * MIB), pipeline_id="yolo_ocr")
    assert answer.status_code == 413
    assert answer.headers["vidette-error"] == "upload_too_large"
    assert "at most 20971520 bytes (20 MiB)" in detail(answer)
    assert await api.newest_id() == before


async def test_a_video_past_the_limit_is_a_413_when_it_declares_nothing(api: Api) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="v"\r\n\r\n' + MP4_HEAD
        for _ in range(30):
            yield b"x" * MIB

    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = await api.client.post("/video/submit", content=body(), headers=headers)
    assert answer.status_code == 413
    row = await api.newest_row()
    assert (row.state, row.error_code) == (JobState.FAILED, "upload_too_large")
    assert await api.is_gone(row)
