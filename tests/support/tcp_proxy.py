"""A TCP proxy whose way can be made to fail, for any protocol: between two processes, in a thread of its own.

    with TcpProxy("127.0.0.1", 5432) as proxy:
        connect(proxy.address)
        with proxy.during(Mode.HANG):
            ...

What is held back is neither read from its sender, whose writes come to stand, nor lost: it arrives when the way is good again.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, StrEnum, auto
from types import TracebackType
from typing import Self

_PIECE = 64 * 1024
_SLOW_STEP_S = 0.1
_LIMIT_S = 10.0  # for a word with the proxy's own thread
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a RST, and what was not sent is dropped


class Mode(StrEnum):
    PASS = "pass"
    CUT = "cut"
    """Connections are reset, and so is every new one."""
    HANG = "hang"
    """Connections stay open and new ones are accepted; no byte and no end passes, either way."""
    SLOW = "slow"
    """Each connection passes a few KB a second, each way."""
    HALF_OPEN = "half_open"
    """What the client sends arrives; no answer comes back, and the client does not hear that the server closed."""
    MUTE = "mute"
    """New connections are accepted and lead nowhere, and so do old ones on which something is sent meanwhile: for good, also
    when the way is good again. The server sees its end of the old ones closed; the client is told nothing."""


class _Way(Enum):
    THERE = auto()
    BACK = auto()


_HELD = {Mode.HANG: (_Way.THERE, _Way.BACK), Mode.HALF_OPEN: (_Way.BACK,)}
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class TcpProxy:
    """A proxy on 127.0.0.1 to `host:port`. All of its public methods may be called from any thread.

    Args:
        local_port: where it listens; any free port by default.
        bytes_per_s: of each connection in each direction while it is slow.
        instead: what serves a new connection while the way is cut, in place of a reset. `met` does not count these.
    """

    def __init__(
        self, host: str, port: int, *, local_port: int = 0, bytes_per_s: float = 4096.0, instead: Handler | None = None
    ) -> None:
        self._target = (host, port)
        self.port = local_port
        self._bytes_per_s = bytes_per_s
        self._instead = instead
        self._mode = Mode.PASS
        self._break_off_after: int | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.accepted = 0
        """Connections so far."""
        self.met = 0
        """How often somebody met a way that is not good: a connection was refused, or a piece held back, slowed down or lost."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def mode(self) -> Mode:
        return self._mode

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(_LIMIT_S)

    def stop(self) -> None:
        """All connections end."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_LIMIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_LIMIT_S)
        self._loop.close()

    def be(self, mode: Mode) -> None:
        """Returns when the mode holds."""
        asyncio.run_coroutine_threadsafe(self._change(mode), self._loop).result(_LIMIT_S)

    @contextmanager
    def during(self, mode: Mode) -> Iterator[None]:
        """The mode inside, a good way afterwards."""
        self.be(mode)
        try:
            yield
        finally:
            self.be(Mode.PASS)

    def break_off_after(self, answered: int) -> None:
        """The next connection ends after so many bytes of answers; those behind it are as the mode has them."""
        self._break_off_after = answered

    async def _change(self, mode: Mode) -> None:
        self._mode = mode
        if mode is Mode.CUT:
            for writer in self._open:
                _reset(writer)
        self._changed.set()  # for all who wait now
        self._changed = asyncio.Event()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        self.accepted += 1
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError):
            _reset(writer)
        except asyncio.CancelledError:
            pass  # the proxy ends; the library would log what a cancelled task says
        finally:
            writer.close()
            self._open.discard(writer)
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode is Mode.CUT:
            if self._instead is not None:
                await self._instead(reader, writer)
                return
            self.met += 1
            _reset(writer)
            return
        if self._mode is not Mode.MUTE:
            try:
                await self._pass_on(reader, writer)
            except _Lost:
                self.met += 1
            else:
                return
        while await reader.read(_PIECE):  # until the client has enough of it
            self.met += 1

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        most, self._break_off_after = self._break_off_after, None
        lost = False
        await self._allowance(_Way.THERE)
        there, back = await asyncio.open_connection(*self._target)
        self._open.add(back)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, back, _Way.THERE))
                group.create_task(self._carry(there, writer, _Way.BACK, most))
        except* _Ended:
            writer.close()
        except* _Lost:
            lost = True
        except* OSError:
            for end in (writer, back):
                _reset(end)
        finally:
            back.close()
            self._open.discard(back)
        if lost:
            raise _Lost

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: _Way, most: int | None = None
    ) -> None:
        """Until the reader ends, which is told on, or `most` bytes are over."""
        carried = 0
        while piece := await reader.read(_PIECE):
            while piece:
                allowed = await self._allowance(way)
                part = piece[: allowed if most is None else min(allowed, most - carried)]
                piece = piece[len(part) :]
                writer.write(part)
                await writer.drain()
                carried += len(part)
                if carried == most:
                    raise _Ended
        await self._allowance(way)
        if writer.can_write_eof():
            writer.write_eof()

    async def _allowance(self, way: _Way) -> int:
        """How many bytes may pass now: waits for as long as it is none. Raises `_Lost` where none ever will."""
        while way in _HELD.get(self._mode, ()):
            self.met += 1
            await self._changed.wait()
        if self._mode is Mode.MUTE:
            raise _Lost
        if self._mode is not Mode.SLOW:
            return _PIECE
        self.met += 1
        await asyncio.sleep(_SLOW_STEP_S)
        return max(1, int(self._bytes_per_s * _SLOW_STEP_S))


class _Ended(Exception):
    """As many bytes were carried as should be."""


class _Lost(Exception):
    """The connection leads nowhere any more."""


def _reset(writer: asyncio.StreamWriter) -> None:
    end = writer.get_extra_info("socket")
    if end is not None:
        with suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
