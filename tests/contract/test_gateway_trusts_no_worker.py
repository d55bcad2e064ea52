"""The gateway's routes over real PostgreSQL and a real store, called by workers that err, lie or come too late."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from tests.support.jobs import CHUNK_FRAMES, PIPELINE, Adapters, adapters
from tests.support.servers import StoreEndpoint
from tests.support.stores import blob_store
from vidette_api.gateway.app import gateway_app
from vidette_api.settings import AnalysisSettings, ParallelSettings, UploadSettings
from vidette_api.wiring import Services
from vidette_core.adapters.nats import NatsWakeup
from vidette_core.domain.pipelines import Catalog
from vidette_core.domain.sampling import Sampling
from vidette_core.settings import TokenSettings, WakeupSettings
from vidette_core.tokens import Tokens

CONTENT = b"compressed rows"
INDEX = {"width": 64, "height": 48, "frames": 2000, "duration_ms": 80_000.0, "has_increasing_timestamps": True}


def chunk(first_sample: int, frames: int = CHUNK_FRAMES, content: bytes = CONTENT, **changes: Any) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    counts = {"ok": frames, "decode_error": 0, "model_error": 0}
    return {"first_sample": first_sample, **counts, "bytes": len(content), "sha256": digest, **changes}


@dataclass(frozen=True, slots=True)
class Gateway:
    db: Adapters
    tokens: Tokens
    http: httpx.AsyncClient
    job_id: UUID

    async def call(self, method: str, path: str, token: str, body: dict[str, Any] | None = None) -> httpx.Response:
        return await self.http.request(method, path, json=body, headers={"Authorization": f"Bearer {token}"})

    async def claim(self, pod: str = "pod-1") -> dict[str, Any]:
        response = await self.call("POST", "/v1/claim", self.tokens.job_token(self.job_id, 1), {"pod": pod})
        assert response.status_code == 200
        answer: dict[str, Any] = response.json()["answer"]
        return answer

    async def upload(self, token: str, message: dict[str, Any], content: bytes = CONTENT) -> None:
        address = (await self.call("POST", "/v1/chunks/upload", token, message)).json()["url"]
        async with httpx.AsyncClient() as client:
            (await client.put(address, content=content)).raise_for_status()


@pytest.fixture
async def gateway(postgres_url: str, s3: StoreEndpoint) -> AsyncIterator[Gateway]:
    tokens = Tokens(TokenSettings(secret=SecretStr("s" * 40)))
    wakeup = NatsWakeup(WakeupSettings(url=SecretStr("nats://127.0.0.1:1"), timeout_s=0.1))
    async with adapters(postgres_url) as db, blob_store(s3) as store:
        services = Services(
            database=db.database,
            store=store,
            wakeup=wakeup,
            catalog=lambda: Catalog(pipelines=(PIPELINE,)),
            tokens=tokens,
            submissions=db.submissions,
            reader=db.reader,
            cancelling=db.cancelling,
            segments=db.segments,
            planning=db.planning,
            uploads=UploadSettings(),
            analysis=AnalysisSettings(),
            parallel=ParallelSettings(frame_cost_s=100, max_workers_per_job=3),
        )
        transport = httpx.ASGITransport(gateway_app(services))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            job_id = await db.submit(Sampling(2, 600))
            await db.run()
            yield Gateway(db, tokens, http, job_id)
    await wakeup.close()


async def test_a_claim_tells_a_worker_all_it_needs(gateway: Gateway) -> None:
    answer = await gateway.claim()
    assert answer["kind"] == "segment"
    known = {
        name: answer[name] for name in ("segment", "epoch", "next_sample", "planned", "frame_stride", "max_frames")
    }
    assert known == {
        "segment": 0,
        "epoch": 1,
        "next_sample": 0,
        "planned": False,
        "frame_stride": 2,
        "max_frames": 600,
    }
    assert answer["pipeline"]["id"] == PIPELINE.id
    assert answer["chunk_frames"] == CHUNK_FRAMES


async def test_a_video_worth_it_is_cut_and_each_worker_is_told_its_window(gateway: Gateway) -> None:
    first = await gateway.claim()
    assert "window_end" not in first, "a worker of before an upgrade would not understand it"
    answer = await gateway.call("POST", "/v1/plan", first["session_token"], INDEX)
    assert answer.json() == {"window_end": 200}
    again = await gateway.call("POST", "/v1/plan", first["session_token"], INDEX)
    assert again.json() == {"window_end": 200}
    others = [await gateway.claim(f"pod-{number}") for number in (2, 3)]
    assert [(each["segment"], each["next_sample"], each["window_end"]) for each in others] == [
        (1, 200, 400),
        (2, 400, 600),
    ]


async def test_a_worker_that_does_not_speak_of_timestamps_gets_the_whole_video(gateway: Gateway) -> None:
    first = await gateway.claim()
    index = {name: value for name, value in INDEX.items() if name != "has_increasing_timestamps"}
    answer = await gateway.call("POST", "/v1/plan", first["session_token"], index)
    assert answer.json() == {"window_end": None}


async def test_whoever_finds_the_plan_wrong_sends_all_back_to_the_beginning(gateway: Gateway) -> None:
    first = await gateway.claim()
    await gateway.call("POST", "/v1/plan", first["session_token"], INDEX)
    second = await gateway.claim("pod-2")
    assert (await gateway.call("POST", "/v1/replan", second["session_token"])).status_code == 204
    for token in (first["session_token"], second["session_token"]):
        assert (await gateway.call("POST", "/v1/renew", token, {"samples": 1})).status_code == 409
    heir = await gateway.claim("pod-2")
    assert (heir["segment"], heir["next_sample"], heir["planned"], "window_end" in heir) == (0, 0, True, False)
    assert (await gateway.call("POST", "/v1/replan", heir["session_token"])).status_code == 409


async def test_another_pod_is_told_to_wait(gateway: Gateway) -> None:
    await gateway.claim("pod-1")
    assert (await gateway.claim("pod-2"))["kind"] == "busy"


async def test_a_chunk_is_uploaded_committed_and_committed_again(gateway: Gateway) -> None:
    token = (await gateway.claim())["session_token"]
    await gateway.upload(token, chunk(0))
    for _ in range(2):
        response = await gateway.call("POST", "/v1/chunks", token, chunk(0))
        assert (response.status_code, response.json()) == (200, {"next_sample": CHUNK_FRAMES})


async def test_a_chunk_that_is_not_in_the_store_is_not_committed(gateway: Gateway) -> None:
    token = (await gateway.claim())["session_token"]
    response = await gateway.call("POST", "/v1/chunks", token, chunk(0))
    assert response.status_code == 503
    assert response.headers["retry-after"]


async def test_a_chunk_of_another_size_than_its_object_is_refused(gateway: Gateway) -> None:
    token = (await gateway.claim())["session_token"]
    await gateway.upload(token, chunk(0))
    response = await gateway.call("POST", "/v1/chunks", token, chunk(0, bytes=len(CONTENT) + 1))
    assert response.status_code == 409


@pytest.mark.parametrize("wrong", [chunk(3), chunk(0, CHUNK_FRAMES + 1), chunk(0, 0)], ids=["offset", "long", "empty"])
async def test_no_address_is_given_for_a_chunk_off_its_boundary(wrong: dict[str, Any], gateway: Gateway) -> None:
    token = (await gateway.claim())["session_token"]
    assert (await gateway.call("POST", "/v1/chunks/upload", token, wrong)).status_code == 409


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/claim", {"pod": ""}),
        ("/v1/plan", {"width": 0, "height": 1, "frames": 1, "duration_ms": None}),
        ("/v1/plan", {"width": 1, "height": 1, "frames": -1, "duration_ms": None}),
        ("/v1/renew", {"samples": -1}),
        ("/v1/chunks", chunk(0, sha256="../../etc/passwd")),
        ("/v1/chunks", chunk(0, bytes=2**40)),
        ("/v1/finish", {"end_sample": 0}),
        ("/v1/finish", {"end_sample": 5, "warnings": [{"code": "made-up", "message": "x"}]}),
        ("/v1/report", {"code": "internal", "message": "x"}),
        ("/v1/report", {"code": "invalid_video", "message": "x" * 501}),
        ("/v1/report", {"code": "invalid_video", "message": "two\nlines"}),
    ],
)
async def test_what_a_worker_must_not_say_is_refused(path: str, body: dict[str, Any], gateway: Gateway) -> None:
    claim_token = gateway.tokens.job_token(gateway.job_id, 1)
    token = claim_token if path == "/v1/claim" else (await gateway.claim())["session_token"]
    assert (await gateway.call("POST", path, token, body)).status_code == 400


async def test_tokens_are_for_one_purpose(gateway: Gateway) -> None:
    session = (await gateway.claim())["session_token"]
    job = gateway.tokens.job_token(gateway.job_id, 1)
    assert (await gateway.call("POST", "/v1/claim", session, {"pod": "x"})).status_code == 401
    assert (await gateway.call("GET", "/v1/source", job)).status_code == 401
    assert (await gateway.call("GET", "/v1/source", "rubbish")).status_code == 401
    assert (await gateway.http.get("/v1/source", headers={"Authorization": "Basic eDp5"})).status_code == 401


async def test_a_replaced_worker_gets_no_more_addresses_of_the_video(gateway: Gateway) -> None:
    old = (await gateway.claim())["session_token"]
    assert (await gateway.call("GET", "/v1/source", old)).status_code == 200
    await gateway.claim()
    assert (await gateway.call("GET", "/v1/source", old)).status_code == 409


async def test_a_reported_problem_reaches_the_controllers_eyes(gateway: Gateway) -> None:
    token = (await gateway.claim())["session_token"]
    body = {"code": "invalid_video", "message": "No readable index."}
    assert (await gateway.call("POST", "/v1/report", token, body)).status_code == 204
    (segment,) = (await gateway.db.schedule.snapshot()).jobs[0].segments
    assert segment.problem is not None
    assert (segment.problem.code.value, segment.problem.message) == ("invalid_video", "No readable index.")


async def test_metrics_and_health_are_served_beside_the_routes(gateway: Gateway) -> None:
    assert (await gateway.http.get("/healthz")).status_code == 200
    assert (await gateway.http.get("/readyz")).json()["checks"] == {"database": "ok", "store": "ok"}
    assert "vidette_claims_total" in (await gateway.http.get("/metrics")).text


async def test_every_refusal_has_its_code_in_the_header(gateway: Gateway) -> None:
    old = (await gateway.claim())["session_token"]
    new = (await gateway.claim())["session_token"]
    await gateway.upload(new, chunk(0))

    async def too_long() -> AsyncIterator[bytes]:
        for _ in range(65):
            yield b" " * 1024

    answers = {
        "unauthorized": await gateway.call("GET", "/v1/source", "rubbish"),
        "fenced": await gateway.call("GET", "/v1/source", old),
        "conflict": await gateway.call("POST", "/v1/chunks", new, chunk(0, bytes=len(CONTENT) + 1)),
        "store_unavailable": await gateway.call("POST", "/v1/chunks", new, chunk(0, content=b"never uploaded")),
        "invalid_request": await gateway.call("POST", "/v1/renew", new, {"samples": -1}),
        "not_found": await gateway.http.get("/v1/nowhere"),
        "method_not_allowed": await gateway.http.get("/v1/claim"),
        "upload_too_large": await gateway.http.post(
            "/v1/renew", content=too_long(), headers={"Authorization": f"Bearer {new}"}
        ),
    }
    assert {code: answer.headers.get("vidette-error") for code, answer in answers.items()} == {
        code: code for code in answers
    }
    assert [answer.status_code for answer in answers.values()] == [401, 409, 409, 503, 400, 404, 405, 413]


async def test_requests_of_workers_are_measured_and_no_series_says_when_it_was_created(gateway: Gateway) -> None:
    await gateway.call("GET", "/v1/source", "rubbish")
    shown = (await gateway.http.get("/metrics")).text
    assert 'vidette_request_seconds_count{app="gateway",route="/v1/source",status="401"}' in shown
    assert "_created" not in shown
