"""The spans of both apps: one for each request, in the caller's trace, named by the route, with nothing of the caller's in it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import httpx
import pytest

from tests.support.otlp_collector import Collector, Span, otlp_collector
from tests.support.public_api import MP4_HEAD, Api, no_store, public_api
from tests.support.servers import StoreEndpoint
from tests.support.services import NOBODY
from tests.support.stores import store_settings
from vidette_api.gateway.app import gateway_app
from vidette_core.domain.traceparents import well_formed
from vidette_core.settings import TracingSettings
from vidette_core.telemetry import tracing

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
SERVER = 2
"""`SpanKind` of OTLP."""


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with otlp_collector() as running:
        yield running


@pytest.fixture
async def api(postgres_url: str, s3: StoreEndpoint) -> AsyncIterator[Api]:
    async with public_api(postgres_url, store_settings(s3)) as running:
        yield running


@pytest.fixture
async def broken(postgres_url: str) -> AsyncIterator[Api]:
    """A public app whose store is away."""
    async with public_api(postgres_url, no_store(f"http://{NOBODY}")) as running:
        yield running


def to(collector: Collector) -> TracingSettings:
    return TracingSettings(exporter_otlp_endpoint=collector.url)


async def sent(collector: Collector, count: int) -> list[Span]:
    """A request ends a little after its answer: a wake-up is sent behind it."""
    async with asyncio.timeout(10):
        while len(collector.spans) < count:
            await asyncio.sleep(0.02)
    assert len(collector.spans) == count
    return collector.spans


def upload(**fields: str) -> list[tuple[str, tuple[str | None, bytes]]]:
    file: tuple[str | None, bytes] = ("secret-holiday.mp4", MP4_HEAD + b"x" * 1000)
    return [("file", file), *((name, (None, value.encode())) for name, value in fields.items())]


async def test_a_submission_goes_on_with_the_clients_trace_and_its_row_remembers_it(
    api: Api, collector: Collector
) -> None:
    with tracing.tracing("vidette-api", to(collector)):
        answer = await api.client.post("/video/submit", files=upload(pipeline_id="yolo_ocr"), headers=TRACEPARENT)
        job = answer.json()["job_id"]
        row = await api.row(job)
        status = await api.client.get(f"/video/status/{job}")
        await sent(collector, 2)
    (span,) = collector.of(TRACE)
    assert (span.name, span.kind, span.parent_id) == ("POST /video/submit", SERVER, CALLER)
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": "/video/submit",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "vidette.job_id": job,
    }
    assert row is not None
    assert row.traceparent == f"00-{TRACE}-{span.span_id}-01"
    told = status.text + answer.text + str(status.headers) + str(answer.headers)
    assert TRACE not in told, "a trace belongs to who began it"


async def test_nothing_that_a_client_wrote_is_in_a_span(api: Api, collector: Collector) -> None:
    with tracing.tracing("vidette-api", to(collector)):
        await api.client.get("/video/status/what-i-look-for?token=hush-a", headers={"authorization": "Bearer hush-b"})
        await api.client.get("/no/such/hush-c", headers={"tracestate": "a=hush-d", "baggage": "b=hush-e"})
        await api.client.request("PROPFIND", "/pipelines?hush-f")
        await api.client.post("/video/submit", files=upload(pipeline_id="hush-g"))
        await sent(collector, 4)
    names = sorted(span.name for span in collector.spans)
    assert names == ["GET", "GET /video/status/{job_id}", "HTTP /pipelines", "POST /video/submit"]
    assert not any(word in body for body in collector.bodies for word in (b"hush", b"what-i", b"holiday", b"PROPFIND"))


async def test_a_refusal_is_no_failure_and_something_away_is_one(broken: Api, collector: Collector) -> None:
    with tracing.tracing("vidette-api", to(collector)):
        await broken.client.get(f"/video/status/{uuid4()}")
        await broken.client.post("/video/submit", files=upload(pipeline_id="yolo_ocr"))
    refused, failed = sorted(collector.spans, key=lambda span: span.name)
    assert (refused.attributes["http.response.status_code"], refused.failed) == (404, False)
    assert "vidette.job_id" not in refused.attributes, "a job that never was"
    assert (failed.attributes["http.response.status_code"], failed.failed) == (503, True)
    assert failed.attributes["error.type"] == "store_unavailable"


@pytest.mark.parametrize(
    "headers",
    [
        [("traceparent", "rubbish")],
        [("traceparent", "00-" + "0" * 32 + "-" + "0" * 16 + "-00")],
        [("traceparent", "x" * 10_000)],
        [("traceparent", TRACEPARENT["traceparent"]), ("traceparent", TRACEPARENT["traceparent"])],
    ],
)
async def test_a_traceparent_that_is_none_begins_a_new_trace(
    api: Api, collector: Collector, headers: list[tuple[str, str]]
) -> None:
    with tracing.tracing("vidette-api", to(collector)):
        answer = await api.client.post("/video/submit", files=upload(pipeline_id="yolo_ocr"), headers=headers)
        row = await api.row(answer.json()["job_id"])
        (span,) = await sent(collector, 1)
    assert span.parent_id == ""
    assert span.trace_id != TRACE
    assert row is not None
    assert well_formed(row.traceparent) == f"00-{span.trace_id}-{span.span_id}-03", "recorded, and random (level 2)"


async def test_a_trace_that_its_client_does_not_record_is_remembered_so(api: Api, collector: Collector) -> None:
    with tracing.tracing("vidette-api", to(collector)):
        headers = {"traceparent": f"00-{TRACE}-{CALLER}-00"}
        answer = await api.client.post("/video/submit", files=upload(pipeline_id="yolo_ocr"), headers=headers)
        row = await api.row(answer.json()["job_id"])
    assert collector.spans == []
    assert row is not None
    assert row.traceparent is not None
    assert row.traceparent.endswith("-00")


async def test_without_tracing_a_traceparent_is_passed_by(api: Api) -> None:
    answer = await api.client.post("/video/submit", files=upload(pipeline_id="yolo_ocr"), headers=TRACEPARENT)
    row = await api.row(answer.json()["job_id"])
    assert row is not None
    assert row.traceparent is None


async def test_the_gateway_goes_on_with_a_workers_trace_whatever_the_worker_is(api: Api, collector: Collector) -> None:
    transport = httpx.ASGITransport(gateway_app(api.services))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as worker:
        with tracing.tracing("vidette-api", to(collector)):
            refused = await worker.post("/v1/claim", json={"pod": "hush"}, headers=TRACEPARENT)
            await worker.post("/v1/renew", json={"samples": 1}, headers=TRACEPARENT)
            await worker.get("/healthz", headers=TRACEPARENT)
            await worker.get("/metrics", headers=TRACEPARENT)
    assert refused.status_code == 401
    (span,) = collector.spans
    assert (span.name, span.trace_id, span.parent_id) == ("POST /v1/claim", TRACE, CALLER)
    assert not any(b"hush" in body for body in collector.bodies)
