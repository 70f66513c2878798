"""The daemon's own metrics in a test, as its agent would show them to Prometheus (docs/metrics.md)."""

from __future__ import annotations

from ..._agent.families.listed import samples
from ..._agent.families.look import look
from ..._agent.release import release
from ..._agent.source import Source
from ...client import Client
from ...scoreboard import Histogram


def metrics(client: Client) -> dict[str, float]:
    """Return the value of each sample by its name and labels: `prefork_requests_total{pool="web",...}`.

    Of a histogram there are `_count` and `_sum`.
    """
    found: dict[str, float] = {}
    for sample in samples(look(Source(client)), release()):
        pairs = zip(sample.family.labels, sample.labels, strict=True)
        labels = ",".join(f'{name}="{value}"' for name, value in pairs)
        labels = f"{{{labels}}}" if labels else ""
        if isinstance(sample.value, Histogram):
            found[f"{sample.family.name}_count{labels}"] = float(sample.value.count)
            found[f"{sample.family.name}_sum{labels}"] = sample.value.total
        else:
            found[f"{sample.family.shown}{labels}"] = float(sample.value)
    return found
