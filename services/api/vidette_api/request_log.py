"""One log line and one measurement for each request, as plain ASGI: the request's body and the answer pass untouched."""

from __future__ import annotations

import time
from uuid import UUID

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vidette_core.telemetry.metrics import REQUEST_SECONDS

_QUIET = {"/healthz", "/readyz", "/metrics"}
_log = structlog.get_logger("vidette_api.requests")


class RequestLog:
    """Middleware. The route is logged as its template, so that nothing a client wrote reaches logs or labels unchecked."""

    def __init__(self, app: ASGIApp, name: str) -> None:
        self._app = app
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        began = time.perf_counter()
        seconds: float | None = None

        async def watched(message: Message) -> None:
            nonlocal status, seconds
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                seconds = time.perf_counter() - began  # what runs behind the answer is not the client's time

        try:
            await self._app(scope, receive, watched)
        finally:
            self._record(
                scope, status, time.perf_counter() - began if seconds is None else seconds, seconds is not None
            )

    def _record(self, scope: Scope, status: int, seconds: float, whole: bool) -> None:
        route = _route(scope)
        REQUEST_SECONDS.labels(self._name, route, str(status)).observe(seconds)
        job = _job_id(scope)
        known = {} if job is None else {"job_id": str(job)}
        log = _log.debug if route in _QUIET else _log.info
        log(
            "request",
            method=scope["method"],
            route=route,
            status=status,
            seconds=round(seconds, 4),
            whole=whole,
            **known,
        )


def _route(scope: Scope) -> str:
    """The template of the route that matched. One without parameters, as Starlette's own leave no trace, is its path."""
    template = getattr(scope.get("route"), "path", None)
    if isinstance(template, str):
        return template
    is_fixed = "endpoint" in scope and not scope.get("path_params")
    return str(scope["path"]) if is_fixed else "unmatched"


def _job_id(scope: Scope) -> UUID | None:
    """From the path, or as the route that made a job left it in the request's state."""
    made = scope.get("state", {}).get("job_id")
    if isinstance(made, UUID):
        return made
    try:
        return UUID(scope.get("path_params", {}).get("job_id", ""))
    except ValueError:
        return None
