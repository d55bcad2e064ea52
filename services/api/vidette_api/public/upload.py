"""A video on its way from a socket into the store, as the parts of a multipart upload, in bounded memory.

At most three parts are held: one that fills, and two on their way. When both ways are taken, `write` waits, so the socket is
not read, so the client is slowed down to what the store takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from vidette_core.ports.blobs import BlobStore
from vidette_core.ports.errors import NotFound, Rejected, Unavailable

MAX_PARTS = 10_000
"""What S3 allows in one upload."""
IN_FLIGHT = 2
ABORT_WAIT_S = 5.0
_MIB = 2**20


def part_size(expected: int, smallest: int) -> int:
    """Bytes of a part, in whole MiB, so that `expected` bytes need at most `MAX_PARTS` parts."""
    needed = -(-expected // MAX_PARTS)
    return max(smallest, -(-needed // _MIB) * _MIB)


class Upload:
    """One multipart upload, opened already. Ends with `complete` or `abort`; used by one task."""

    def __init__(self, store: BlobStore, key: str, upload_id: str, part_bytes: int) -> None:
        self._store = store
        self._key = key
        self._upload_id = upload_id
        self._part_bytes = part_bytes
        self._filling = bytearray()
        self._under_way: dict[int, asyncio.Task[str]] = {}
        self._etags: dict[int, str] = {}
        self._next = 1
        self.received = 0

    async def write(self, data: bytes | bytearray) -> None:
        """Take bytes of any length. Raises `Unavailable` when the store fails, also for parts given earlier."""
        self.received += len(data)
        rest = memoryview(data)
        while rest:
            room = self._part_bytes - len(self._filling)
            self._filling += rest[:room]
            rest = rest[room:]
            if len(self._filling) == self._part_bytes:
                await self._send()

    async def complete(self) -> None:
        """Send what is left and make the parts one object. Raises `Unavailable`."""
        if self._filling:
            await self._send()
        await self._settle(0)
        with _lost_is_unavailable():
            await self._store.complete_upload(self._key, self._upload_id, self._etags)

    async def abort(self) -> None:
        """Drop the parts. Raises `PortError`.

        Parts on their way are waited for, within a bound, because one that arrives after the abort would stay in the store.
        """
        self._filling = bytearray()
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=ABORT_WAIT_S)
        await self._store.abort_upload(self._key, self._upload_id)

    async def _send(self) -> None:
        await self._settle(IN_FLIGHT - 1)
        part, self._filling = self._filling, bytearray()
        number, self._next = self._next, self._next + 1
        call = self._store.upload_part(self._key, self._upload_id, number, part)
        task = asyncio.create_task(call)
        task.add_done_callback(_looked_at)
        self._under_way[number] = task

    async def _settle(self, most: int) -> None:
        """Wait until at most `most` parts are on their way."""
        while len(self._under_way) > most:
            await asyncio.wait(self._under_way.values(), return_when=asyncio.FIRST_COMPLETED)
            for number in [number for number, task in self._under_way.items() if task.done()]:
                with _lost_is_unavailable():
                    self._etags[number] = self._under_way[number].result()
                del self._under_way[number]


def _looked_at(task: asyncio.Task[str]) -> None:
    """After an abort nobody asks how a part ended; unasked, the event loop would report it as forgotten."""
    if not task.cancelled():
        task.exception()


@contextmanager
def _lost_is_unavailable() -> Iterator[None]:
    """An upload that is gone, or that the store refuses to go on with, is the store's failure: the client did nothing wrong."""
    try:
        yield
    except (NotFound, Rejected) as error:
        raise Unavailable(f"the store gave up an upload: {error}") from error
