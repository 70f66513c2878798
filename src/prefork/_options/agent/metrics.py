"""Options of the agent: the process that serves metrics, health and the dashboard, and pushes metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._errors import UsageError
from ..._linux.address import address
from ..option import Option
from ..types import Flag, Parsed, Text

_URL = Text("URL", "a URL such as http://127.0.0.1:4318", lambda text: text.startswith(("http://", "https://")))
_PREFIX = Text("TEXT", "a prefix such as shop.live", lambda text: not set(text) & set(":|@#\n "))
_TAGS = Text("TAGS", "tags such as env:live,team:cats", lambda text: not set(text) & set("|\n "))


def statsd(text: str) -> str:
    """Return the full address that `HOST:PORT` or `unix:PATH` means. Raises ValueError otherwise."""
    full = address(text)
    if not full.startswith(("tcp://", "udp://", "unix://")) or full.startswith("tcp://*"):
        raise ValueError(f"{text!r} is no address of a server: give HOST:PORT or unix:/PATH")
    return full.replace("tcp://", "udp://", 1)


METRICS = (
    Option("metrics", Parsed("ADDRESS", address), None, "Address of the agent: metrics and health."),
    Option("dashboard", Flag(), False, "Serve the dashboard at the address of --metrics."),
    Option("dashboard_steer", Flag(), False, "Let the dashboard reload, scale and restart, with its token."),
    Option("otlp", _URL, None, "OTLP/HTTP collector to push metrics and traces to."),
    Option("statsd", Parsed("ADDRESS", statsd), None, "statsd server to push metrics to, with gunicorn's names."),
    Option("statsd_prefix", _PREFIX, None, "Text before each name for statsd, with a dot between."),
    Option("statsd_tags", _TAGS, None, "Tags of each metric for statsd, as DogStatsD has them."),
)
_DEFAULT = "tcp://127.0.0.1:9464"


def agent_address(values: Mapping[str, Any], sources: Mapping[str, str]) -> str | None:
    """Return the address of the agent; None where no option asks for it. Raises UsageError."""
    if values["dashboard_steer"] and not values["dashboard"]:
        raise UsageError(f"{sources['dashboard_steer']}: it needs --dashboard")
    if values["dashboard_steer"] and values["user"] is not None:
        why = "the agent has the application's user, which must not command a daemon of root's"
        raise UsageError(f"{sources['dashboard_steer']}: not with --user: {why}")
    for name in ("statsd_prefix", "statsd_tags"):
        if values[name] is not None and values["statsd"] is None:
            raise UsageError(f"{sources[name]}: it needs --statsd")
    if (values["metrics"] or "").startswith("udp:"):
        raise UsageError(f"{sources['metrics']}: HTTP needs connections: give HOST:PORT or unix:/PATH")
    return values["metrics"] or (_DEFAULT if any(values[option.name] for option in METRICS) else None)
