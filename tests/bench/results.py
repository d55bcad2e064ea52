"""Reading the results of a job of a million frames: the time to the first byte, and the api's memory while it streams.

    .venv/bin/python -m tests.bench.results [frames] [rounds]

The job is made by hand, with chunks packed by the worker's own packer and put into the store as a worker does it.
"""

from __future__ import annotations

import asyncio
import http.client
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from pydantic import TypeAdapter

from tests.bench.figures import Spread, report
from tests.bench.installation import Api, Installation, installation, scratch
from tests.bench.usage import MIB, resident
from tests.support.finished_jobs import MadeChunk, finished_job, frame
from tests.support.public_api import public_api
from tests.support.stores import store_settings
from vidette_core.domain.chunks import ChunkClaim
from vidette_core.domain.jobs import Tally, TextCounts
from vidette_core.domain.results import FrameRow
from vidette_core.domain.sampling import Sampling
from vidette_frame_worker.chunks import Analysed, pack

_CHUNK_FRAMES = 200
_ROW = TypeAdapter(FrameRow)
_KINDS = {"JSON": "application/json", "NDJSON": "application/x-ndjson"}
_PIECE = 256 * 1024


def chunks(frames: int) -> Iterator[MadeChunk]:
    """Rows with an object and a line of text each, by the worker's packer."""
    for first in range(0, frames, _CHUNK_FRAMES):
        rows = [
            Analysed(_ROW.validate_python(frame(index)), TextCounts(read=1))
            for index in range(first, min(frames, first + _CHUNK_FRAMES))
        ]
        message, content = pack(first, rows)
        yield MadeChunk(content, ChunkClaim(first, Tally(ok=len(rows)), len(content), message.sha256))


async def make_job(running: Installation, frames: int) -> UUID:
    settings = store_settings(running.store)
    async with public_api(running.database_url, settings) as made:
        return await finished_job(made, list(chunks(frames)), Sampling(), _CHUNK_FRAMES)


@dataclass(frozen=True, slots=True)
class Stream:
    """One reading of all results: seconds to the first byte and to the last, bytes, and memory in MiB on the way."""

    first_byte_s: float
    seconds: float
    size: int
    resident: tuple[tuple[int, float], ...]

    def resident_at(self, share: float) -> float:
        """When `share` of the bytes had been read."""
        return next(mib for size, mib in self.resident if size >= share * self.size)

    @property
    def peak(self) -> float:
        return max(mib for _, mib in self.resident)


def read_first_byte(api: Api, job_id: UUID, accept: str) -> float:
    """Seconds until the first byte of the body; the rest is left unread."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
    connection.request("GET", f"/video/results/{job_id}", headers={"Accept": accept})
    answer = connection.getresponse()
    answer.read(1)
    seconds = time.perf_counter() - began
    connection.close()
    return seconds


def read_all(api: Api, job_id: UUID, accept: str) -> Stream:
    began, size, first_byte = time.perf_counter(), 0, 0.0
    seen: list[tuple[int, float]] = []
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
    connection.request("GET", f"/video/results/{job_id}", headers={"Accept": accept})
    answer = connection.getresponse()
    while piece := answer.read1(_PIECE):
        first_byte = first_byte or time.perf_counter() - began
        if size // (4 * MIB) != (size + len(piece)) // (4 * MIB) or not seen:
            seen.append((size, resident(api.pid)))
        size += len(piece)
    seen.append((size, resident(api.pid)))
    connection.close()
    return Stream(first_byte, time.perf_counter() - began, size, tuple(seen))


def main(frames: int, rounds: int) -> None:
    with scratch() as folder, installation(folder) as running:
        job_id = asyncio.run(make_job(running, frames))
        idle = resident(running.api.pid)
        first = {
            name: [read_first_byte(running.api, job_id, kind) for _ in range(rounds)] for name, kind in _KINDS.items()
        }
        rows: dict[str, object] = {}
        for name, kind in _KINDS.items():
            stream = read_all(running.api, job_id, kind)
            rows |= {
                f"{name}: first byte, ms (< 300)": Spread.of(
                    [seconds * 1000 for seconds in islice(first[name], 1, None)]
                ),
                f"{name}: first byte of the very first answer, ms": first[name][0] * 1000,
                f"{name}: memory idle, MiB": idle,
                f"{name}: memory at 10 %, 50 %, 100 %, MiB": ", ".join(
                    f"{stream.resident_at(share):.1f}" for share in (0.1, 0.5, 1.0)
                ),
                f"{name}: greatest memory, MiB": stream.peak,
                f"{name}: drift over the second half, MiB": stream.resident_at(1.0) - stream.resident_at(0.5),
                f"{name}: body, MiB": stream.size / MIB,
                f"{name}: frames/s": frames / stream.seconds,
            }
        report(f"results of {frames} frames", rows)


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*(given + [1_000_000, 11][len(given) :]))
