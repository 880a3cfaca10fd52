"""An OTLP/HTTP collector of the tests' own: it decodes what it is sent, and answers as it is told to."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(frozen=True, slots=True)
class SpanSeen:
    """A span as a test compares it."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    start_ns: int
    end_ns: int
    is_error: bool
    attributes: Mapping[str, object]
    resource: Mapping[str, object]


@dataclass(slots=True)
class CollectorSeen:
    """What a collector has got."""

    url: str
    spans: list[SpanSeen] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)  # of each delivery
    bodies: list[bytes] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)  # for the next deliveries; afterwards 200
    rejected: int = 0  # of each delivery, as partial success

    def of(self, trace_id: str) -> list[SpanSeen]:
        """The spans of a trace, the request's first."""
        found = [span for span in self.spans if span.trace_id == trace_id]
        return sorted(found, key=lambda span: (span.kind != Span.SPAN_KIND_SERVER, span.start_ns))

    def by_request(self, request_id: str) -> list[SpanSeen]:
        return [span for span in self.spans if span.attributes["penstock.request_id"] == request_id]

    def take(self, body: bytes) -> None:
        for told in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _plain(told.resource.attributes)
            self.spans += [_seen(span, resource) for scope in told.scope_spans for span in scope.spans]


@contextmanager
def running_collector() -> Iterator[CollectorSeen]:
    """A collector on loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            seen.headers.append({name.lower(): value for name, value in self.headers.items()})
            seen.bodies.append(body)
            status = seen.statuses.pop(0) if seen.statuses else 200
            if status == 200:
                seen.take(body)
            partial = ExportTracePartialSuccess(rejected_spans=seen.rejected)
            content = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
            self.send_response(status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        seen = CollectorSeen(f"http://127.0.0.1:{server.server_address[1]}/v1/traces")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()


def _seen(span: Span, resource: Mapping[str, object]) -> SpanSeen:
    return SpanSeen(
        name=span.name,
        kind=span.kind,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        state=span.trace_state,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        is_error=span.status.code == 2,
        attributes=_plain(span.attributes),
        resource=resource,
    )


def _plain(attributes: "list[KeyValue]") -> dict[str, object]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind or "string_value")
