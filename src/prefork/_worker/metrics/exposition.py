"""What a worker's own `/metrics` says: the totals of all workers, also of series that only others have.

All expositions collect a registry, and a registry its metrics: so `collect` of a metric is where prometheus_client is
changed. What is not in the arena (Info, Enum, gauges with a function) stays this process's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from types import ModuleType
from typing import Any

from ..._wire.metrics.families import Sample, read_one
from ..._wire.metrics.table import Key
from .counting import Counting


def install(metrics: ModuleType, counting: Counting) -> None:
    """Change `prometheus_client.metrics`, before there is a metric."""
    base: Any = metrics.MetricWrapperBase
    gauge: Any = metrics.Gauge
    original = base.collect

    @wraps(original)
    def collect(metric: Any) -> Iterable[Any]:
        key = Key(
            metric._type or "", metric._name, tuple(metric._labelnames), getattr(metric, "_multiprocess_mode", "")
        )
        if (found := counting.metric(key)) is None:
            return original(metric)  # type: ignore[no-any-return]
        family = metric._get_metric()
        add(family, read_one(counting.table, found, counting.occupants()), getattr(metrics, "_use_created", True))
        for labels, child in _with_function(metric):
            for sample in child._child_samples():
                family.add_sample(metric._name + sample[0], {**labels, **sample[1]}, *sample[2:])
        return [family]

    base.collect = collect
    gauge.set_function = _set_function(gauge.set_function)
    for name in ("remove", "remove_by_labels", "clear"):
        if hasattr(gauge, name):  # The second is one of today's.
            setattr(gauge, name, _removing(getattr(gauge, name)))


def add(family: Any, samples: Iterable[Sample], with_created: bool) -> None:
    """Add samples to a family of prometheus_client."""
    from prometheus_client.samples import Exemplar

    for sample in samples:
        if with_created or not sample.name.endswith("_created"):
            last = sample.exemplar
            exemplar = None if last is None else Exemplar(dict(last.labels), last.value, last.time)
            family.add_sample(sample.name, sample.labels, sample.value, None, exemplar)


def _children(metric: Any) -> dict[tuple[str, ...], Any]:
    return dict(metric._metrics) if metric._is_parent() else {(): metric}


def _with_function(metric: Any) -> Iterable[tuple[dict[str, str], Any]]:
    """Yield the children that get their value from a function, with their labels."""
    for values, child in _children(metric).items():
        if "_child_samples" in vars(child):
            yield dict(zip(metric._labelnames, values)), child  # noqa: B905 - Without values it is the metric itself.


def _set_function(original: Callable[..., None]) -> Callable[..., None]:
    @wraps(original)
    def set_function(gauge: Any, function: Callable[[], float]) -> None:
        original(gauge, function)
        _forget(gauge)

    return set_function


def _removing(original: Callable[..., None]) -> Callable[..., None]:
    """Have a gauge no longer show, for this worker, what is removed from it."""

    @wraps(original)
    def remove(gauge: Any, *arguments: Any) -> None:
        before = _children(gauge)
        original(gauge, *arguments)
        left = _children(gauge)
        for values, child in before.items():
            if values not in left:
                _forget(child)

    return remove


def _forget(gauge: Any) -> None:
    forget = getattr(gauge._value, "forget", None)  # None: it has no place in the arena.
    if forget is not None:
        forget()
