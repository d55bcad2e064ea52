"""A chunk's bytes, from the worker's request into the store, with a bound on what workers can make this process hold.

A worker may be taken over, and the gateway is everybody's. On its way is one chunk for each segment: that of the newest claim or
try takes the place of the one before. Of larger ones than the most crowded video makes there are two, over all jobs.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from uuid import UUID

from fastapi import Request
from starlette.requests import ClientDisconnect

from vidette_core.domain.chunks import ChunkClaim
from vidette_core.domain.errors import DomainError, ErrorCode, Problem
from vidette_core.domain.jobs import Fence
from vidette_core.ports.blobs import BlobStore
from vidette_core.ports.jobs import Fenced

SMALL_BYTES = 4 * 2**20
"""A chunk of 200 crowded frames has 50 KB, one with as many boxes as a row may have, 1000 a frame, 3.6 MB."""
LARGE_AT_ONCE = 2
LIMIT_S = 25.0
"""For a chunk to arrive, to have its turn and to be stored. A worker gives an answer up after 30, and sends the chunk again."""


@dataclass(frozen=True, slots=True, eq=False)
class _OnItsWay:
    epoch: int
    limit: asyncio.Timeout


class ChunkIntake:
    """Of one gateway process."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._on_their_way: dict[tuple[UUID, int], _OnItsWay] = {}
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    async def take(self, request: Request, fence: Fence, claim: ChunkClaim, key: str) -> None:
        """Read the chunk and store it under `key`.

        Raises:
            DomainError: it came too slowly, broke off, or is not the one that its digest was made of.
            Fenced: a newer claim of its segment has one on its way.
            PortError: the store.
        """
        try:
            async with asyncio.timeout(LIMIT_S) as limit, self._turn(claim):
                with self._alone(fence, limit):
                    await self._store.put(key, await _body(request, claim))
        except TimeoutError as error:
            message = f"The chunk was not received and stored within {LIMIT_S:g} s, or a newer one came. Send it again."
            raise DomainError(Problem(ErrorCode.UPLOAD_TIMEOUT, message)) from error
        except ClientDisconnect as error:
            raise DomainError(Problem(ErrorCode.UPLOAD_ABORTED, "The chunk broke off. Send it again.")) from error

    @contextmanager
    def _alone(self, fence: Fence, limit: asyncio.Timeout) -> Iterator[None]:
        segment, own = (fence.job_id, fence.segment), _OnItsWay(fence.epoch, limit)
        other = self._on_their_way.get(segment)
        if other is not None and other.epoch > own.epoch:
            raise Fenced("another worker has taken over")
        if other is not None and not other.limit.expired():
            other.limit.reschedule(0)
        self._on_their_way[segment] = own
        try:
            yield
        finally:
            if self._on_their_way.get(segment) is own:
                del self._on_their_way[segment]

    @asynccontextmanager
    async def _turn(self, claim: ChunkClaim) -> AsyncIterator[None]:
        if claim.bytes <= SMALL_BYTES:
            yield
        else:
            async with self._large:
                yield


async def _body(request: Request, claim: ChunkClaim) -> bytes:
    content = await request.body()
    digest = await asyncio.to_thread(_digest, content) if len(content) > SMALL_BYTES else _digest(content)
    if (len(content), digest) != (claim.bytes, claim.sha256):
        message = "The chunk's bytes are not those that its digest was made of."
        raise DomainError(Problem(ErrorCode.INVALID_REQUEST, message))
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
