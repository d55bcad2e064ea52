"""The gateway's routes over real PostgreSQL and a real store, called by workers that err, lie or come too late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from tests.support.gateway import COMMIT, CONTENT, INDEX, Gateway, chunk
from tests.support.gateway import gateway as gateway_running
from tests.support.jobs import CHUNK_FRAMES, PIPELINE
from tests.support.servers import StoreEndpoint
from vidette_core.domain.chunks import results_prefix
from vidette_core.domain.sampling import Sampling


@dataclass(frozen=True, slots=True)
class OneJob(Gateway):
    """The gateway, and a running job that nobody has claimed yet."""

    job_id: UUID

    async def claim_it(self, pod: str = "pod-1") -> dict[str, Any]:
        return await self.claim(self.job_id, pod)

    async def stored(self) -> list[str]:
        """The keys of its chunks, committed or not."""
        return [key async for key in self.services.store.list(results_prefix(self.job_id))]


@pytest.fixture
async def gateway(postgres_url: str, s3: StoreEndpoint) -> AsyncIterator[OneJob]:
    async with gateway_running(postgres_url, s3) as made:
        job_id = await made.db.submit(Sampling(2, 600))
        await made.db.run()
        yield OneJob(made.db, made.services, made.http, job_id)


async def test_a_claim_tells_a_worker_all_it_needs(gateway: OneJob) -> None:
    answer = await gateway.claim_it()
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


async def test_a_video_worth_it_is_cut_and_each_worker_is_told_its_window(gateway: OneJob) -> None:
    first = await gateway.claim_it()
    assert first["window_end"] is None
    answer = await gateway.call("POST", "/v1/plan", first["session_token"], INDEX)
    assert answer.json() == {"window_end": 200}
    again = await gateway.call("POST", "/v1/plan", first["session_token"], INDEX)
    assert again.json() == {"window_end": 200}
    others = [await gateway.claim_it(f"pod-{number}") for number in (2, 3)]
    assert [(each["segment"], each["next_sample"], each["window_end"]) for each in others] == [
        (1, 200, 400),
        (2, 400, 600),
    ]


async def test_whoever_finds_the_plan_wrong_sends_all_back_to_the_beginning(gateway: OneJob) -> None:
    first = await gateway.claim_it()
    await gateway.call("POST", "/v1/plan", first["session_token"], INDEX)
    second = await gateway.claim_it("pod-2")
    assert (await gateway.call("POST", "/v1/replan", second["session_token"])).status_code == 204
    for token in (first["session_token"], second["session_token"]):
        assert (await gateway.call("POST", "/v1/renew", token, {"samples": 1})).status_code == 409
    heir = await gateway.claim_it("pod-2")
    assert (heir["segment"], heir["next_sample"], heir["planned"], heir["window_end"]) == (0, 0, True, None)
    assert heir["in_decoder_order"]
    assert (await gateway.call("POST", "/v1/replan", heir["session_token"])).status_code == 409


async def test_another_pod_is_told_to_wait(gateway: OneJob) -> None:
    await gateway.claim_it("pod-1")
    assert (await gateway.claim_it("pod-2"))["kind"] == "busy"


async def test_a_chunk_is_stored_committed_and_committed_again(gateway: OneJob) -> None:
    token = (await gateway.claim_it())["session_token"]
    for _ in range(2):
        response = await gateway.call("POST", COMMIT, token, chunk(0))
        assert (response.status_code, response.json()) == (200, {"next_sample": CHUNK_FRAMES})
        (key,) = await gateway.stored()
        assert await gateway.services.store.get(key, 100) == CONTENT


async def test_a_chunk_whose_bytes_are_not_those_of_its_digest_is_neither_stored_nor_committed(
    gateway: OneJob,
) -> None:
    token = (await gateway.claim_it())["session_token"]
    response = await gateway.call("POST", COMMIT, token, chunk(0, content=b"other rows"))
    assert (response.status_code, response.headers["vidette-error"]) == (400, "invalid_request")
    assert await gateway.stored() == []


@pytest.mark.parametrize("wrong", [chunk(3), chunk(0, CHUNK_FRAMES + 1), chunk(0, 0)], ids=["offset", "long", "empty"])
async def test_a_chunk_off_its_boundary_is_neither_stored_nor_committed(wrong: dict[str, Any], gateway: OneJob) -> None:
    token = (await gateway.claim_it())["session_token"]
    assert (await gateway.call("POST", COMMIT, token, wrong)).status_code == 409
    assert await gateway.stored() == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/claim", {"pod": ""}),
        ("/v1/plan", {"width": 0, "height": 1, "frames": 1, "duration_ms": None}),
        ("/v1/plan", {"width": 1, "height": 1, "frames": -1, "duration_ms": None}),
        ("/v1/renew", {"samples": -1}),
        ("/v1/chunks", chunk(0, sha256="../../etc/passwd")),
        ("/v1/chunks", chunk(0, bytes=3)),
        ("/v1/chunks", chunk(0, ok=2**60)),
        ("/v1/finish", {"end_sample": 0}),
        ("/v1/finish", {"end_sample": 5, "warnings": [{"code": "made-up", "message": "x"}]}),
        ("/v1/report", {"code": "internal", "message": "x"}),
        ("/v1/report", {"code": "invalid_video", "message": "x" * 501}),
        ("/v1/report", {"code": "invalid_video", "message": "two\nlines"}),
    ],
)
async def test_what_a_worker_must_not_say_is_refused(path: str, body: dict[str, Any], gateway: OneJob) -> None:
    claim_token = gateway.job_token(gateway.job_id)
    token = claim_token if path == "/v1/claim" else (await gateway.claim_it())["session_token"]
    assert (await gateway.call("POST", path, token, body)).status_code == 400


async def test_tokens_are_for_one_purpose(gateway: OneJob) -> None:
    session = (await gateway.claim_it())["session_token"]
    job = gateway.job_token(gateway.job_id)
    assert (await gateway.call("POST", "/v1/claim", session, {"pod": "x"})).status_code == 401
    assert (await gateway.call("GET", "/v1/source", job)).status_code == 401
    assert (await gateway.call("GET", "/v1/source", "rubbish")).status_code == 401
    assert (await gateway.http.get("/v1/source", headers={"Authorization": "Basic eDp5"})).status_code == 401


async def test_a_replaced_worker_gets_no_more_addresses_of_the_video(gateway: OneJob) -> None:
    old = (await gateway.claim_it())["session_token"]
    assert (await gateway.call("GET", "/v1/source", old)).status_code == 200
    await gateway.claim_it()
    assert (await gateway.call("GET", "/v1/source", old)).status_code == 409


async def test_a_reported_problem_reaches_the_controllers_eyes(gateway: OneJob) -> None:
    token = (await gateway.claim_it())["session_token"]
    body = {"code": "invalid_video", "message": "No readable index."}
    assert (await gateway.call("POST", "/v1/report", token, body)).status_code == 204
    (segment,) = (await gateway.db.schedule.snapshot()).jobs[0].segments
    assert segment.problem is not None
    assert (segment.problem.code.value, segment.problem.message) == ("invalid_video", "No readable index.")


async def test_metrics_and_health_are_served_beside_the_routes(gateway: OneJob) -> None:
    assert (await gateway.http.get("/healthz")).status_code == 200
    assert (await gateway.http.get("/readyz")).json()["checks"] == {"database": "ok", "store": "ok"}
    assert "vidette_claims_total" in (await gateway.http.get("/metrics")).text


async def test_every_refusal_has_its_code_in_the_header(gateway: OneJob) -> None:
    old = (await gateway.claim_it())["session_token"]
    new = (await gateway.claim_it())["session_token"]

    async def too_long() -> AsyncIterator[bytes]:
        for _ in range(65):
            yield b" " * 1024

    answers = {
        "unauthorized": await gateway.call("GET", "/v1/source", "rubbish"),
        "fenced": await gateway.call("GET", "/v1/source", old),
        "conflict": await gateway.call("POST", COMMIT, new, chunk(3)),
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
    assert [answer.status_code for answer in answers.values()] == [401, 409, 409, 400, 404, 405, 413]


async def test_requests_of_workers_are_measured_and_no_series_says_when_it_was_created(gateway: OneJob) -> None:
    await gateway.call("GET", "/v1/source", "rubbish")
    shown = (await gateway.http.get("/metrics")).text
    assert 'vidette_request_seconds_count{app="gateway",route="/v1/source",status="401"}' in shown
    assert "_created" not in shown
