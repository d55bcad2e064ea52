"""Spans sent by OTLP over HTTP, with OpenTelemetry's SDK: the one module that imports it, and only where traces are on.

Nothing of a request or a frame ever waits for the collector: ended spans go into a bounded queue, from which a thread of the SDK
sends batches, each within a time limit; what does not fit is dropped. The SDK reads its own variables (`OTEL_BSP_…`,
`OTEL_EXPORTER_OTLP_…`, `OTEL_TRACES_SAMPLER…`) itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from vidette_core.settings import TracingSettings
from vidette_core.telemetry.tracing import Attributes, Kind, Span

SAY_AGAIN_S = 600.0
"""Between two warnings that spans are lost: a collector that is away is one piece of news, not one for every batch."""
_LONGEST_MESSAGE = 300
_HEADER = "traceparent"
_PROPAGATOR = TraceContextTextMapPropagator()
_log = structlog.get_logger(__name__)


class OtlpTracer:
    """`tracing.Tracer`. Made once in a process: it starts the thread that sends."""

    def __init__(self, service: str, settings: TracingSettings) -> None:
        _speak_seldom()
        resource = Resource.create({} if settings.names_service else {"service.name": service})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.traces_url))
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("vidette")
        self._open: set[_OtlpSpan] = set()

    def begin(self, name: str, kind: Kind, parent: str | None, attributes: Attributes) -> Span:
        context = None if parent is None else _context(parent)
        begun = self._tracer.start_span(name, context, trace.SpanKind[kind.name], attributes)
        made = _OtlpSpan(begun, self._open)
        self._open.add(made)
        return made

    @contextmanager
    def continued(self, traceparent: str) -> Iterator[None]:
        with _attached(_context(traceparent)):
            yield

    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get(_HEADER)

    def trace_id(self) -> str | None:
        context = trace.get_current_span().get_span_context()
        return trace.format_trace_id(context.trace_id) if context.is_valid else None

    def close(self, limit_s: float) -> None:
        """The SDK's own shutdown has no limit that one could set, hence a thread, which the process' end may cut off.

        Spans are ended in it too, since a handler of signals may have stopped another thread in the middle of one.
        """

        def shut() -> None:
            for made in tuple(self._open):
                made.fail("stopped")
                made.end()
            self._processor.shutdown()  # type: ignore[no-untyped-call]  # the library does not annotate it

        last = threading.Thread(target=shut, name="last-spans", daemon=True)
        last.start()
        last.join(limit_s)


class _OtlpSpan:
    """`tracing.Span`. What comes too late, when the process is ending, is dropped without the SDK's complaint."""

    def __init__(self, begun: trace.Span, still_open: set[_OtlpSpan]) -> None:
        self._span = begun
        self._still_open = still_open

    def rename(self, name: str) -> None:
        if self._span.is_recording():
            self._span.update_name(name)

    def tell(self, attributes: Attributes) -> None:
        if self._span.is_recording():
            self._span.set_attributes(attributes)

    def fail(self, kind: str) -> None:
        if self._span.is_recording():
            self._span.set_attribute("error.type", kind)
            self._span.set_status(trace.StatusCode.ERROR)

    @contextmanager
    def current(self) -> Iterator[None]:
        with _attached(trace.set_span_in_context(self._span)):
            yield

    def end(self) -> None:
        if self in self._still_open:
            self._still_open.discard(self)
            self._span.end()


@contextmanager
def _attached(context: Context) -> Iterator[None]:
    token = attach(context)
    try:
        yield
    finally:
        detach(token)


def _context(traceparent: str) -> Context:
    """An empty one, whose spans are the first of a trace, where the library cannot read it. No `tracestate` is taken on."""
    return _PROPAGATOR.extract({_HEADER: traceparent}, Context())


class _SeldomHandler(logging.Handler):
    """Turns what the SDK says of its troubles into one warning of ours, and the next one only after `SAY_AGAIN_S`."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._due = 0.0
        self._unsaid = 0

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now < self._due:
            self._unsaid += 1
            return
        unsaid, self._unsaid, self._due = self._unsaid, 0, now + SAY_AGAIN_S
        _log.warning(
            "spans may be lost: the collector of traces does not take them; nothing else is affected",
            error=record.getMessage()[:_LONGEST_MESSAGE],
            unsaid=unsaid,
        )


def _speak_seldom() -> None:
    """For every logger of the SDK. Set, not added: a second tracer in a process starts afresh."""
    logger = logging.getLogger("opentelemetry")
    logger.handlers[:] = [_SeldomHandler()]
    logger.propagate = False
