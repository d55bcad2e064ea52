"""Whole objects on their way to a store that hangs, as chunks of workers are: who waits may leave, what is held stays bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from tests.support.public_api import no_store
from vidette_core.adapters.s3 import PUT_THREADS, S3BlobStore
from vidette_core.ports.errors import Unavailable


class Hanging:
    """Takes connections, and says nothing until it is told to go on; then it closes them."""

    def __init__(self) -> None:
        self.met = 0
        self._goes_on = asyncio.Event()

    async def serve(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.met += 1
        await self._goes_on.wait()
        writer.close()

    def go_on(self) -> None:
        self._goes_on.set()


@pytest.fixture
async def hanging() -> AsyncIterator[tuple[Hanging, S3BlobStore]]:
    there = Hanging()
    server = await asyncio.start_server(there.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    store = S3BlobStore(no_store(f"http://127.0.0.1:{port}").model_copy(update={"timeout_s": 10.0}))
    try:
        yield there, store
    finally:
        there.go_on()
        store.close()
        server.close()


async def test_a_place_is_free_when_its_thread_has_ended_and_not_when_its_caller_left(
    hanging: tuple[Hanging, S3BlobStore],
) -> None:
    there, store = hanging
    for _ in range(3):
        callers = [asyncio.create_task(store.put("key", b"content")) for _ in range(PUT_THREADS + 2)]
        await asyncio.sleep(0.5)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
    assert there.met == PUT_THREADS
    there.go_on()
    late = asyncio.create_task(store.put("key", b"content"))
    with suppress(Unavailable):
        await asyncio.wait_for(late, 10)
    assert there.met == PUT_THREADS + 1
