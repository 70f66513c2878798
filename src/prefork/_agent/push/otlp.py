"""Metrics and spans of the daemon, sent to an endpoint of OTLP over HTTP at each interval.

Headers, timeouts, compression and certificates are those of the variables OTEL_EXPORTER_OTLP_*, which the exporters
read. One attempt at a time, in the caller's thread: where the endpoint is slow, attempts are fewer. Metrics are
cumulative, so that a failed attempt loses none; of spans the latest wait.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from time import time_ns
from typing import TYPE_CHECKING
from urllib.parse import unquote

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from ..._worker.telemetry.attributes import INSTANCE, OF_WORKER, of_daemon
from ..release import release
from . import points
from .reasons import Reasons
from .traces import Traces

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_INTERVAL = 10.0
_MOST = 512
"""Spans of one request, as in the SDK's own processor."""


class Otlp:
    """An endpoint, and what it gets: what `collect` returns, counted since `started` (ns since 1970), and spans."""

    def __init__(
        self, endpoint: str, resource: Resource, started: int, collect: Callable[[], Iterable[Metric]], traces: Traces
    ) -> None:
        self._resource, self._started, self._collect = resource, started, collect
        self._traces = traces
        self._metrics = OTLPMetricExporter(f"{endpoint}/v1/metrics")
        self._reasons = Reasons()
        self._spans = OTLPSpanExporter(f"{endpoint}/v1/traces")

    def push(self) -> str | None:
        """Send metrics, and the spans that wait; return why something has not arrived. It may take a timeout, each."""
        self._reasons.take()
        with _untraced():
            return None if self._push_metrics() and self._push_spans() else self._reasons.take()

    def close(self) -> None:
        """End what waits for another try; from another thread."""
        exporters: tuple[MetricExporter, SpanExporter] = self._metrics, self._spans
        for exporter in exporters:
            exporter.shutdown()

    def _push_metrics(self) -> bool:
        measured = list(points.metrics(self._collect(), self._started, time_ns()))
        scope = ScopeMetrics(InstrumentationScope("prefork", release()), measured, "")
        data = MetricsData([ResourceMetrics(self._resource, [scope], "")])
        return self._metrics.export(data) is MetricExportResult.SUCCESS

    def _push_spans(self) -> bool:
        waiting = self._traces.waiting
        while waiting:
            batch = [waiting.popleft() for _ in range(min(_MOST, len(waiting)))]
            if self._spans.export(batch) is not SpanExportResult.SUCCESS:
                waiting.extendleft(reversed(batch[: (waiting.maxlen or 0) - len(waiting)]))
                return False
        return True


def interval() -> float:
    """Return the seconds between two pushes: OTEL_METRIC_EXPORT_INTERVAL, which is in milliseconds."""
    try:
        return max(float(os.environ["OTEL_METRIC_EXPORT_INTERVAL"]) / 1000, 0.1)
    except (KeyError, ValueError):
        return _INTERVAL


def resource(daemon: str, slot: str) -> Resource:
    """Return the daemon's resource: that of the process in `slot`, without what makes it a worker's."""
    ours = {name: unquote(value) for name, value in of_daemon(daemon, os.environ).items()}
    ours[INSTANCE] = ours[INSTANCE].removesuffix(f"/{slot}")
    detected = Resource.create({"host.name": os.uname().nodename, **ours})
    return Resource({name: value for name, value in detected.attributes.items() if name not in OF_WORKER})


def traces_wanted() -> bool:
    """Return whether the daemon's changes are sent as traces."""
    return os.environ.get("OTEL_TRACES_EXPORTER", "").strip() != "none"


def _untraced() -> AbstractContextManager[None]:
    """Return a block whose requests make no spans, where the application's requests do."""
    try:
        from opentelemetry.instrumentation.utils import suppress_instrumentation
    except ImportError:
        return nullcontext()
    return suppress_instrumentation()
