"""What taken-over workers can make the gateway hold: a chunk for each claim, and two large ones for all of them together."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.support.gateway import COMMIT, Gateway, chunk, gateway
from tests.support.servers import StoreEndpoint
from tests.support.strangers import running_job
from vidette_api.gateway import chunk_body
from vidette_core.domain.chunks import MAX_CHUNK_BYTES

HONEST = b"rows"
LARGE = bytes(chunk_body.SMALL_BYTES + 1)


@pytest.fixture
async def place(postgres_url: str, s3: StoreEndpoint) -> AsyncIterator[Gateway]:
    async with gateway(postgres_url, s3) as made:
        yield made


class Slow:
    """A chunk that a worker begins to send, and goes on with when it is told to."""

    def __init__(self, place: Gateway, token: str, content: bytes) -> None:
        self._content = content
        self._begun, self._goes_on = asyncio.Event(), asyncio.Event()
        message = {**chunk(0), "sha256": hashlib.sha256(content).hexdigest()}
        headers = {"Authorization": f"Bearer {token}", "Content-Length": str(len(content))}
        self.answer = asyncio.create_task(
            place.http.post(COMMIT, params=message, content=self._pieces(), headers=headers)
        )

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield self._content[:1]
        self._begun.set()
        await self._goes_on.wait()
        yield self._content[1:]

    async def begun(self) -> Slow:
        await asyncio.wait_for(self._begun.wait(), 10)
        return self

    def go_on(self) -> None:
        self._goes_on.set()


async def token_of(place: Gateway, tenant: str) -> tuple[UUID, str]:
    job_id = await running_job(place, tenant)
    return job_id, (await place.claim(job_id))["session_token"]


async def commit(place: Gateway, token: str, content: bytes) -> httpx.Response:
    return await place.commit(token, chunk(0, content=content), content)


def said(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.headers.get("vidette-error")


async def test_a_worker_sends_one_chunk_at_a_time_and_its_successor_does_not_wait_for_it(place: Gateway) -> None:
    job_id, token = await token_of(place, "one")
    first = await Slow(place, token, HONEST).begun()
    again = await commit(place, token, HONEST)
    assert said(again) == (503, "too_many_uploads")
    assert again.headers["retry-after"]
    heir = (await place.claim(job_id))["session_token"]
    assert said(await commit(place, heir, HONEST)) == (200, None)
    first.go_on()
    assert said(await first.answer) == (409, "fenced"), "what arrives late is stored, and not committed"


async def test_large_chunks_wait_for_their_turn_and_small_ones_do_not(
    place: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = [(await token_of(place, f"tenant-{number}"))[1] for number in range(chunk_body.LARGE_AT_ONCE + 2)]
    slow = [await Slow(place, token, LARGE).begun() for token in tokens[: chunk_body.LARGE_AT_ONCE]]
    assert said(await commit(place, tokens[-1], HONEST)) == (200, None)
    with monkeypatch.context() as hasty:
        hasty.setattr(chunk_body, "READ_S", 0.3)
        assert said(await commit(place, tokens[-2], LARGE)) == (503, "too_many_uploads")
    slow[0].go_on()
    assert said(await slow[0].answer) == (200, None)
    assert said(await commit(place, tokens[-2], LARGE)) == (200, None)
    slow[1].go_on()
    assert said(await slow[1].answer) == (200, None)


async def test_a_chunk_that_does_not_arrive_gives_its_place_back(
    place: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = await token_of(place, "one")
    monkeypatch.setattr(chunk_body, "READ_S", 0.3)
    for _ in range(2 * chunk_body.LARGE_AT_ONCE):
        late = await Slow(place, token, LARGE).begun()
        assert said(await late.answer) == (408, "upload_timeout")
    monkeypatch.undo()
    assert said(await commit(place, token, LARGE)) == (200, None)


async def test_a_chunk_longer_than_any_is_refused_before_it_is_read(place: Gateway) -> None:
    _, token = await token_of(place, "one")
    headers = {"Authorization": f"Bearer {token}", "Content-Length": str(MAX_CHUNK_BYTES + 1)}
    answer = await place.http.post(COMMIT, params=chunk(0), content=b"", headers=headers)
    assert said(answer) == (413, "upload_too_large")
