"""One log line, one measurement and one span for each request, as plain ASGI: the body and the answer pass untouched."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vidette_api.http_errors import ERROR_HEADER
from vidette_api.request_span import describe, request_span
from vidette_core.domain.errors import ErrorCode
from vidette_core.telemetry.metrics import REQUEST_SECONDS
from vidette_core.telemetry.tracing import Span

CLIENT_LEFT = 499
"""In the log, for a client that left before its answer was whole: no answer's status, for none was read. nginx's number."""
CLIENT_LEFT_LABEL = "client_left"
_QUIET = {"/healthz", "/readyz", "/metrics"}
_POLLED = {"/video/status/{job_id}", "/v1/renew"}
"""Asked every few seconds for as long as a job lasts: worth a line only when something is wrong."""
_UNMATCHED = "unmatched"
_log = structlog.get_logger("vidette_api.requests")


@dataclass(slots=True)
class _Exchange:
    """What is seen of one request while it passes."""

    began: float = field(default_factory=time.perf_counter)
    status: int = 500
    code: str | None = None
    seconds: float | None = None
    """Until the client had the answer's last byte; None while it has not."""
    left: bool = False
    _expected: int | None = None
    _sent: int = 0

    def received(self, message: Message) -> None:
        if message["type"] == "http.disconnect" and self.seconds is None:
            self.left = True

    def sent(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = Headers(raw=message.get("headers", []))
            self.status, self.code = message["status"], headers.get(ERROR_HEADER)
            length = headers.get("content-length", "")
            self._expected = int(length) if length.isdigit() else None
        elif message["type"] == "http.response.body" and self.seconds is None:
            self._sent += len(message.get("body", b""))
            # What runs behind the answer's last byte is not the client's time: a wake-up, or the draining of a refused body.
            if self._sent == self._expected or not message.get("more_body", False):
                self.seconds = time.perf_counter() - self.began


class RequestLog:
    """Middleware. The route is logged as its template, so that nothing a client wrote reaches logs or labels unchecked."""

    def __init__(self, app: ASGIApp, name: str) -> None:
        self._app = app
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange()

        async def heard() -> Message:
            message = await receive()
            exchange.received(message)
            return message

        async def watched(message: Message) -> None:
            await send(message)
            exchange.sent(message)

        with request_span(scope) as span:
            try:
                await self._app(scope, heard, watched)
            finally:
                self._record(scope, exchange, span)

    def _record(self, scope: Scope, seen: _Exchange, span: Span) -> None:
        route = _route(scope)
        seconds = time.perf_counter() - seen.began if seen.seconds is None else seen.seconds
        label = CLIENT_LEFT_LABEL if seen.left else str(seen.status)
        REQUEST_SECONDS.labels(self._name, route, label).observe(seconds)
        told: dict[str, str] = {} if seen.code is None else {"code": seen.code}
        job = None if seen.code == ErrorCode.NOT_FOUND else _job_id(scope)
        if job is not None:
            told["job_id"] = str(job)
        describe(span, scope, None if route == _UNMATCHED else route, label, told)
        is_routine = route in _QUIET or (route in _POLLED and 200 <= seen.status < 300 and not seen.left)
        log = _log.debug if is_routine else _log.info
        log(
            "request",
            app=self._name,
            method=scope["method"],
            route=route,
            status=CLIENT_LEFT if seen.left else seen.status,
            seconds=round(seconds, 4),
            whole=seen.seconds is not None and not seen.left,
            **told,
        )


def _route(scope: Scope) -> str:
    """The template of the route that matched. One without parameters, as Starlette's own leave no trace, is its path."""
    template = getattr(scope.get("route"), "path", None)
    if isinstance(template, str):
        return template
    is_fixed = "endpoint" in scope and not scope.get("path_params")
    return str(scope["path"]) if is_fixed else _UNMATCHED


def _job_id(scope: Scope) -> UUID | None:
    """From the path, or as the route left it in the request's state: of the job it made, or that its caller's token names."""
    known = scope.get("state", {}).get("job_id")
    if isinstance(known, UUID):
        return known
    try:
        return UUID(scope.get("path_params", {}).get("job_id", ""))
    except ValueError:
        return None
