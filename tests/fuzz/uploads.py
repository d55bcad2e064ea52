"""Spoilt forms sent to the public app by a socket: each is answered, refusals have a code, and nothing is left over."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from psutil import Process

from tests.fuzz.chance import Dice
from tests.fuzz.forms import form_case
from tests.support.public_api import Api, until
from tests.support.raw_http import RawAnswer, RawUpload
from vidette_api.settings import UploadSettings
from vidette_core.domain.errors import ErrorCode
from vidette_core.telemetry.metrics import UPLOADS_ACTIVE

LIMITS = UploadSettings(max_bytes=64 * 1024, idle_timeout_s=2, drain_s=2, min_bytes_per_s=0)
AT_ONCE = 4
MOST_GROWN_MIB = 32.0
"""Noise of the allocator, and less than what a short run sends in its second half."""
PATIENCE_S = 60.0
"""For one answer, on whatever machine."""
BY_THE_SERVER = "not HTTP"
"""What uvicorn itself refuses, without a code of ours: it is no request yet."""


@dataclass(slots=True)
class Uploads:
    """How many ended in which way, and what must not have been."""

    codes: Counter[str] = field(default_factory=Counter)
    wrong: dict[int, str] = field(default_factory=dict)
    grown_mib: float = 0.0
    """By how much the process had more memory after the last than after the first half."""


async def fuzz_uploads(api: Api, seed: int, cases: range) -> Uploads:
    found, places = Uploads(), asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with places:
            try:
                code = await asyncio.wait_for(_sent(api.port, seed, number), PATIENCE_S)
            except (AssertionError, TimeoutError) as error:
                found.wrong[number] = f"{type(error).__name__}: {error}"
            else:
                found.codes[code] += 1

    half = cases[: len(cases) // 2]
    await asyncio.gather(*map(one, half))
    before = Process().memory_info().rss
    await asyncio.gather(*map(one, cases[len(half) :]))
    found.grown_mib = (Process().memory_info().rss - before) / 2**20
    assert (await api.client.get("/pipelines")).status_code == 200
    await until(lambda: _nothing_under_way(api), 30)
    return found


async def _nothing_under_way(api: Api) -> bool:
    [sample] = [each for metric in UPLOADS_ACTIVE.collect() for each in metric.samples]
    return sample.value == 0 and await api.uploads_under_way() == 0


async def _sent(port: int, seed: int, number: int) -> str:
    case, dice = form_case(seed, number), Dice("framing", seed, number)
    framing = dice.of((*(5 * ("length",)), *(3 * ("chunked",)), "too long", "too short", "none"))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    upload = RawUpload(reader, writer)
    try:
        # Whoever is refused early may be cut off while it still sends; what it was told is there to be read.
        with suppress(ConnectionError):
            await upload.send(_head(case.content_type, framing, len(case.body)))
            for piece in case.pieces:
                await upload.send(b"%x\r\n%s\r\n" % (len(piece), piece) if framing == "chunked" and piece else piece)
            if framing == "chunked":
                await upload.send(b"0\r\n\r\n")
            if framing == "too long":
                writer.write_eof()
        return _code(await upload.answer(), framing)
    except (ConnectionError, asyncio.IncompleteReadError):
        # What follows a request without a body is no request: who sends megabytes of it is cut off by the server.
        assert framing in ("too long", "none"), f"no answer ({framing})"
        return "left" if framing == "too long" else BY_THE_SERVER
    finally:
        writer.transport.abort()


def _head(content_type: str, framing: str, length: int) -> bytes:
    sizes = {
        "length": f"Content-Length: {length}\r\n",
        "too long": f"Content-Length: {length + 100}\r\n",
        "too short": f"Content-Length: {length // 2}\r\n",
        "chunked": "Transfer-Encoding: chunked\r\n",
        "none": "",
    }
    head = f"POST /video/submit HTTP/1.1\r\nHost: test\r\nContent-Type: {content_type}\r\n{sizes[framing]}\r\n"
    return head.encode("latin-1")


def _code(answer: RawAnswer, framing: str) -> str:
    if answer.status == 200:
        assert set(json.loads(answer.body)) == {"job_id"}
        return "submitted"
    code = answer.headers.get("vidette-error")
    if code is None and answer.status == 400 and b"Invalid HTTP request" in answer.body:
        return BY_THE_SERVER
    assert code in set(ErrorCode) - {ErrorCode.INTERNAL}, f"{answer.status} with the code {code} ({framing})"
    assert answer.status in (400, 408, 413, 503), f"{answer.status} for {code}"
    assert list(json.loads(answer.body)) == ["detail"]
    return code
