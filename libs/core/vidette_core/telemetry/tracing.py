"""Traces of a job through the services, off until OpenTelemetry's own variables name a collector.

Services speak to this module alone. Off, it costs a comparison: OpenTelemetry's SDK is not imported, no thread runs, nothing is
sent. On, `vidette_core.telemetry.otlp` does the work, the one module that knows OpenTelemetry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from enum import StrEnum
from typing import Any, Protocol

import structlog

from vidette_core.domain.traceparents import is_sampled
from vidette_core.settings import TracingSettings

LAST_SPANS_S = 3.0
"""How long the end of a process may wait for its last spans to be sent: a service has 30 s from SIGTERM on for everything."""
JOB_ID = "vidette.job_id"

Attributes = Mapping[str, str | int | float | bool]
_log = structlog.get_logger(__name__)


class Kind(StrEnum):
    """What a span stands for, as OpenTelemetry counts them."""

    SERVER = "SERVER"
    INTERNAL = "INTERNAL"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class Span(Protocol):
    """One piece of work. Thread-safe. Without tracing, all of it does nothing."""

    def rename(self, name: str) -> None:
        """For a name that is known only while the work is done."""

    def tell(self, attributes: Attributes) -> None:
        """More of what it is about."""

    def fail(self, kind: str) -> None:
        """It ended badly; `kind` is one of few (`error.type`), and no sentence: those hold what clients wrote."""

    def current(self) -> AbstractContextManager[None]:
        """Inside the block, in this task or thread, it is the parent of new spans and of what is called elsewhere."""

    def end(self) -> None:
        """Twice is fine."""


class Tracer(Protocol):
    """What `otlp` provides."""

    def begin(self, name: str, kind: Kind, parent: str | None, attributes: Attributes) -> Span: ...

    def continued(self, traceparent: str) -> AbstractContextManager[None]: ...

    def traceparent(self) -> str | None: ...

    def trace_id(self) -> str | None: ...

    def close(self, limit_s: float) -> None: ...


class _NoSpan:
    def rename(self, name: str) -> None: ...

    def tell(self, attributes: Attributes) -> None: ...

    def fail(self, kind: str) -> None: ...

    def current(self) -> AbstractContextManager[None]:
        return nullcontext()

    def end(self) -> None: ...


NO_SPAN: Span = _NoSpan()
_tracer: Tracer | None = None
_closely: ContextVar[bool] = ContextVar("closely", default=False)


@contextmanager
def tracing(service: str, settings: TracingSettings, limit_s: float = LAST_SPANS_S) -> Iterator[None]:
    """Inside the block the process sends its spans, if the settings say so. After it they are sent, within `limit_s` seconds."""
    global _tracer
    if not settings.is_on:
        yield
        return
    from vidette_core.telemetry.otlp import OtlpTracer  # here, so that it is never imported where nothing is traced

    _tracer = OtlpTracer(service, settings)
    _log.info("traces are sent", sampler=settings.traces_sampler or "parentbased_always_on")
    try:
        yield
    finally:
        stop(limit_s)


def is_on() -> bool:
    return _tracer is not None


def stop(limit_s: float) -> None:
    """End what is still open, send what is left, and trace no more; returns after `limit_s` seconds at the latest."""
    global _tracer
    tracer, _tracer = _tracer, None
    if tracer is not None:
        tracer.close(limit_s)


def begin(
    name: str, kind: Kind = Kind.INTERNAL, *, parent: str | None = None, attributes: Attributes | None = None
) -> Span:
    """A span that whoever holds it ends. `parent` is a traceparent from elsewhere; without it the current span is."""
    return NO_SPAN if _tracer is None else _tracer.begin(name, kind, parent, attributes or {})


@contextmanager
def span(
    name: str, kind: Kind = Kind.INTERNAL, *, parent: str | None = None, attributes: Attributes | None = None
) -> Iterator[Span]:
    """The block as a span, the current one inside. An error that leaves the block is told by its type."""
    made = begin(name, kind, parent=parent, attributes=attributes)
    if made is NO_SPAN:
        yield made
        return
    with ending(made):
        yield made


@contextmanager
def ending(made: Span) -> Iterator[Span]:
    """`made` is current inside the block and ends with it."""
    try:
        with made.current():
            yield made
    except BaseException as error:
        made.fail(type(error).__name__)
        raise
    finally:
        made.end()


def continued(traceparent: str | None) -> AbstractContextManager[None]:
    """Inside the block, another process' span is the current one."""
    return nullcontext() if _tracer is None or traceparent is None else _tracer.continued(traceparent)


def current_traceparent() -> str | None:
    """Of the current span, for a process that goes on with its trace; None where there is none."""
    return None if _tracer is None else _tracer.traceparent()


def carried() -> dict[str, str]:
    """The same as a header; empty where there is none."""
    traceparent = current_traceparent()
    return {} if traceparent is None else {"traceparent": traceparent}


@contextmanager
def closely() -> Iterator[None]:
    """Inside the block, in this task or thread, models are asked with the trace's id, and add their own spans to it."""
    token = _closely.set(True)
    try:
        yield
    finally:
        _closely.reset(token)


def carried_to_models() -> dict[str, str]:
    """As metadata of gRPC; empty outside `closely`, since a video has too many requests for a trace.

    Empty too where the trace is not recorded: Triton traces whatever names one, whatever its flags say (measured with 2.51).
    """
    found = carried() if _tracer is not None and _closely.get() else {}
    return {name: value for name, value in found.items() if is_sampled(value)}


def add_trace_id(_: Any, __: str, event: Any) -> Any:
    """A processor of structlog: lines that are written while a span is current carry its `trace_id`."""
    trace_id = None if _tracer is None else _tracer.trace_id()
    return event if trace_id is None else {**event, "trace_id": trace_id}
