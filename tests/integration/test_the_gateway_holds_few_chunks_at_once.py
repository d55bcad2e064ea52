"""What taken-over workers can make the gateway hold and the store keep: a chunk for each segment, two large ones for all of them
together, and nothing that cannot become a result."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest

from tests.support.gateway import COMMIT, Gateway, chunk, gateway
from tests.support.jobs import CHUNK_FRAMES
from tests.support.servers import StoreEndpoint
from tests.support.strangers import running_job
from tests.support.worker_rig import served
from vidette_api.gateway import chunk_intake
from vidette_api.gateway.app import gateway_app
from vidette_core.domain.chunks import MAX_CHUNK_BYTES, results_prefix
from vidette_core.domain.jobs import TextCounts
from vidette_core.domain.results import MAX_DETECTIONS, Detection, FrameResult, FrameRow
from vidette_frame_worker.chunks import Analysed, pack

HONEST, OTHER = b"rows", b"other rows"
LARGE = bytes(chunk_intake.SMALL_BYTES + 1)


@pytest.fixture
async def place(postgres_url: str, s3: StoreEndpoint) -> AsyncIterator[Gateway]:
    async with gateway(postgres_url, s3) as made:
        yield made


class Slow:
    """A chunk that a worker begins to send, and goes on with when it is told to."""

    def __init__(self, place: Gateway, token: str, content: bytes) -> None:
        self._content = content
        self._begun, self._goes_on = asyncio.Event(), asyncio.Event()
        message = chunk(0, content=content)
        headers = {"Authorization": f"Bearer {token}", "Content-Length": str(len(content))}
        sending = place.http.post(COMMIT, params=message, content=self._pieces(), headers=headers)
        self.answer = asyncio.create_task(sending)

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


async def commit(place: Gateway, token: str, content: bytes, first_sample: int = 0, **changes: Any) -> httpx.Response:
    return await place.commit(token, chunk(first_sample, content=content, **changes), content)


async def stored(place: Gateway, job_id: UUID) -> list[str]:
    return [key async for key in place.services.store.list(results_prefix(job_id))]


def said(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.headers.get("vidette-error")


@pytest.mark.parametrize("again", [False, True], ids=["another claim", "the same claim"])
async def test_a_newer_chunk_of_a_segment_takes_the_place_of_one_on_its_way(again: bool, place: Gateway) -> None:
    """However often a worker claims and begins to send, one body of its segment is held."""
    job_id, token = await token_of(place, "one")
    older = []
    for _ in range(20):
        older.append(await Slow(place, token, HONEST).begun())
        token = token if again else (await place.claim(job_id))["session_token"]
    assert said(await commit(place, token, HONEST)) == (200, None)
    assert {said(await slow.answer) for slow in older} == {(408, "upload_timeout")}
    assert len(await stored(place, job_id)) == 1


async def test_the_chunk_of_an_older_claim_does_not_take_the_place_of_a_newer_ones(place: Gateway) -> None:
    job_id, token = await token_of(place, "one")
    old = place.services.tokens.read_session_token(token)
    newer = await Slow(place, (await place.claim(job_id))["session_token"], HONEST).begun()
    assert said(await commit(place, place.tokens.session_token(old), HONEST)) == (409, "fenced")
    newer.go_on()
    assert said(await newer.answer) == (200, None)


async def test_large_chunks_wait_for_their_turn_and_small_ones_do_not(
    place: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = [(await token_of(place, f"tenant-{number}"))[1] for number in range(chunk_intake.LARGE_AT_ONCE + 2)]
    slow = [await Slow(place, token, LARGE).begun() for token in tokens[: chunk_intake.LARGE_AT_ONCE]]
    assert said(await commit(place, tokens[-1], HONEST)) == (200, None)
    with monkeypatch.context() as hasty:
        hasty.setattr(chunk_intake, "LIMIT_S", 0.3)
        assert said(await commit(place, tokens[-2], LARGE)) == (408, "upload_timeout")
    slow[0].go_on()
    assert said(await slow[0].answer) == (200, None)
    assert said(await commit(place, tokens[-2], LARGE)) == (200, None)
    slow[1].go_on()
    assert said(await slow[1].answer) == (200, None)


async def test_a_chunk_that_does_not_arrive_gives_its_place_back(
    place: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = await token_of(place, "one")
    monkeypatch.setattr(chunk_intake, "LIMIT_S", 0.3)
    for _ in range(2 * chunk_intake.LARGE_AT_ONCE):
        late = await Slow(place, token, LARGE).begun()
        assert said(await late.answer) == (408, "upload_timeout")
    monkeypatch.undo()
    assert said(await commit(place, token, LARGE)) == (200, None)


async def test_what_cannot_become_a_result_is_not_stored(place: Gateway) -> None:
    job_id, token = await token_of(place, "one")
    assert said(await commit(place, token, HONEST, CHUNK_FRAMES)) == (409, "conflict"), "a gap"
    assert said(await commit(place, token, HONEST, 2**40 * CHUNK_FRAMES)) == (409, "conflict"), "far behind the end"
    assert await stored(place, job_id) == []
    assert said(await commit(place, token, HONEST)) == (200, None)
    (kept,) = await stored(place, job_id)
    assert said(await commit(place, token, OTHER)) == (409, "conflict"), "other content"
    assert said(await commit(place, token, HONEST)) == (200, None), "the same again"
    assert await stored(place, job_id) == [kept]


@pytest.mark.parametrize("length", ["0", "", str(MAX_CHUNK_BYTES + 1)], ids=["empty", "not said", "longer than any"])
async def test_a_chunk_without_a_length_that_it_may_have_is_refused_before_it_is_read(
    length: str, place: Gateway
) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was asked for")
        yield b""

    _, token = await token_of(place, "one")
    headers = {"Authorization": f"Bearer {token}", **({"Content-Length": length} if length else {})}
    body: Any = never() if length != "0" else b""
    answer = await place.http.post(COMMIT, params=chunk(0), content=body, headers=headers)
    expected = (413, "upload_too_large") if length.startswith("6") else (400, "invalid_request")
    assert said(answer) == expected


async def test_a_worker_that_leaves_in_the_middle_leaves_nothing_behind(place: Gateway) -> None:
    """Over a real connection, which is cut."""
    job_id, token = await token_of(place, "one")
    message = httpx.QueryParams(chunk(0, content=LARGE))
    async with served(gateway_app(place.services)) as url:
        port = urlsplit(url).port
        for _ in range(chunk_intake.LARGE_AT_ONCE + 1):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = f"POST {COMMIT}?{message} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            writer.write(f"{head}Content-Length: {len(LARGE)}\r\n\r\n".encode() + LARGE[:100_000])
            await writer.drain()
            await asyncio.sleep(0.2)
            writer.close()
            assert await reader.read() == b""
        assert await stored(place, job_id) == []
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            headers = {"Authorization": f"Bearer {token}"}
            whole = await http.post(COMMIT, params=message, content=LARGE, headers=headers)
    assert said(whole) == (200, None)


def test_the_most_crowded_chunk_is_a_small_one() -> None:
    """1000 boxes in each of 200 frames, at random: as many as a row may have."""
    dice = random.Random(7)
    frames = [
        Analysed(FrameRow(frame_index=index, result=FrameResult(detections=tuple(boxes(dice)))), TextCounts())
        for index in range(200)
    ]
    _, content = pack(0, frames)
    assert chunk_intake.SMALL_BYTES / 2 < len(content) < chunk_intake.SMALL_BYTES


def boxes(dice: random.Random) -> Iterator[Detection]:
    for _ in range(MAX_DETECTIONS):
        x, y, width, height = (round(dice.uniform(0, 1920), 2) for _ in range(4))
        score = round(dice.random(), 4)
        yield Detection(label="person", class_id=0, confidence=score, bbox=(x, y, width, height))
