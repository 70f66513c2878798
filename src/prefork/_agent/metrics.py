"""`/metrics`: what the collectors have, as Prometheus text or OpenMetrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from . import application
from .brief import Brief
from .families import collector as daemon
from .options import AgentOptions
from .source import Source

COLLECTORS: Sequence[Callable[[Source], Collector]] = (daemon.collector, application.collector)
"""What is collected, in this order."""


@cache
def registry(source: Source) -> CollectorRegistry:
    """Return what is collected, for all who read it: a collector that fails is logged once."""
    made = CollectorRegistry(auto_describe=False)
    for collector in COLLECTORS:
        made.register(collector(source))
    return made


def routes(source: Source, _options: AgentOptions) -> list[BaseRoute]:
    """Return the route."""
    collected = registry(source)
    made: dict[str, Brief[bytes]] = {}

    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        body = made.setdefault(content_type, Brief(lambda: encode(collected))).value()
        return Response(body, headers={"content-type": content_type})

    return [Route("/metrics", metrics)]
