"""`GET /video/status/{job_id}`, key by key, through a job's whole life; and the list of pipelines."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from prometheus_client import generate_latest

from tests.support.finished_jobs import change, running_job
from tests.support.public_api import MP4_HEAD, Api, detail, no_store, public_api
from vidette_core.domain.jobs import JobState
from vidette_core.settings import StoreSettings
from vidette_core.telemetry.metrics import REGISTRIES, Service

pytestmark = pytest.mark.asyncio(loop_scope="module")
KEYS = ["job_id", "status", "progress", "created_at", "updated_at"]
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(module_postgres_url: str) -> AsyncIterator[Api]:
    """Without a store: a status needs none."""
    store: StoreSettings = no_store()
    async with public_api(module_postgres_url, store) as running:
        yield running


async def status(api: Api, job_id: UUID) -> dict[str, Any]:
    answer = await api.client.get(f"/video/status/{job_id}")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    assert body["job_id"] == str(job_id)
    assert MOMENT.fullmatch(body["created_at"])
    assert MOMENT.fullmatch(body["updated_at"])
    return body


async def test_a_job_has_the_four_states_and_exactly_the_keys_of_the_contract(api: Api) -> None:
    job_id = await running_job(api)
    await change(api, job_id, state=JobState.PENDING)
    body = await status(api, job_id)
    assert (list(body), body["status"], body["progress"]) == (KEYS, "pending", None)
    await change(api, job_id, state=JobState.RUNNING, progress=0.25)
    body = await status(api, job_id)
    assert (list(body), body["status"], body["progress"]) == (KEYS, "running", 0.25)
    await change(api, job_id, state=JobState.COMPLETED, progress=1.0)
    body = await status(api, job_id)
    assert (list(body), body["status"], body["progress"]) == (KEYS, "completed", 1.0)


async def test_a_failed_job_says_why(api: Api) -> None:
    job_id = await running_job(api)
    await change(api, job_id, state=JobState.FAILED, error_code="invalid_video", error_message="No frame decodes.")
    body = await status(api, job_id)
    assert list(body) == [*KEYS, "error"]
    assert body["status"] == "failed"
    assert body["error"] == {"code": "invalid_video", "message": "No frame decodes."}


async def test_warnings_are_there_when_there_are_some(api: Api) -> None:
    job_id = await running_job(api)
    warnings = [{"code": "truncated", "message": "The video ends early."}]
    await change(api, job_id, state=JobState.COMPLETED, progress=1.0, warnings=warnings)
    body = await status(api, job_id)
    assert list(body) == [*KEYS, "warnings"]
    assert body["warnings"] == warnings


@pytest.mark.parametrize("job_id", [str(UUID(int=7)), "1", "not-a-uuid", "..", "%00", "é", "x" * 5000])
@pytest.mark.parametrize("route", ["status", "results"])
async def test_an_unknown_or_malformed_id_is_a_404(api: Api, route: str, job_id: str) -> None:
    answer = await api.client.get(f"/video/{route}/{job_id}")
    assert answer.status_code == 404
    if job_id != "..":
        assert answer.content == b'{"detail":"Job not found"}'
        assert answer.headers["vidette-error"] == "not_found"


async def test_an_id_is_written_as_it_was_given_and_in_no_other_way(api: Api) -> None:
    job_id = await running_job(api)
    for spelling, expected in (
        (str(job_id).upper(), 200),
        (job_id.hex, 404),
        (f"{{{job_id}}}", 404),
        (job_id.urn, 404),
    ):
        assert (await api.client.get(f"/video/status/{spelling}")).status_code == expected, spelling


async def test_a_job_still_uploading_is_not_found(api: Api) -> None:
    job_id = uuid4()
    await api.services.submissions.begin(job_id, container="mov", source_key=f"sources/{job_id}")
    assert (await api.client.get(f"/video/status/{job_id}")).status_code == 404


async def test_the_pipelines_are_listed_with_their_models_and_without_the_alphabet(api: Api) -> None:
    answer = await api.client.get("/pipelines")
    model = {"version": 3, "digest": "sha256:" + "ab" * 32}
    text = {
        "detection": {"name": "text_det", **model},
        "recognition": {"name": "text_rec", **model},
        "text_threshold": 0.5,
    }
    detector = {
        "model": {"name": "detector", **model},
        "family": "yolox",
        "size": 416,
        "labels": ["person", "car"],
        "score_threshold": 0.3,
        "iou_threshold": 0.45,
    }
    builtin = {"origin": "builtin"}
    assert answer.json() == {
        "pipelines": [
            {**builtin, "id": "yolo_ocr", "description": "Objects and text.", "detector": detector, "text": text},
            {**builtin, "id": "ocr", "description": "Text alone.", "detector": None, "text": text},
        ]
    }


async def test_a_wrong_method_or_path_is_an_error_of_the_same_shape(api: Api) -> None:
    wrong_method = await api.client.post(f"/video/status/{uuid4()}")
    assert (wrong_method.status_code, detail(wrong_method)) == (405, "Method Not Allowed")
    wrong_path = await api.client.post("/video", content=MP4_HEAD)
    assert (wrong_path.status_code, detail(wrong_path)) == (404, "Not Found")


async def test_requests_are_measured_under_their_routes_template_and_never_under_what_clients_wrote(api: Api) -> None:
    seen = {"/video/status/mine": "/video/status/{job_id}", "/healthz": "/healthz", "/no/such/path": "unmatched"}
    before = {route: _measured(route) for route in seen.values()}
    for path in seen:
        await api.client.get(path)
    async with asyncio.timeout(5):
        while any(_measured(route) <= before[route] for route in seen.values()):
            await asyncio.sleep(0.01)
    assert b"/no/such/path" not in generate_latest(REGISTRIES[Service.API])


def _measured(route: str) -> float:
    status = "200" if route == "/healthz" else "404"
    labels = {"app": "public", "route": route, "status": status}
    return REGISTRIES[Service.API].get_sample_value("vidette_request_seconds_count", labels) or 0.0
