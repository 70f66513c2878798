"""A receiver of OTLP over HTTP, and what it has received: spans and metrics, by the instance that sent them."""

from __future__ import annotations

import gzip
import http.server
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support import until

Resource = dict[str, str]


def values(attributes: Iterable[Any]) -> dict[str, Any]:
    """Return attributes of the protocol as a dict."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@dataclass
class Collector:
    """What has been received so far; `status` is what it answers."""

    port: int = 0
    status: int = 200
    spans: list[tuple[Resource, Any]] = field(default_factory=list)
    metrics: list[tuple[Resource, Any]] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)
    """The headers of each request."""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def instances(self, of: list[tuple[Resource, Any]]) -> set[str]:
        """Return which instances of a service have sent these."""
        return {str(resource["service.instance.id"]) for resource, _ in of}

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Wait until what has been received fulfils the condition."""
        until(condition, f"{what}; received: {len(self.spans)} spans, {len(self.metrics)} metrics")

    def take(self, path: str, body: bytes) -> None:
        if path == "/v1/traces":
            for traces in ExportTraceServiceRequest.FromString(body).resource_spans:
                resource = values(traces.resource.attributes)
                self.spans += [(resource, span) for scope in traces.scope_spans for span in scope.spans]
        else:
            for measured in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                resource = values(measured.resource.attributes)
                self.metrics += [(resource, each) for scope in measured.scope_metrics for each in scope.metrics]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Receive, in a thread, until the block ends."""
    collector = Collector()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.headers.append(self.headers)
            if collector.status == 200:
                collector.take(self.path, gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(collector.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        collector.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
