"""A reverse proxy for HTTP that a test may interfere with, request by request, in a thread for each connection.

    with http_proxy("http://127.0.0.1:9000") as proxy:
        proxy.meddle = lambda request, forward: Reply(503)

Headers pass as they are, `Host` among them, since the signatures of an S3 store cover it: whoever is to reach the store through
the proxy has to be told the proxy's address when the store's URLs are made.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_LIMIT_S = 60.0
_PIECES = 20
_OURS = {"connection", "transfer-encoding", "content-length", "expect", "keep-alive"}
"""Headers that are about one connection, or that the proxy writes itself."""


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    """Path and query."""
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path


@dataclass(frozen=True, slots=True)
class Reply:
    """`cut`: that many bytes of the body are announced and never come. `seconds`: what sending the body takes."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    cut: int = 0
    seconds: float = 0.0
    length: int | None = None
    """What is announced, where it is not the body's own length: the answer to a HEAD has no body."""


Forward = Callable[[Request], Reply]
Meddle = Callable[[Request, Forward], Reply]


def pass_on(request: Request, forward: Forward) -> Reply:
    return forward(request)


@dataclass(slots=True)
class HttpProxy:
    """`meddle` may be changed at any time; `seen` are the requests so far."""

    url: str
    meddle: Meddle = pass_on
    seen: list[Request] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: clients that give up are what the tests are about."""


@contextmanager
def http_proxy(target: str) -> Iterator[HttpProxy]:
    """`target` is `http://host:port`."""
    address = urlsplit(target).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self._serve
            raise AttributeError(name)

        def log_message(self, *_: object) -> None:
            """Requests are recorded instead."""

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Request(self.command, self.path, tuple(self.headers.items()), body)
            proxy.seen.append(request)
            self._send(proxy.meddle(request, lambda passed: _forwarded(address, passed)))

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers:
                self.send_header(name, value)
            if reply.status != 204:
                self.send_header("Content-Length", str(len(reply.body) if reply.length is None else reply.length))
            self.end_headers()
            sent = reply.body[: len(reply.body) - reply.cut]
            step = -(-len(sent) // _PIECES) if reply.seconds else max(len(sent), 1)
            for start in range(0, len(sent), max(step, 1)):
                time.sleep(reply.seconds / _PIECES)
                self.wfile.write(sent[start : start + step])
            self.close_connection = self.close_connection or bool(reply.cut)

    server = _Server(("127.0.0.1", 0), Handler)
    proxy = HttpProxy(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _forwarded(address: str, request: Request) -> Reply:
    """On a connection of its own. A target that is away is a 502, as with any proxy."""
    connection = http.client.HTTPConnection(address, timeout=_LIMIT_S)
    try:
        connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers:
            if name.lower() not in _OURS:
                connection.putheader(name, value)
        if request.body or request.method in ("PUT", "POST"):
            connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body or None)
        answer = connection.getresponse()
        headers = tuple((name, value) for name, value in answer.getheaders() if name.lower() not in _OURS)
        length = answer.getheader("Content-Length") if request.method == "HEAD" else None
        return Reply(answer.status, answer.read(), headers, length=int(length) if length else None)
    except OSError:
        return Reply(502)
    finally:
        connection.close()
