"""Networks that misbehave: a port that accepts and never answers, a narrow way to a server that does, and one that breaks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

PIECE = 64 * 1024
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def silent_port() -> AsyncIterator[str]:
    """The address of a server that takes connections and bytes, and says nothing."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(PIECE):
                pass
        writer.close()

    async with _listening(swallow) as address:
        yield address


@asynccontextmanager
async def narrow_way(target: str, bytes_per_s: float) -> AsyncIterator[str]:
    """The address of a proxy to `host:port` that lets at most `bytes_per_s` bytes in, for all connections together."""
    host, _, port = target.rpartition(":")
    gate = asyncio.Lock()

    async def carry_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE):
                async with gate:
                    await asyncio.sleep(len(piece) / bytes_per_s)
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        await asyncio.gather(carry_slowly(reader, back), _carry(there, writer))

    async with _listening(connect) as address:
        yield address


class BreakableWay:
    """A proxy to `host:port` at `address`. While it is broken, it has cut all connections and cuts every new one."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._writers: set[asyncio.StreamWriter] = set()
        self._broken = False
        self.address = ""

    def break_off(self) -> None:
        self._broken = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self._broken = False

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._broken:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, back}
        await asyncio.gather(_carry(reader, back), _carry(there, writer))
        self._writers -= {writer, back}


@asynccontextmanager
async def breakable_way(target: str) -> AsyncIterator[BreakableWay]:
    way = BreakableWay(target)
    async with _listening(way.connect) as way.address:
        yield way


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def _listening(handler: Handler) -> AsyncIterator[str]:
    tasks: set[asyncio.Task[None]] = set()

    async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await handler(reader, writer)

    server = await asyncio.start_server(tracked, "127.0.0.1", 0)
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname())
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
