"""What an endpoint of OTLP gets, and what is logged where it gets nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial

import pytest

pytest.importorskip("prometheus_client")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
from prometheus_client import CollectorRegistry, Counter

from collector import Collector, collecting
from prefork._agent.push import otlp
from prefork._agent.push.outage import Outage
from prefork._agent.push.traces import Traces
from prefork._agent.story.story import Span

STARTED = 10**18
RELOAD = Span("reload", 13, 7.0, {"prefork.generation": 2}, trace=13, ended=9.0)
IMPORT = Span("import", 14, 7.5, {}, trace=13, parent=13, ended=8.0, error="ZeroDivisionError\nTraceback")


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=cats")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=pod-7/agent/0,prefork.slot=agent/0,team=a%20b")
    with collecting() as collector:
        yield collector


class Sender:
    """What sends to an endpoint, and what it logs."""

    def __init__(self, endpoint: str) -> None:
        registry = CollectorRegistry()
        self.orders = Counter("orders", "Orders.", registry=registry)
        resource = otlp.resource("shop", "agent/0")
        self.traces = Traces(resource, "shop 1")
        self.made = partial(otlp.Otlp, endpoint, resource, STARTED, registry.collect, self.traces)
        self.otlp = self.made()
        self.logged: list[str] = []
        self.outage = Outage(f"otlp: {endpoint}", "trying again", 1, self.logged.append)

    def push(self) -> bool:
        reason = self.otlp.push()
        self.outage.note(reason)
        return reason is None


def test_metrics_and_spans_arrive_with_the_daemons_resource(collector: Collector) -> None:
    sender = Sender(collector.endpoint)
    sender.orders.inc(7)
    sender.traces.add(IMPORT)
    sender.traces.add(RELOAD)
    assert sender.push()
    [(resource, orders)] = collector.metrics
    assert (orders.name, orders.sum.data_points[0].as_double) == ("orders", 7)
    assert (resource["service.instance.id"], resource["service.name"], resource["team"]) == ("pod-7", "shop", "a b")
    assert "prefork.slot" not in resource
    (_, imported), (of_spans, reload) = collector.spans
    assert of_spans == resource
    assert (reload.name, reload.start_time_unix_nano, reload.end_time_unix_nano) == (
        "prefork reload",
        7 * 10**9,
        9 * 10**9,
    )
    assert (imported.trace_id, imported.parent_span_id) == (reload.trace_id, reload.span_id)
    assert (imported.status.code, imported.status.message) == (2, "ZeroDivisionError")
    assert [headers["api-key"] for headers in collector.headers] == ["cats", "cats"]


def test_next_agent_goes_on_with_the_trace(collector: Collector) -> None:
    first, second = Sender(collector.endpoint), Sender(collector.endpoint)
    first.traces.add(IMPORT)
    second.traces.add(RELOAD)
    assert first.push()
    assert second.push()
    (_, imported), (_, reload) = collector.spans
    assert (imported.trace_id, imported.parent_span_id) == (reload.trace_id, reload.span_id)


def test_endpoint_that_refuses_is_logged_once_and_gets_all_later(collector: Collector) -> None:
    sender = Sender(collector.endpoint)
    collector.status = 401
    sender.orders.inc(1)
    sender.traces.add(RELOAD)
    assert [sender.push() for _ in range(3)] == [False] * 3
    [line] = sender.logged
    assert line.startswith(f"otlp: {collector.endpoint} gets nothing: ")
    assert "401" in line
    assert line.endswith("; trying again")
    collector.status = 200
    sender.orders.inc(1)
    assert sender.push()
    assert [metric.sum.data_points[0].as_double for _, metric in collector.metrics] == [2]
    assert [span.name for _, span in collector.spans] == ["prefork reload"]
    assert "is back after" in sender.logged[-1]
    assert len(sender.logged) == 2


def test_endpoint_that_is_away_is_logged_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1.5")  # The exporter tries again after a second.
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        sender = Sender(f"http://127.0.0.1:{closed.getsockname()[1]}")
        assert not sender.push()
    [line] = sender.logged
    assert "refused" in line
    assert "retrying" not in line


def test_spans_that_wait_are_bounded(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    sender = Sender(collector.endpoint)
    collector.status = 503
    for number in range(3000):
        sender.traces.add(Span("relaunch", number, 0.0, {}, trace=number, ended=1.0))
    assert not sender.push()
    assert len(sender.traces.waiting) == 2048
    collector.status = 200
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "30")  # For so many a busy machine takes a while.
    sender.otlp = sender.made()
    assert sender.push()
    assert len(collector.spans) == 2048
