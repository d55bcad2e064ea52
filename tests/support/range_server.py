"""A real HTTP server for objects with byte ranges, expiring URLs and faults on demand."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

SILENCE = 30.0
"""How long a silent answer would last if nobody stopped it, in seconds."""


class Fault(Enum):
    """What the server does with one request instead of answering it well."""

    ERROR = auto()
    """500."""
    MISSING = auto()
    """404."""
    CUT = auto()
    """Half of the announced bytes, then the connection is closed."""
    SILENT = auto()
    """The request is read and never answered."""
    DRIP = auto()
    """The headers, then one byte at a time, for ever slowly."""
    WHOLE = auto()
    """200 with the whole object, as a server that knows no ranges answers."""
    SHIFTED = auto()
    """206 with another range than the one asked for."""


@dataclass(eq=False)
class RangeServer:
    """`objects` by name. A URL is good while its token is in `tokens`. `faults` are used up, one a request."""

    port: int
    objects: dict[str, bytes] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=lambda: {"t0"})
    faults: deque[Fault] = field(default_factory=deque)
    requests: list[tuple[str, str]] = field(default_factory=list)
    bytes_sent: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)

    def url(self, name: str, token: str = "t0") -> str:
        return f"http://127.0.0.1:{self.port}/{name}?X-Signature={token}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    state: RangeServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: clients that give up on a silent answer are what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a test's output is for its failures."""

    def do_GET(self) -> None:
        state = cast(_Server, self.server).state
        state.requests.append((self.path, self.headers.get("Range", "")))
        fault = state.faults.popleft() if state.faults else None
        if fault is Fault.SILENT:
            state.stopping.wait(SILENCE)
            self.close_connection = True
            return
        if fault is Fault.ERROR:
            self._answer(500, b"<Error>secret detail</Error>")
            return
        name, _, query = self.path.lstrip("/").partition("?")
        if query.removeprefix("X-Signature=") not in state.tokens:
            self._answer(403, b"<Error>expired</Error>")
        elif name not in state.objects or fault is Fault.MISSING:
            self._answer(404, b"<Error>no such key</Error>")
        else:
            self._serve(state, state.objects[name], fault)

    def _serve(self, state: RangeServer, data: bytes, fault: Fault | None) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if found is None or fault is Fault.WHOLE:
            self._answer(200, data)
            return
        first, last = int(found[1]), min(int(found[2]), len(data) - 1)
        if fault is Fault.SHIFTED:
            first, last = first + 1, last + 1
        body = data[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault is Fault.DRIP:
            for byte in body:
                self.wfile.write(bytes([byte]))
                if state.stopping.wait(0.05):
                    break
        elif fault is Fault.CUT:
            self.wfile.write(body[: len(body) // 2])
        else:
            self.wfile.write(body)
            state.bytes_sent += len(body)
        self.close_connection = fault is not None

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def range_server() -> Iterator[RangeServer]:
    server = _Server(("127.0.0.1", 0), _Handler)
    state = server.state = RangeServer(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        state.stopping.set()
        server.shutdown()
        thread.join(timeout=5)
        server.server_close()
