"""Every way in which a token comes to its end: each of them, by itself, and on every route that the token was good for."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import func, update
from sqlmodel import col

from tests.support.gateway import COMMIT, INDEX, Gateway, chunk, gateway
from tests.support.jobs import CHUNK_FRAMES, launch
from tests.support.servers import StoreEndpoint
from tests.support.services import SECRET
from tests.support.spoilt_tokens import claims_of, signed
from tests.support.strangers import running_job
from vidette_core.adapters.postgres.schema import SegmentRow
from vidette_core.domain.errors import ErrorCode, Problem
from vidette_core.domain.jobs import Fence
from vidette_core.settings import TokenSettings
from vidette_core.tokens import InvalidToken, Tokens

WRITES: dict[tuple[str, str], dict[str, Any] | None] = {
    ("GET", "/v1/source"): None,
    ("POST", "/v1/plan"): INDEX,
    ("POST", "/v1/replan"): None,
    ("POST", "/v1/renew"): {"samples": 1},
    ("POST", COMMIT): chunk(CHUNK_FRAMES),
    ("POST", "/v1/finish"): {"end_sample": 2 * CHUNK_FRAMES},
    ("POST", "/v1/report"): {"code": "invalid_video", "message": "No readable index."},
}


LIFE = timedelta(seconds=TokenSettings(secret=SecretStr(SECRET)).life_s)


@pytest.fixture
async def place(postgres_url: str, s3: StoreEndpoint) -> AsyncIterator[Gateway]:
    async with gateway(postgres_url, s3) as made:
        yield made


async def refusals(place: Gateway, token: str) -> set[tuple[int, str]]:
    answers = [await place.call(method, path, token, body) for (method, path), body in WRITES.items()]
    return {(answer.status_code, answer.headers.get("vidette-error", "")) for answer in answers}


async def its_pod_claims_again(place: Gateway, job_id: UUID) -> None:
    await place.claim(job_id, "pod-1")


async def another_pod_claims(place: Gateway, job_id: UUID) -> None:
    past = update(SegmentRow).where(col(SegmentRow.job_id) == job_id)
    async with place.db.database.transaction() as session:
        await session.execute(past.values(lease_until=func.now() - func.make_interval(0, 0, 0, 0, 0, 0, 1)))
    assert (await place.claim(job_id, "pod-2"))["kind"] == "segment"


async def the_attempt_is_replaced(place: Gateway, job_id: UUID) -> None:
    assert await place.db.schedule.next_attempt(job_id, 1, launch(job_id, 2), blame=False)


async def the_job_is_cancelled(place: Gateway, job_id: UUID) -> None:
    await place.db.cancelling.request(job_id)


async def the_job_fails(place: Gateway, job_id: UUID) -> None:
    assert await place.db.schedule.fail(job_id, 1, Problem(ErrorCode.DEADLINE_EXCEEDED, "Too long."))


async def all_begin_anew(place: Gateway, job_id: UUID) -> None:
    """The holder of another segment finds the plan wrong."""
    other = await place.claim(job_id, "pod-2")
    assert (await place.call("POST", "/v1/replan", other["session_token"])).status_code == 204


End = Callable[[Gateway, UUID], Awaitable[None]]
ENDS: list[End] = [
    its_pod_claims_again,
    another_pod_claims,
    the_attempt_is_replaced,
    the_job_is_cancelled,
    the_job_fails,
    all_begin_anew,
]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_a_session_token_dies_when_the_epoch_rises_or_the_job_is_over(end: End, place: Gateway) -> None:
    job_id = await running_job(place, "one")
    token = (await place.claim(job_id))["session_token"]
    assert (await place.call("POST", "/v1/plan", token, INDEX)).status_code == 200
    assert (await place.call("GET", "/v1/source", token)).status_code == 200
    await end(place, job_id)
    assert await refusals(place, token) == {(409, "fenced")}


@pytest.mark.parametrize("end", [the_attempt_is_replaced, the_job_is_cancelled, the_job_fails])
async def test_a_job_token_claims_no_more_once_its_attempt_is_over(end: End, place: Gateway) -> None:
    job_id = await running_job(place, "one")
    assert (await place.claim(job_id))["kind"] == "segment"
    await end(place, job_id)
    assert await place.claim(job_id) == {"kind": "over"}


@pytest.mark.parametrize(
    "end", [None, the_attempt_is_replaced, the_job_is_cancelled], ids=["while it runs", "replaced", "cancelled"]
)
async def test_the_token_of_a_segment_that_is_done_gives_no_address_and_holds_nothing(
    end: End | None, place: Gateway
) -> None:
    """Its epoch does not rise any more, so that the token would outlive its attempt."""
    job_id = await running_job(place, "one")
    token = (await place.claim(job_id))["session_token"]
    await place.call("POST", "/v1/plan", token, {**INDEX, "frames": CHUNK_FRAMES})
    for path, body in ((COMMIT, chunk(0)), ("/v1/finish", {"end_sample": CHUNK_FRAMES})):
        assert (await place.call("POST", path, token, body)).is_success, path
    if end is not None:
        await end(place, job_id)
    before = await place.db.schedule.snapshot()
    assert {status for status, _ in await refusals(place, token)} == {409}
    again = await place.call("POST", "/v1/finish", token, {"end_sample": CHUNK_FRAMES})
    assert again.status_code == 204, "the same once more, by a worker that missed the answer"
    assert (await place.db.schedule.snapshot()).jobs == before.jobs


async def test_a_token_whose_time_is_over_opens_nothing_though_its_epoch_is_in_force(place: Gateway) -> None:
    job_id = await running_job(place, "one")
    token = (await place.claim(job_id))["session_token"]
    late = signed({**claims_of(token), "exp": time.time() - 1}, SECRET)
    assert await refusals(place, late) == {(401, "unauthorized")}
    assert (await place.call("GET", "/v1/source", token)).status_code == 200


async def test_a_job_token_whose_time_is_over_claims_nothing_though_its_attempt_is_in_force(place: Gateway) -> None:
    job_id = await running_job(place, "one")
    late = place.tokens.job_token(job_id, 1, datetime.now(UTC) - LIFE - timedelta(seconds=1))
    answer = await place.call("POST", "/v1/claim", late, {"pod": "pod-1"})
    assert (answer.status_code, answer.headers["vidette-error"]) == (401, "unauthorized")
    assert (await place.claim(job_id))["kind"] == "segment"


@pytest.mark.parametrize("life_s", [60, 48 * 3600])
def test_a_token_lives_as_long_as_the_setting_says(life_s: int) -> None:
    tokens = Tokens(TokenSettings(secret=SecretStr(SECRET), life_s=life_s))
    began = int(time.time())
    token = tokens.session_token(Fence(UUID(int=1), 0, 1))
    assert began + life_s <= claims_of(token)["exp"] <= time.time() + life_s
    attempt = datetime(2026, 1, 1, tzinfo=UTC)
    assert claims_of(tokens.job_token(UUID(int=1), 1, attempt))["exp"] == attempt.timestamp() + life_s


@pytest.mark.parametrize("life_s", [0, 59, 30 * 24 * 3600 + 1])
def test_no_setting_makes_a_token_live_for_ever(life_s: int) -> None:
    with pytest.raises(ValidationError):
        TokenSettings(secret=SecretStr(SECRET), life_s=life_s)


@pytest.mark.parametrize("kind", ["claim", "write"])
def test_a_token_without_an_end_is_none(kind: str) -> None:
    claims = {"aud": f"vidette:{kind}", "sub": str(UUID(int=1)), "attempt": 1, "segment": 0, "epoch": 1}
    tokens = Tokens(TokenSettings(secret=SecretStr(SECRET)))
    read = tokens.read_job_token if kind == "claim" else tokens.read_session_token
    assert read(signed({**claims, "exp": time.time() + 60}, SECRET))
    with pytest.raises(InvalidToken):
        read(signed(claims, SECRET))
