"""A store that misbehaves: a proxy before a real one that lets through, answers every request with 500, or never answers.

    with stack_before_a_store(folder) as (stack, way):
        way.be(Weather.ERRORS)

The stack is the embedded one without its own store: it finds the proxy at the store's port.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from tests.support.code_reader import add_code_pipeline
from tests.support.processes import wait_until
from tests.support.servers import part_environment
from tests.support.stacks import HASTE, free_port
from tests.support.tcp_proxy import Mode, TcpProxy
from vidette_local import credentials
from vidette_local.parts.part import Part, running
from vidette_local.parts.s3 import S3Part
from vidette_local.settings import PartName
from vidette_local.stack_process import StackProcess

_PIECE = 64 * 1024
_BODY = b"<Error><Code>InternalError</Code><Message>Something is wrong with me.</Message></Error>"
_REFUSAL = b"HTTP/1.1 500 Sorry\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"


class Weather(StrEnum):
    FINE = "fine"
    ERRORS = "errors"
    """Connections are cut, and every request on a new one is answered with 500."""
    SILENCE = "silence"
    """Connections stay open and new ones are accepted; nothing is answered on either, not even when the weather is fine again."""


_MODES = {Weather.FINE: Mode.PASS, Weather.ERRORS: Mode.CUT, Weather.SILENCE: Mode.MUTE}


class StoreWay:
    """A proxy at `port` to `target`. `answered` counts the requests answered with 500, `swallowed` what nobody will answer."""

    def __init__(self, port: int, target: int) -> None:
        self._proxy = TcpProxy("127.0.0.1", target, local_port=port, instead=self._refuse)
        self.start, self.stop = self._proxy.start, self._proxy.stop
        self.answered = 0

    @property
    def swallowed(self) -> int:
        return self._proxy.met

    def be(self, weather: Weather) -> None:
        self._proxy.be(_MODES[weather])

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.answered += 1
        writer.write(_REFUSAL % len(_BODY) + _BODY)
        await writer.drain()
        async with asyncio.timeout(2):  # the rest of the body, so that the answer is read before the connection ends
            while await reader.read(_PIECE):
                pass


class StorePart(Part, Protocol):
    """A store as a part of a stack, with what a client of it needs."""

    @property
    def endpoint(self) -> str: ...
    @property
    def bucket(self) -> str: ...
    @property
    def access_key(self) -> str: ...
    @property
    def secret_key(self) -> str: ...


def _embedded(folder: Path, access_key: str, secret_key: str) -> StorePart:
    return S3Part(folder, free_port(), access_key, secret_key, part_environment())


@contextmanager
def stack_before_a_store(
    folder: Path, make_store: Callable[[Path, str, str], StorePart] = _embedded, **variables: str
) -> Iterator[tuple[StackProcess, StoreWay]]:
    """Must be entered from the main thread, outside a running event loop.

    `make_store` takes a folder and the stack's two keys; it may be any store that has a bucket of the stack's name.
    """
    home = folder / "home"
    home.mkdir(parents=True)
    add_code_pipeline(home / "models")
    secrets = credentials.load_or_make(home / "secrets.json")
    store = make_store(folder / "store", secrets.s3_access_key, secrets.s3_secret_key)
    parts = ",".join(name for name in PartName if name is not PartName.S3)
    settings = {**HASTE, "VIDETTE_HTTP_PORT": str(free_port()), "VIDETTE_PARTS": parts, **variables}
    stack = StackProcess(home, settings, start_seconds=300, messages=folder / "messages")
    with running(store, folder / "logs"):
        try:
            stack.launch()
            wait_until((home / "ports.json").exists, 60, "the stack has picked its ports")
            way = StoreWay(json.loads((home / "ports.json").read_text())["s3"], int(store.address.rpartition(":")[2]))
            way.start()
            try:
                stack.url = stack.wait_ready()
                yield stack, way
            finally:
                way.stop()
        finally:
            stack.stop()
