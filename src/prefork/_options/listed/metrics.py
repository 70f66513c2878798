"""Options of the agent: the process that serves metrics, health and the dashboard, and pushes metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._errors import UsageError
from ..._linux.address import address
from ..option import Option
from ..types import Flag, Parsed, Text

_URL = Text("URL", "a URL such as http://127.0.0.1:4318", lambda text: text.startswith(("http://", "https://")))
_SERVER = Text("HOST:PORT", "an address such as 127.0.0.1:8125", lambda text: text.rpartition(":")[2].isdecimal())

METRICS = (
    Option("metrics", Parsed("ADDRESS", address), None, "Address of the agent: metrics and health."),
    Option("dashboard", Flag(), False, "Serve the dashboard at the address of --metrics."),
    Option("dashboard_steer", Flag(), False, "Let the dashboard reload, scale and restart, with its token."),
    Option("otlp", _URL, None, "OTLP/HTTP collector to push metrics and traces to."),
    Option("statsd", _SERVER, None, "statsd server to push metrics to, over UDP."),
)
_DEFAULT = "tcp://127.0.0.1:9464"


def agent_address(values: Mapping[str, Any], sources: Mapping[str, str]) -> str | None:
    """Return the address of the agent; None where no option asks for it. Raises UsageError."""
    if values["dashboard_steer"] and not values["dashboard"]:
        raise UsageError(f"{sources['dashboard_steer']}: it needs --dashboard")
    if values["dashboard_steer"] and values["user"] is not None:
        why = "the agent has the application's user, which must not command a daemon of root's"
        raise UsageError(f"{sources['dashboard_steer']}: not with --user: {why}")
    return values["metrics"] or (_DEFAULT if any(values[option.name] for option in METRICS) else None)
