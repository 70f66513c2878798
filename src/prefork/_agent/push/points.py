"""Families of prometheus_client as metrics of OpenTelemetry, cumulative, with their own buckets.

No instrument of the SDK takes a histogram that has been counted elsewhere, so these are data points for an exporter.
The mapping is that of https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/: a counter has
the family's name without `_total`, which backends of Prometheus add again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family
    from prometheus_client.samples import Sample

_UNITS = {"seconds": "s", "bytes": "By", "ratio": "1"}
"""Units of Prometheus' conventions in UCUM, as OpenTelemetry has them."""
_CUMULATIVE = AggregationTemporality.CUMULATIVE

Series = dict[str, "Sample"]
"""The samples of one set of labels, by what their name has after the family's."""


def metrics(families: Iterable[Family], started: int, now: int) -> Iterator[Metric]:
    """Yield the metrics of these families. `started`, `now`: when counting began, and the time, in ns since 1970."""
    for family in families:
        for name, data in _data(family, (started, now)):
            if data.data_points:
                yield Metric(name, family.documentation, _UNITS.get(family.unit, family.unit), data)


def _data(family: Family, times: tuple[int, int]) -> Iterator[tuple[str, Sum | Gauge | Histogram]]:
    if family.type == "histogram":
        points = [_histogram(labels, series, times) for labels, series in _series(family) if "_count" in series]
        yield family.name, Histogram(points, _CUMULATIVE)
    elif family.type == "counter":
        yield family.name, _sum(family, "_total", times)
    elif family.type == "summary":
        yield from ((family.name + suffix, _sum(family, suffix, times)) for suffix in ("_count", "_sum"))
        yield family.name, Gauge(list(_numbers(family, "", times)))
    elif family.type in ("info", "stateset"):
        suffix = "_info" if family.type == "info" else ""
        yield family.name + suffix, Sum(list(_numbers(family, suffix, times)), _CUMULATIVE, is_monotonic=False)
    else:
        yield family.name, Gauge(list(_numbers(family, "", times)))


def _sum(family: Family, suffix: str, times: tuple[int, int]) -> Sum:
    points = [
        NumberDataPoint(labels, _started(series, times), times[1], sample.value, _exemplars([sample]))
        for labels, series in _series(family)
        if (sample := series.get(suffix)) is not None
    ]
    return Sum(points, _CUMULATIVE, is_monotonic=True)


def _numbers(family: Family, suffix: str, times: tuple[int, int]) -> Iterator[NumberDataPoint]:
    for sample in family.samples:
        if sample.name == family.name + suffix:
            yield NumberDataPoint(sample.labels, times[0], times[1], sample.value)


def _series(family: Family) -> list[tuple[Mapping[str, str], Series]]:
    """Return the samples by their labels; those of buckets have the bound as part of the name."""
    found: dict[frozenset[tuple[str, str]], tuple[dict[str, str], Series]] = {}
    for sample in family.samples:
        labels = dict(sample.labels)
        bound = labels.pop("le", "")
        _, series = found.setdefault(frozenset(labels.items()), (labels, {}))
        series[sample.name.removeprefix(family.name) + bound] = sample
    return list(found.values())


def _histogram(labels: Mapping[str, str], series: Series, times: tuple[int, int]) -> HistogramDataPoint:
    buckets = [(float(name[7:]), sample) for name, sample in series.items() if name.startswith("_bucket")]
    buckets.sort(key=lambda bucket: bucket[0])
    cumulative = [round(sample.value) for _, sample in buckets]
    total = series["_sum"].value if "_sum" in series else 0.0
    # None is what the protocol has for an extreme that is not known; the SDK's own types have no word for it.
    unknown: Any = None
    return HistogramDataPoint(
        attributes=labels,
        start_time_unix_nano=_started(series, times),
        time_unix_nano=times[1],
        count=round(series["_count"].value),
        sum=total,
        bucket_counts=[count - below for below, count in zip([0, *cumulative], cumulative, strict=False)],
        explicit_bounds=[bound for bound, _ in buckets[:-1]],
        min=unknown,
        max=unknown,
        exemplars=_exemplars(sample for _, sample in buckets),
    )


def _started(series: Series, times: tuple[int, int]) -> int:
    created = series.get("_created")
    return times[0] if created is None else round(created.value * 1e9)


def _exemplars(samples: Iterable[Sample]) -> list[Exemplar]:
    return [_exemplar(sample.exemplar) for sample in samples if sample.exemplar is not None]


def _exemplar(exemplar: Any) -> Exemplar:
    """Return an exemplar with its trace and its span, where its labels have them, as OpenMetrics suggests."""
    labels = dict(exemplar.labels)
    try:
        trace, span = int(labels["trace_id"], 16), int(labels["span_id"], 16)
    except (KeyError, ValueError):
        return Exemplar(labels, exemplar.value, round((exemplar.timestamp or 0) * 1e9))
    del labels["trace_id"], labels["span_id"]
    return Exemplar(labels, exemplar.value, round((exemplar.timestamp or 0) * 1e9), span, trace)
