"""A real OTLP/HTTP collector for tests: it decodes what it is sent by OpenTelemetry's own messages, and remembers the spans."""

from __future__ import annotations

import base64
import gzip
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]  # its types are a package of their own
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

_IDS = {"traceId", "spanId", "parentSpanId"}


@dataclass(frozen=True, slots=True)
class Span:
    """One span as it came, its ids in hexadecimal digits."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, str | int | float | bool]
    resource: dict[str, str | int | float | bool]
    failed: bool


@dataclass(slots=True)
class Collector:
    url: str
    hang: threading.Event = field(default_factory=threading.Event)
    """While set, requests are taken and not answered."""
    spans: list[Span] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    """The headers of each."""
    bodies: list[bytes] = field(default_factory=list)

    def of(self, trace_id: str) -> list[Span]:
        return [span for span in list(self.spans) if span.trace_id == trace_id]

    def wait(self, enough: Callable[[list[Span]], bool], limit_s: float = 30.0) -> list[Span]:
        """The spans, once they are enough."""
        deadline = time.monotonic() + limit_s
        while not enough(list(self.spans)):
            assert time.monotonic() < deadline, f"these spans came: {sorted((s.service, s.name) for s in self.spans)}"
            time.sleep(0.05)
        return list(self.spans)


@contextmanager
def otlp_collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.requests.append(dict(self.headers.items()))
            while collector.hang.is_set():
                time.sleep(0.05)
            if self.path != "/v1/traces":
                return self.send_error(404)
            body = gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
            collector.bodies.append(body)
            is_json = self.headers["Content-Type"] == "application/json"
            collector.spans.extend(_spans(_from_json(body) if is_json else ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, name="collector", daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.hang.clear()
        server.shutdown()
        server.server_close()


def _from_json(body: bytes) -> ExportTraceServiceRequest:
    """As Triton sends it. OTLP's JSON is protobuf's but for the ids, which are hexadecimal there and base64 here."""

    def with_ids(read: dict[str, object]) -> dict[str, object]:
        ids = {name: base64.b64encode(bytes.fromhex(str(read[name]))).decode() for name in _IDS & read.keys()}
        return {**read, **ids}

    request = ExportTraceServiceRequest()
    ParseDict(json.loads(body, object_hook=with_ids), request, ignore_unknown_fields=True)
    return request


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for of_resource in request.resource_spans:
        resource = _values(of_resource.resource.attributes)
        for scope in of_resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    service=str(resource.get("service.name", "")),
                    name=span.name,
                    kind=span.kind,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    attributes=_values(span.attributes),
                    resource=resource,
                    failed=span.status.code == span.status.STATUS_CODE_ERROR,
                )


def _values(attributes: Iterable[KeyValue]) -> dict[str, str | int | float | bool]:
    found: dict[str, str | int | float | bool] = {}
    for pair in attributes:
        kind = pair.value.WhichOneof("value")
        found[pair.key] = getattr(pair.value, kind) if kind else ""
    return found
