"""Doors from a cluster's pods to the servers of a test, which listen on 127.0.0.1 of the machine, where no pod can come."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PIECE = 256 * 1024
_SECONDS = 10


class Doors:
    """Each opens on a port of its own at `host` and leads to one server. They run in a thread, for tests of every kind."""

    def __init__(self, host: str, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self._loop = loop
        self._servers: list[asyncio.Server] = []

    def to(self, target: str) -> str:
        """The address, `host:port`, of a door to `target`, which is `host:port` too."""
        return asyncio.run_coroutine_threadsafe(self._open(target), self._loop).result(_SECONDS)

    async def _open(self, target: str) -> str:
        host, _, port = target.rpartition(":")

        async def let_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                there, back = await asyncio.open_connection(host, int(port))
            except OSError:
                writer.close()
                return
            # The streams' own callback takes a cancelled handler for an error; this one just ends with its door.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(_carry(reader, back), _carry(there, writer))

        server = await asyncio.start_server(let_in, self._host, 0, limit=_PIECE)
        self._servers.append(server)
        address = server.sockets[0].getsockname()
        return f"{address[0]}:{address[1]}"

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def doors(host: str) -> Iterator[Doors]:
    """Doors that open at `host`, an address that pods reach; all are shut at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="doors", daemon=True)
    thread.start()
    made = Doors(host, loop)
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(made.close(), loop).result(_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_SECONDS)
        loop.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the sender has no more; then the receiver is told so, while the other direction may go on."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
            return
    writer.close()
