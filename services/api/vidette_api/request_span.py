"""The span of one request, by OpenTelemetry's conventions for HTTP servers, with less in it than they allow.

Names and attributes come from few values: the method, the route's template, the status. No path, no query and no header gets in,
since they hold what clients wrote; the job's id stands beside them, as an id that the service itself made.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from starlette.types import Scope

from vidette_core.telemetry import tracing
from vidette_core.telemetry.tracing import JOB_ID, Kind, Span

if TYPE_CHECKING:  # older releases have neither the class nor the telemetry
    from fastapi.telemetry import TelemetryConfig

NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""Of FastAPI's own, whose spans hold paths and queries."""
_UNTRACED = frozenset({"/healthz", "/readyz", "/metrics", "/v1/renew"})
"""Probes, and the sign of life that every worker gives each second: thousands of spans for one video, and nothing in them."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
_OTHER_METHOD = "_OTHER"


def request_span(scope: Scope) -> AbstractContextManager[Span]:
    """The current span inside the block; it goes on with the client's trace, if the request names one."""
    if not tracing.is_on() or scope["path"] in _UNTRACED:
        return nullcontext(tracing.NO_SPAN)
    method = _method(scope)
    attributes = {"http.request.method": method, "url.scheme": str(scope.get("scheme", "http"))}
    return tracing.span(_verb(method), Kind.SERVER, parent=_parent(scope), attributes=attributes)


def describe(span: Span, scope: Scope, route: str | None, outcome: str, told: Mapping[str, str]) -> None:
    """What is known once it is over.

    Args:
        route: the template that matched; None when none did.
        outcome: the status of the answer, or why there was none.
        told: `code` of an error and `job_id`, where there are such.
    """
    if span is tracing.NO_SPAN:
        return
    if route is not None:
        span.rename(f"{_verb(_method(scope))} {route}")
        span.tell({"http.route": route})
    if outcome.isdigit():
        span.tell({"http.response.status_code": int(outcome)})
    if not outcome.isdigit() or outcome.startswith("5"):
        span.fail(told.get("code", outcome))
    if "job_id" in told:
        span.tell({JOB_ID: told["job_id"]})


def _method(scope: Scope) -> str:
    method = str(scope["method"])
    return method if method in _METHODS else _OTHER_METHOD


def _verb(method: str) -> str:
    """What a span's name begins with."""
    return "HTTP" if method == _OTHER_METHOD else method


def _parent(scope: Scope) -> str | None:
    """Two such headers are as good as none (W3C Trace Context §3.2)."""
    named = [value for name, value in scope["headers"] if name == b"traceparent"]
    return named[0].decode("latin-1") if len(named) == 1 else None
