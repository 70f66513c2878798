"""What the agent is to do, as its context has it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AgentOptions:
    """The options of `prefork run` for the agent, by their names there."""

    dashboard: bool = False
    dashboard_steer: bool = False
    otlp: str | None = None
    statsd: str | None = None
    statsd_prefix: str | None = None
    statsd_tags: str | None = None
