"""The OpenAPI document says what the routes do, errors and headers included."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.public_api import Api, no_store, public_api

pytestmark = pytest.mark.asyncio(loop_scope="module")
STATUSES = {
    ("/video/submit", "post"): {"200", "400", "408", "413", "500", "503"},
    ("/video/status/{job_id}", "get"): {"200", "404", "500", "503"},
    ("/video/results/{job_id}", "get"): {"200", "400", "404", "500", "503"},
    ("/video/cancel/{job_id}", "post"): {"200", "404", "409", "500", "503"},
    ("/video/verify/{job_id}", "post"): {"200", "400", "404", "500", "503"},
    ("/video/verification/{job_id}", "get"): {"200", "404", "500", "503"},
    ("/pipelines", "get"): {"200", "500"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api() -> AsyncIterator[Api]:
    async with public_api("postgresql+asyncpg://nobody@127.0.0.1:1/none", no_store()) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def document(api: Api) -> dict[str, Any]:
    answer = await api.client.get("/openapi.json")
    found: dict[str, Any] = answer.json()
    return found


async def test_every_route_declares_every_answer_and_no_422(document: dict[str, Any]) -> None:
    declared = {
        (path, method): set(operation["responses"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert declared == STATUSES


async def test_every_error_is_a_sentence_with_its_code_in_a_header(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["ErrorAnswer"]["properties"].keys() == {"detail"}
    assert "HTTPValidationError" not in schemas
    for (path, method), statuses in STATUSES.items():
        for status in statuses - {"200"}:
            answer = document["paths"][path][method]["responses"][status]
            assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorAnswer")
            assert "Vidette-Error" in answer["headers"]
            assert ("Retry-After" in answer["headers"]) == (status == "503")


async def test_the_form_is_declared_with_its_fields(document: dict[str, Any]) -> None:
    body = document["paths"]["/video/submit"]["post"]["requestBody"]
    form = body["content"]["multipart/form-data"]["schema"]
    assert body["required"] is True
    assert list(form["properties"]) == ["file", "pipeline_id", "frame_stride", "max_frames", "max_workers"]
    assert form["required"] == ["file", "pipeline_id"]
    assert form["additionalProperties"] is False


async def test_headers_of_good_answers_are_declared(document: dict[str, Any]) -> None:
    paths = document["paths"]
    assert "Location" in paths["/video/submit"]["post"]["responses"]["200"]["headers"]
    results = paths["/video/results/{job_id}"]["get"]["responses"]["200"]
    assert "Link" in results["headers"]
    assert set(results["content"]) == {"application/json", "application/x-ndjson"}


async def test_a_status_is_one_of_exactly_four(document: dict[str, Any]) -> None:
    status = document["components"]["schemas"]["JobStatus"]["properties"]["status"]
    assert status["enum"] == ["pending", "running", "completed", "failed"]
    assert "JobState" not in document["components"]["schemas"]


async def test_the_job_id_of_a_path_is_any_text(document: dict[str, Any]) -> None:
    """A malformed id is a 404 and no error of its own, so the document must not call it wrong."""
    [parameter] = document["paths"]["/video/status/{job_id}"]["get"]["parameters"]
    assert parameter["schema"] == {"type": "string", "title": "Job Id"}


async def test_a_moment_is_declared_as_one(document: dict[str, Any]) -> None:
    for answer in ("JobStatus", "JobResults"):
        properties = document["components"]["schemas"][answer]["properties"]
        for name in ("created_at", "updated_at"):
            assert (properties[name]["type"], properties[name]["format"]) == ("string", "date-time")


async def test_what_a_frame_always_has_is_required_and_its_error_is_not(document: dict[str, Any]) -> None:
    frame = document["components"]["schemas"]["FrameResult"]
    assert frame["required"] == ["detections", "text", "timestamp_ms", "lines"]
    assert set(frame["properties"]) - set(frame["required"]) == {"error"}


async def test_a_status_is_declared_with_its_own_error_codes_alone(document: dict[str, Any]) -> None:
    codes = {
        status: answer["headers"]["Vidette-Error"]["schema"]["enum"]
        for status, answer in document["paths"]["/video/submit"]["post"]["responses"].items()
        if status != "200"
    }
    assert codes == {
        "400": ["invalid_format", "invalid_request", "unknown_pipeline"],
        "408": ["upload_timeout"],
        "413": ["upload_too_large"],
        "500": ["internal"],
        "503": ["database_unavailable", "store_unavailable", "too_many_uploads", "stopping", "upload_aborted"],
    }


async def test_a_limit_is_declared_as_a_whole_number(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/video/results/{job_id}"]["get"]["parameters"]
    schemas = {parameter["name"]: parameter["schema"] for parameter in parameters}
    assert schemas["limit"] == {"type": "integer", "minimum": 1, "maximum": 2**53, "title": "Limit"}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/video", 404, "not_found"),
        ("GET", "/video/submit", 405, "method_not_allowed"),
        ("DELETE", "/video/status/1", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
    ],
)
async def test_what_no_route_answers_has_its_code_in_the_header_too(
    api: Api, method: str, path: str, status: int, code: str
) -> None:
    answer = await api.client.request(method, path)
    assert (answer.status_code, answer.headers["vidette-error"]) == (status, code)
    assert list(answer.json()) == ["detail"]
    assert ("allow" in answer.headers) == (status == 405)
