"""Families of prometheus_client as metrics of OpenTelemetry."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("prometheus_client")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
import prometheus_client
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from prefork._agent.push.points import metrics

STARTED, NOW = 10**18, 2 * 10**18


def sent(*declared: Any) -> dict[str, Any]:
    """Return what the protocol has of these metrics, by name."""
    families = [family for each in declared for family in each.collect()]
    scope = ScopeMetrics(InstrumentationScope("test"), list(metrics(families, STARTED, NOW)), "")
    encoded = encode_metrics(MetricsData([ResourceMetrics(Resource({}), [scope], "")]))
    return {each.name: each for each in encoded.resource_metrics[0].scope_metrics[0].metrics}


def test_counter_is_a_monotonic_sum_without_suffix() -> None:
    counter = prometheus_client.Counter("orders", "Orders.", ["shop"], registry=None)
    counter.labels("a").inc(3)
    counter.labels("b").inc(4)
    [metric] = sent(counter).values()
    assert (metric.name, metric.description) == ("orders", "Orders.")
    assert (metric.sum.is_monotonic, metric.sum.aggregation_temporality) == (True, 2)  # cumulative
    points = {point.attributes[0].value.string_value: point for point in metric.sum.data_points}
    assert {shop: point.as_double for shop, point in points.items()} == {"a": 3, "b": 4}
    assert points["a"].time_unix_nano == NOW
    assert STARTED < points["a"].start_time_unix_nano < NOW  # when the child was made


def test_gauge_has_its_unit() -> None:
    gauge = prometheus_client.Gauge("heap", "Heap.", unit="bytes", registry=None)
    gauge.set(7)
    metric = sent(gauge)["heap_bytes"]
    assert (metric.unit, metric.gauge.data_points[0].as_double) == ("By", 7)


def test_histogram_has_counts_of_each_bucket() -> None:
    histogram = prometheus_client.Histogram("wait_seconds", "Wait.", ["shop"], buckets=(0.1, 1), registry=None)
    for value in (0.05, 0.5, 0.6, 7):
        histogram.labels("a").observe(value)
    histogram.labels("b").observe(0.5)
    points = {
        point.attributes[0].value.string_value: point for point in sent(histogram)["wait_seconds"].histogram.data_points
    }
    assert list(points["a"].explicit_bounds) == [0.1, 1]
    assert (list(points["a"].bucket_counts), points["a"].count, points["a"].sum) == ([1, 2, 1], 4, 8.15)
    assert list(points["b"].bucket_counts) == [0, 1, 0]
    assert not points["a"].HasField("min")


def test_exemplar_has_its_trace() -> None:
    histogram = prometheus_client.Histogram("wait_seconds", "Wait.", registry=None)
    histogram.observe(0.5, {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"})
    [exemplar] = sent(histogram)["wait_seconds"].histogram.data_points[0].exemplars
    assert (exemplar.as_double, exemplar.trace_id.hex()) == (0.5, "0af7651916cd43dd8448eb211c80319c")


def test_info_enum_and_summary_are_sums() -> None:
    info = prometheus_client.Info("build", "Build.", registry=None)
    info.info({"version": "7"})
    enum = prometheus_client.Enum("state", "State.", states=["on", "off"], registry=None)
    summary = prometheus_client.Summary("size", "Size.", registry=None)
    summary.observe(5)
    found = sent(info, enum, summary)
    assert found.keys() == {"build_info", "state", "size_count", "size_sum"}
    assert not found["build_info"].sum.is_monotonic
    assert [point.as_double or point.as_int for point in found["state"].sum.data_points] == [1, 0]
    assert (found["size_count"].sum.data_points[0].as_double, found["size_sum"].sum.data_points[0].as_double) == (1, 5)
