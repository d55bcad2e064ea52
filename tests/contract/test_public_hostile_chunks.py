"""Chunks are written by workers, which may have been taken over: a bad one is never shown, in whole or in part."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
import pytest_asyncio
import zstandard

from tests.support.finished_jobs import MadeChunk, chunks_of, finished_job, frame, made_chunk, ndjson, packed
from tests.support.public_api import Api, detail, public_api
from tests.support.servers import StoreEndpoint
from tests.support.stores import store_settings
from vidette_api.settings import ResultSettings
from vidette_core.domain.jobs import Tally

pytestmark = pytest.mark.asyncio(loop_scope="module")
MIB = 2**20
GOOD = [frame(index) for index in range(10)]
LIMITS = ResultSettings(retry_s=1, max_chunk_bytes=MIB, max_chunk_text_bytes=2 * MIB)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(module_postgres_url: str, s3: StoreEndpoint) -> AsyncIterator[Api]:
    async with public_api(module_postgres_url, store_settings(s3), results=LIMITS) as running:
        yield running


def good() -> MadeChunk:
    return chunks_of(GOOD, 10)[0]


def of_text(text: bytes, frames: int = 10) -> MadeChunk:
    return made_chunk(0, packed(text), Tally(ok=frames))


def of_lines(*changed: tuple[int, bytes]) -> MadeChunk:
    """The good chunk with some lines replaced."""
    lines = ndjson(GOOD).splitlines(keepends=True)
    for at, line in changed:
        lines[at] = line + b"\n"
    return of_text(b"".join(lines))


def line(**result: object) -> bytes:
    return json.dumps({"frame_index": 1, "result": result}).encode()


def bomb() -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(bytes(64 * MIB))


def wide_window() -> bytes:
    """A frame that asks for a window of 16 MiB before it holds anything much."""
    parameters = zstandard.ZstdCompressionParameters(window_log=24)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return compressor.compress(ndjson(GOOD)) + compressor.flush()


TRICK = (
    # Joined by a comma the two lines would be one valid row, whose text hides the seam; neither is valid alone.
    (0, b'{"frame_index":0,"result":{"text":"}'),
    (1, b'{"}}'),
)
BOX = {"label": "a", "class_id": 0, "confidence": 0.5, "bbox": [0, 0, 1, 1]}
HOSTILE: dict[str, Callable[[], MadeChunk]] = {
    "another sha256": lambda: good().saying(sha256="0" * 64),
    "another size": lambda: good().saying(bytes=len(good().content) + 1),
    "larger than is read": lambda: made_chunk(0, bytes(2 * MIB), Tally(ok=10)),
    "not zstd": lambda: made_chunk(0, ndjson(GOOD), Tally(ok=10)),
    "zstd cut short": lambda: made_chunk(0, good().content[:-10], Tally(ok=10)),
    "empty": lambda: made_chunk(0, packed(b""), Tally(ok=10)),
    "a bomb": lambda: made_chunk(0, bomb(), Tally(ok=10)),
    "a wide window": lambda: made_chunk(0, wide_window(), Tally(ok=10)),
    "a row too few": lambda: of_text(ndjson(GOOD[:9])),
    "a row too many": lambda: of_text(ndjson(GOOD), frames=9),
    "a frame twice": lambda: of_text(ndjson([*GOOD[:9], GOOD[8]])),
    "frames in another order": lambda: of_text(ndjson([GOOD[1], GOOD[0], *GOOD[2:]])),
    "indices off by one": lambda: of_text(ndjson([frame(index) for index in range(1, 11)])),
    "a line that is no JSON": lambda: of_lines((1, b"{")),
    "an empty line": lambda: of_lines((1, b"")),
    "a list": lambda: of_lines((1, b"[]")),
    "two rows on a line": lambda: of_lines((1, ndjson(GOOD[1:3]).replace(b"\n", b",")), (2, b"")),
    "a row over two lines": lambda: of_lines(*TRICK),
    "an index as text": lambda: of_lines((1, b'{"frame_index":"1","result":{}}')),
    "a key of its own": lambda: of_lines((1, line(script="<script>"))),
    "no number": lambda: of_lines((1, line(detections=[{**BOX, "confidence": float("nan")}]))),
    "an infinite box": lambda: of_lines((1, line(detections=[{**BOX, "bbox": [0, 0, 1, float("inf")]}]))),
    "a confidence above one": lambda: of_lines((1, line(detections=[{**BOX, "confidence": 1.5}]))),
    "too many boxes": lambda: of_lines((1, line(detections=[BOX] * 1001))),
    "bytes that are not UTF-8": lambda: of_lines((1, b'{"frame_index":1,"result":{"text":"\xff"}}')),
    "an unknown error": lambda: of_lines((1, line(error="other"))),
    "brackets without end": lambda: of_lines((1, b'{"frame_index":1,"result":' + b"[" * 100_000)),
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_bad_chunk_is_a_500_without_a_byte_of_it(api: Api, kind: str) -> None:
    job_id = await finished_job(api, [HOSTILE[kind]()])
    answer = await api.client.get(f"/video/results/{job_id}")
    assert answer.status_code == 500
    assert answer.headers["vidette-error"] == "internal"
    assert detail(answer) == "Something inside Vidette failed. It was logged; please report it."


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
async def test_a_bad_chunk_after_good_ones_breaks_the_connection_off(
    api: Api, accept: str, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [frame(index) for index in range(60)]
    chunks = chunks_of(rows, 10)
    chunks[4] = chunks[4].saying(sha256="0" * 64)
    job_id = await finished_job(api, chunks)
    with pytest.raises(httpx.RemoteProtocolError):
        await collect(api, job_id, accept)
    assert logged(capfd, "broke off", str(job_id))


async def collect(api: Api, job_id: object, accept: str) -> bytes:
    async with api.client.stream("GET", f"/video/results/{job_id}", headers={"accept": accept}) as answer:
        assert answer.status_code == 200
        return b"".join([piece async for piece in answer.aiter_raw()])


async def test_the_log_says_which_job_broke_off_and_why(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    job_id = await finished_job(api, [HOSTILE["another sha256"]()])
    await api.client.get(f"/video/results/{job_id}")
    assert logged(capfd, "not fit to be shown", str(job_id), "its bytes are not those that were committed")


def logged(capfd: pytest.CaptureFixture[str], *words: str) -> bool:
    """Whether one line of the log says all of it."""
    said = capfd.readouterr()
    return any(all(word in entry for word in words) for entry in (said.out + said.err).splitlines())


async def test_a_gap_between_chunks_is_a_500_or_a_broken_connection_and_never_a_hole(api: Api) -> None:
    chunks = chunks_of([frame(index) for index in range(70)], 10)
    early = await finished_job(api, [chunks[1]])
    assert (await api.client.get(f"/video/results/{early}")).status_code == 500
    later = await finished_job(api, [*chunks[:5], chunks[6]])
    with pytest.raises(httpx.RemoteProtocolError):
        await collect(api, later, "application/json")


async def test_a_key_given_twice_means_to_clients_what_it_means_to_us(api: Api) -> None:
    twice = b'{"frame_index":7,"frame_index":1,"result":{"text":"first","text":"last"}}'
    job_id = await finished_job(api, [of_lines((1, twice))])
    answer = await api.client.get(f"/video/results/{job_id}")
    assert answer.text.count('"frame_index":1,') == 1
    assert '"text":"first"' not in answer.text
    assert answer.json()["results"][1]["result"]["text"] == "last"


async def test_a_row_without_its_optional_keys_is_shown_with_them(api: Api) -> None:
    job_id = await finished_job(api, [of_lines((1, b'{"frame_index":1,"result":{}}'))])
    shown = (await api.client.get(f"/video/results/{job_id}")).json()["results"][1]["result"]
    assert shown == {"detections": [], "text": "", "timestamp_ms": None, "lines": []}


async def test_a_chunk_that_the_store_denies_is_asked_for_again_and_then_unavailable(api: Api) -> None:
    [chunk] = chunks_of(GOOD, 10)
    job_id = await finished_job(api, [chunk])
    [key] = [key async for key in api.services.store.list(f"results/{job_id}/")]
    await api.services.store.delete(key)
    began = asyncio.get_running_loop().time()
    answer = await api.client.get(f"/video/results/{job_id}")
    assert answer.status_code == 503
    assert answer.headers["vidette-error"] == "store_unavailable"
    assert answer.headers["retry-after"] == "5"
    assert 0.4 < asyncio.get_running_loop().time() - began < 5

    asking = asyncio.create_task(api.client.get(f"/video/results/{job_id}"))
    await asyncio.sleep(0.3)
    await api.services.store.put(key, chunk.content)
    assert (await asking).status_code == 200
