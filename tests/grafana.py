"""The expressions of the dashboard and of the alert rules in docs/grafana."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

GRAFANA = Path(__file__).parent.parent / "docs" / "grafana"
ALERTS = GRAFANA / "alerts.yml"


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GRAFANA / "prefork.json").read_text())
    return found


def expressions(interval: str = "1m") -> list[str]:
    """Every expression of the dashboard as Grafana sends it, for all daemons."""
    shown = dashboard()
    found = [target["expr"] for panel in shown["panels"] for target in panel["targets"]]
    found += [one["expr"] for one in shown["annotations"]["list"]]
    chosen = {"$__rate_interval": interval, "$job": ".*", "$instance": ".*"}
    return [re.sub(r"\$\w+", lambda name: chosen[name[0]], one) for one in found]


def alerts() -> dict[str, str]:
    """The expression of each alert, on one line."""
    rules = re.findall(r"- alert: (\w+)\n +expr: (.*?)\n +(?:for|labels):", ALERTS.read_text(), re.DOTALL)
    return {name: " ".join(expression.removeprefix("|").split()) for name, expression in rules}
