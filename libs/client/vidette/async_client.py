"""The same client for asyncio: what `vidette.client` does, without ever blocking the event loop.

    async with AsyncClient("http://127.0.0.1:8000") as client:
        async for row in await client.run(Path("clip.mp4"), "yolo_ocr", frame_stride=10):
            print(row.frame_index, row.result.text)

Every method may be cancelled. A cancelled upload makes no job, unless the cancellation meets the very end of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from pathlib import Path
from typing import Self, TypeVar
from uuid import UUID

import httpx

from vidette.answers import read
from vidette.flows import Ask, Flow, Pause, Send, Service, Take, Timeouts
from vidette.models import FrameRow, JobStatus, Pipeline, ResultFacts, Verification
from vidette.retry import RetryPolicy
from vidette.rows import Reading
from vidette.sending import send
from vidette.upload import Progress, Upload

Result = TypeVar("Result")


class AsyncClient:
    """A connection to one Vidette service; use it as an async context manager, or call `aclose`.

    Errors and repeats are those of `vidette.client.Client`, method by method. Callbacks are plain callables; they are called
    in the event loop, so they must be quick. An upload takes a thread for as long as it lasts.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._service = Service(self.base_url, timeouts or Timeouts(), retries or RetryPolicy())
        self._http = httpx.AsyncClient(**self._service.connection(self._service.timeouts.read))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def submit(
        self,
        path: Path,
        pipeline_id: str,
        frame_stride: int = 1,
        max_frames: int | None = None,
        on_progress: Progress | None = None,
        *,
        max_workers: int | None = None,
    ) -> UUID:
        """`Client.submit`."""
        return await self._run(
            self._service.submit(path, pipeline_id, frame_stride, max_frames, max_workers, on_progress)
        )

    async def run(
        self,
        path: Path,
        pipeline_id: str,
        frame_stride: int = 1,
        max_frames: int | None = None,
        on_progress: Progress | None = None,
        *,
        max_workers: int | None = None,
        timeout: float | None = None,
        on_status: Callable[[JobStatus], None] | None = None,
    ) -> AsyncGenerator[FrameRow]:
        """`Client.run`: `async for row in await client.run(...)`."""
        job_id = await self.submit(path, pipeline_id, frame_stride, max_frames, on_progress, max_workers=max_workers)
        await self._run(self._service.finish(job_id, timeout, on_status))
        return self.results(job_id)

    async def status(self, job_id: UUID) -> JobStatus:
        """`Client.status`."""
        return await self._run(self._service.status(job_id))

    async def wait(
        self, job_id: UUID, timeout: float | None = None, on_status: Callable[[JobStatus], None] | None = None
    ) -> JobStatus:
        """`Client.wait`."""
        return await self._run(self._service.wait(job_id, timeout, on_status))

    async def cancel(self, job_id: UUID) -> JobStatus:
        """`Client.cancel`."""
        return await self._run(self._service.cancel(job_id))

    async def verify(
        self,
        job_id: UUID,
        frames: int | None = None,
        seed: int | None = None,
        *,
        timeout: float | None = None,
        on_status: Callable[[JobStatus], None] | None = None,
    ) -> Verification:
        """`Client.verify`."""
        return await self._run(self._service.verify(job_id, frames, seed, timeout, on_status))

    async def results(self, job_id: UUID) -> AsyncGenerator[FrameRow]:
        """`Client.results`. Who stops before the end uses `contextlib.aclosing`, to give the connection back at once."""
        async with aclosing(self.result_lines(job_id)) as lines:
            async for line in lines:
                yield read(FrameRow, line, self.base_url)

    async def result_lines(self, job_id: UUID) -> AsyncGenerator[bytes]:
        """`Client.result_lines`; the same goes for stopping early as with `results`."""
        reading = Reading(self._service, job_id)
        while (response := await self._run(reading.opened())) is not None:
            try:
                async for piece in response.aiter_bytes():
                    for line in reading.lines(piece):
                        yield line
                for line in reading.end():
                    yield line
            except httpx.RequestError as lost:
                await self._run(reading.broken(lost))
            finally:
                await response.aclose()

    async def result_facts(self, job_id: UUID) -> ResultFacts:
        """`Client.result_facts`."""
        return await self._run(self._service.facts(job_id))

    async def pipelines(self) -> tuple[Pipeline, ...]:
        """`Client.pipelines`."""
        return await self._run(self._service.pipelines())

    async def _run(self, flow: Flow[Result]) -> Result:
        with closing(flow):
            try:
                step = next(flow)
                while True:
                    try:
                        outcome = await self._do(step)
                    except httpx.RequestError as lost:
                        step = flow.throw(lost)
                    else:
                        step = flow.send(outcome)
            except StopIteration as end:
                result: Result = end.value
                return result

    async def _do(self, step: Ask | Send | Pause) -> httpx.Response | None:
        match step:
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return None
            case Ask():
                return await self._ask(step)
            case Send():
                return await self._send(step)

    async def _ask(self, step: Ask) -> httpx.Response:
        request = self._http.build_request(step.method, step.path, headers={"Accept": step.accept})
        response = await self._http.send(request, stream=True)
        if not response.is_success or step.take is Take.ALL:
            await response.aread()
        elif step.take is Take.HEAD:
            await response.aclose()
        return response

    async def _send(self, step: Send) -> httpx.Response:
        loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1, "vidette upload")
        try:
            upload = await loop.run_in_executor(
                thread, Upload, step.path, step.fields, _in_loop(loop, step.on_progress)
            )
            sending = loop.run_in_executor(thread, send, self._service, upload)
            try:
                return await asyncio.shield(sending)
            except asyncio.CancelledError:
                upload.abort()
                await asyncio.wait([sending])
                raise
        finally:
            thread.shutdown(wait=False)


def _in_loop(loop: asyncio.AbstractEventLoop, on_progress: Progress | None) -> Progress | None:
    """The callback for a thread: it is called soon, in order, and before the upload's end is told."""
    if on_progress is None:
        return None

    def call(sent: int, total: int) -> None:
        loop.call_soon_threadsafe(on_progress, sent, total)

    return call
