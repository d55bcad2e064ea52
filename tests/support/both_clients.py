"""The synchronous and the asynchronous client behind one face, so that one suite holds both to the same behaviour.

The fixture `connect` makes either; `tests/conftest.py` registers it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import UUID

import pytest

from vidette import AsyncClient, Client, FrameRow, JobStatus, Pipeline, ResultFacts, RetryPolicy, Timeouts, Verification

Item = TypeVar("Item")


class Driven:
    """An `AsyncClient` on an event loop of its own, called as `Client` is."""

    def __init__(self, url: str, timeouts: Timeouts | None = None, retries: RetryPolicy | None = None) -> None:
        self._client = AsyncClient(url, timeouts, retries)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def submit(self, path: Path, pipeline_id: str, *more: Any, **named: Any) -> UUID:
        return self._runner.run(self._client.submit(path, pipeline_id, *more, **named))

    def run(self, path: Path, pipeline_id: str, *more: Any, **named: Any) -> Generator[FrameRow]:
        return self._drained(self._runner.run(self._client.run(path, pipeline_id, *more, **named)))

    def status(self, job_id: UUID) -> JobStatus:
        return self._runner.run(self._client.status(job_id))

    def wait(self, job_id: UUID, **named: Any) -> JobStatus:
        return self._runner.run(self._client.wait(job_id, **named))

    def cancel(self, job_id: UUID) -> JobStatus:
        return self._runner.run(self._client.cancel(job_id))

    def verify(self, job_id: UUID, *more: Any, **named: Any) -> Verification:
        return self._runner.run(self._client.verify(job_id, *more, **named))

    def results(self, job_id: UUID) -> Generator[FrameRow]:
        return self._drained(self._client.results(job_id))

    def result_lines(self, job_id: UUID) -> Generator[bytes]:
        return self._drained(self._client.result_lines(job_id))

    def result_facts(self, job_id: UUID) -> ResultFacts:
        return self._runner.run(self._client.result_facts(job_id))

    def pipelines(self) -> tuple[Pipeline, ...]:
        return self._runner.run(self._client.pipelines())

    def _drained(self, items: AsyncGenerator[Item]) -> Generator[Item]:
        async def following() -> list[Item]:
            try:
                return [await anext(items)]
            except StopAsyncIteration:
                return []

        try:
            while found := self._runner.run(following()):
                yield from found
        finally:
            self._runner.run(items.aclose())


AnyClient = Client | Driven
Connect = Callable[..., AnyClient]
"""Takes the arguments of `Client`."""


@pytest.fixture(params=[Client, Driven], ids=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Connect:
    made: Connect = request.param
    return made
