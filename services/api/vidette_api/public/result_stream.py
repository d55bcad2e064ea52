"""The results of a job as a stream of bytes, in constant memory, and the response that can break off.

A chunk is fetched and checked while another is sent, at most `READ_AHEAD` of them, and the client's pace sets ours.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from uuid import UUID

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Send

from vidette_api.public.chunk_reader import BadChunk, read_chunk
from vidette_api.public.paging import Page
from vidette_api.wiring import Services
from vidette_core.domain.chunks import Chunk
from vidette_core.domain.jobs import Job
from vidette_core.ports.errors import PortError

READ_AHEAD = 2
"""Chunks fetched and checked while one is being sent."""
Rows = list[bytes]
_log = structlog.get_logger(__name__)


async def page_rows(services: Services, job: Job, page: Page) -> AsyncGenerator[Rows]:
    """The page's rows, a chunk's worth at a time. Raises `BadChunk` and `PortError`."""
    ahead: deque[tuple[Chunk, asyncio.Task[Rows]]] = deque()
    try:
        async for chunk in _chunks(services, job, page):
            read = read_chunk(services.store, chunk, job.sampling, services.results)
            ahead.append((chunk, asyncio.create_task(read)))
            if len(ahead) > READ_AHEAD:
                yield await _first(ahead, page)
        while ahead:
            yield await _first(ahead, page)
    finally:
        for _, task in ahead:
            task.cancel()
        await asyncio.gather(*(task for _, task in ahead), return_exceptions=True)


async def _first(ahead: deque[tuple[Chunk, asyncio.Task[Rows]]], page: Page) -> Rows:
    """The oldest chunk's rows inside the page. It stays in the queue while it is awaited, so that it is always cleaned up."""
    chunk, task = ahead[0]
    rows = await task
    ahead.popleft()
    return rows[max(0, page.first - chunk.first_sample) : page.end - chunk.first_sample]


async def _chunks(services: Services, job: Job, page: Page) -> AsyncIterator[Chunk]:
    """The chunks that hold the page, without a gap. Raises `BadChunk` when the ledger has one."""
    at = page.first - page.first % job.chunk_frames
    async for chunk in services.reader.chunks(job, page.first):
        if at >= page.end:
            return
        if chunk.first_sample != at:
            raise BadChunk(f"a chunk begins at sample {chunk.first_sample} where {at} is next")
        at = chunk.end_sample
        yield chunk
    if at < page.end:
        raise BadChunk(f"the chunks end at sample {at}, before {page.end}")


class ResultStream(StreamingResponse):
    """Breaks the connection off when the rows break off: a client must never take half of the results for all of them."""

    def __init__(
        self, pieces: AsyncGenerator[bytes], job_id: UUID, *, media_type: str, headers: dict[str, str]
    ) -> None:
        super().__init__(pieces, media_type=media_type, headers=headers)
        self._pieces = pieces
        self._job_id = job_id

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._pieces):
            try:
                await super().stream_response(send)
            except (BadChunk, PortError) as error:
                # Returning without the last piece makes the server cut the connection, and logs no stack for it.
                kind = type(error).__name__
                _log.error("the results of a job broke off", job_id=str(self._job_id), error=str(error), kind=kind)
