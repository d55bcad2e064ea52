"""A load of one GET on kept connections, lean enough that the client is never what is measured."""

from __future__ import annotations

import asyncio
import time


class _Asker(asyncio.Protocol):
    """Asks again whenever an answer is complete. Answers must carry a Content-Length and the status 200."""

    def __init__(self, request: bytes, end: float) -> None:
        self._request = request
        self._end = end
        self._buffer = bytearray()
        self.answers = 0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0 or len(self._buffer) < head + 4 + _length(bytes(self._buffer[:head])):
            return
        self._buffer.clear()
        self.answers += 1
        if time.perf_counter() < self._end:
            self._transport.write(self._request)
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.over.done():
            return
        if exc is None and time.perf_counter() >= self._end:
            self.over.set_result(None)
        else:
            self.over.set_exception(exc or ConnectionError("the server closed a connection under load"))


def _length(head: bytes) -> int:
    if not head.startswith(b"HTTP/1.1 200"):
        raise ValueError(f"an answer under load was not 200: {head[:200]!r}")
    name, _, rest = head.lower().partition(b"content-length:")
    if not rest:
        raise ValueError(f"an answer without a length: {name[:200]!r}")
    return int(rest.split(b"\r\n")[0])


async def _load(port: int, path: str, connections: int, seconds: float) -> float:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".encode()
    began = time.perf_counter()
    loop = asyncio.get_running_loop()
    askers = [
        (await loop.create_connection(lambda: _Asker(request, began + seconds), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    async with asyncio.timeout(seconds + 30):
        await asyncio.gather(*(asker.over for asker in askers))
    return sum(asker.answers for asker in askers) / (time.perf_counter() - began)


def requests_per_second(port: int, path: str, connections: int = 16, seconds: float = 4.0) -> float:
    """How many answers a server gives a second, asked on `connections` at once."""
    return asyncio.run(_load(port, path, connections, seconds))
