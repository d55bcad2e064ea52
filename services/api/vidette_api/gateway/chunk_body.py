"""A chunk's bytes, from the worker's request into memory: one for each fence at a time, and few large ones for all.

A worker may be taken over, and the gateway is everybody's. What one worker can make it hold is a chunk for each of its few
claims, and what all can, a few of a size that no honest chunk comes near.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from starlette.requests import ClientDisconnect

from vidette_core.domain.errors import DomainError, ErrorCode, Problem
from vidette_core.domain.jobs import Fence

SMALL_BYTES = 2**20
"""An honest chunk has a twentieth of it; what is larger waits for its turn."""
LARGE_AT_ONCE = 2
READ_S = 20.0
"""For a whole body, and for a large one's turn. A worker gives up after 30."""


class ChunkBodies:
    """Of one gateway process."""

    def __init__(self) -> None:
        self._under_way: set[Fence] = set()
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    @asynccontextmanager
    async def received(self, request: Request, fence: Fence, sha256: str) -> AsyncIterator[bytes]:
        """The body, until it is done with. Raises `DomainError` for one that is late, breaks off or has another digest."""
        if fence in self._under_way:  # a worker sends one after the other, and again when it has waited in vain
            raise _later("An earlier chunk of this worker is still on its way to the store.")
        self._under_way.add(fence)
        try:
            async with self._turn(request):
                content = await _read(request)
                if hashlib.sha256(content).hexdigest() != sha256:
                    message = "The chunk's bytes are not those that its digest was made of."
                    raise DomainError(Problem(ErrorCode.INVALID_REQUEST, message))
                yield content
        finally:
            self._under_way.discard(fence)

    @asynccontextmanager
    async def _turn(self, request: Request) -> AsyncIterator[None]:
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) <= SMALL_BYTES:
            yield
            return
        try:
            async with asyncio.timeout(READ_S):
                await self._large.acquire()
        except TimeoutError as error:
            raise _later("Other large chunks are on their way to the store.") from error
        try:
            yield
        finally:
            self._large.release()


async def _read(request: Request) -> bytes:
    try:
        async with asyncio.timeout(READ_S):
            return await request.body()
    except TimeoutError as error:
        problem = Problem(ErrorCode.UPLOAD_TIMEOUT, f"A chunk has {READ_S:g} s to arrive.")
        raise DomainError(problem) from error
    except ClientDisconnect as error:
        raise DomainError(Problem(ErrorCode.UPLOAD_ABORTED, "The chunk broke off. Send it again.")) from error


def _later(reason: str) -> DomainError:
    return DomainError(Problem(ErrorCode.TOO_MANY_UPLOADS, f"{reason} Send this one again in a moment."))
