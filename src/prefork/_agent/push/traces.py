"""Spans of a daemon's story as spans of OpenTelemetry, which wait to be exported."""

from __future__ import annotations

from collections import deque
from hashlib import blake2b

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, set_span_in_context

from ..story.story import Span

_MOST = 2048
"""Spans that wait while the endpoint is away; the oldest are dropped then."""


class Traces(SpanProcessor):
    """Takes spans and keeps them until they are exported. `identity`: of the daemon, of which all ids are made."""

    def __init__(self, resource: Resource, identity: str) -> None:
        self.waiting: deque[ReadableSpan] = deque(maxlen=_MOST)
        self._ids = _Ids(identity)
        provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        provider.add_span_processor(self)
        self._tracer = provider.get_tracer("prefork")

    def on_end(self, span: ReadableSpan) -> None:
        """Keep a span that has ended."""
        self.waiting.append(span)

    def add(self, span: Span) -> None:
        """Take a span."""
        self._ids.trace, self._ids.span = span.trace, span.number
        within = None
        if span.parent is not None:
            trace, parent = self._ids.of_trace(span.trace), self._ids.of_span(span.parent)
            context = SpanContext(trace, parent, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
            within = set_span_in_context(NonRecordingSpan(context))
        begun = self._tracer.start_span(
            f"prefork {span.name}", within, attributes=span.attributes, start_time=_nanoseconds(span.begun)
        )
        if span.error:
            begun.set_status(Status(StatusCode.ERROR, span.error.partition("\n")[0]))
            if "\n" in span.error:
                begun.set_attribute("exception.stacktrace", span.error)
        begun.end(_nanoseconds(span.ended))


class _Ids(IdGenerator):
    """Ids that follow from the daemon and the numbers of records, the same in each of its agents."""

    def __init__(self, identity: str) -> None:
        self._identity = identity
        self.trace = self.span = 0
        """The numbers of the span that is begun next."""

    def generate_trace_id(self) -> int:
        return self.of_trace(self.trace)

    def generate_span_id(self) -> int:
        return self.of_span(self.span)

    def of_trace(self, number: int) -> int:
        return self._hash(f"trace {number}", 16)

    def of_span(self, number: int) -> int:
        return self._hash(f"span {number}", 8)

    def _hash(self, text: str, size: int) -> int:
        return int.from_bytes(blake2b(f"{self._identity} {text}".encode(), digest_size=size).digest())


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
