"""Write the dashboard docs/grafana/prefork.json.

    python docs/make_grafana.py

tests/test_grafana_document.py holds that it is current, that each expression is one, and that each metric exists.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).parent / "grafana" / "prefork.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT = 8, 8  # Of 24 columns: three panels a row.
_CHOSEN = 'job=~"$job", instance=~"$instance"'

Target = tuple[str, str]
"""An expression and its legend. In an expression each `{...}` gets the chosen daemons, `[]` the interval of rates."""


def quantiles(family: str, by: str = "") -> list[Target]:
    """Return the targets of three percentiles of a histogram."""
    whole = f"sum by (le) (rate({family}_bucket{{}}[]))"
    return [(f"histogram_quantile({share}, {whole})", f"p{round(share * 100)}") for share in (0.5, 0.95, 0.99)]


def ratio(part: str, whole: str, legend: str) -> Target:
    """Return the target of a ratio; it has no value where there is nothing to divide by."""
    return f"{part} / ({whole} > 0)", legend


PANELS: list[tuple[str, str, str, list[Target]]] = [
    (
        "Requests",
        "reqps",
        "Requests that ended, by class of their status.",
        [("sum by (class) (rate(prefork_requests_total{}[]))", "{{class}}")],
    ),
    (
        "Latency",
        "s",
        "Percentiles of the time from the begin of a request to the end of its response.",
        quantiles("prefork_request_duration_seconds"),
    ),
    (
        "Errors by generation",
        "percentunit",
        "Share of 5xx. If the newest generation alone fails, go back.",
        [
            ratio(
                'sum by (generation) (rate(prefork_generation_requests_total{class="5xx"}[]))',
                "sum by (generation) (rate(prefork_generation_requests_total{}[]))",
                "generation {{generation}}",
            )
        ],
    ),
    (
        "Workers",
        "none",
        "What runs, beside what should. Degraded: its last starts failed.",
        [
            ("sum(prefork_workers_wanted{})", "wanted"),
            ('sum by (state) (prefork_workers{state=~"starting|ready|draining|waiting|degraded"})', "{{state}}"),
        ],
    ),
    (
        "Busy",
        "none",
        "Requests in flight: now, on average, and of the busiest worker; workers that are idle.",
        [
            ("sum(prefork_requests_in_flight{})", "in flight"),
            ("sum(rate(prefork_request_duration_seconds_sum{}[]))", "in flight, on average"),
            ("max(prefork_requests_in_flight{})", "busiest worker"),
            ("count(prefork_requests_in_flight{} == 0) or vector(0)", "idle workers"),
        ],
    ),
    (
        "Listen queues",
        "none",
        "Connections that wait to be accepted; beyond the limit the kernel drops them.",
        [
            ("sum by (listener) (prefork_listen_queue_connections{})", "{{listener}}"),
            ("max by (listener) (prefork_listen_queue_longest{})", "{{listener}}, longest"),
            ("min by (listener) (prefork_listen_queue_limit{})", "{{listener}}, limit"),
        ],
    ),
    (
        "Time in the queue",
        "s",
        "From the proxy to a worker (X-Request-Start). It grows first if workers are too few.",
        quantiles("prefork_request_queue_seconds"),
    ),
    (
        "Ends of workers",
        "none",
        "By cause. crash, out_of_memory, hang and start are failures.",
        [('sum by (cause) (increase(prefork_workers_ended_total{cause!="stop"}[])) > 0', "{{cause}}")],
    ),
    (
        "Hangs and lag",
        "none",
        "Hung workers by verdict; seconds a second for which callbacks held event loops.",
        [
            ("sum by (verdict) (increase(prefork_workers_hung_total{}[])) > 0", "hung: {{verdict}}"),
            ("sum by (verdict) (increase(prefork_requests_stuck_total{}[])) > 0", "stuck: {{verdict}}"),
            ("sum(rate(prefork_event_loop_lag_seconds_total{}[]))", "lag of loops"),
            ("max(prefork_worker_stalled_seconds{})", "longest without progress (s)"),
        ],
    ),
    (
        "Processors",
        "none",
        "Processors that workers use, wait for, and were kept from by the quota.",
        [
            ("rate(prefork_worker_cpu_seconds_total{}[])", "{{slot}}"),
            ("sum(rate(prefork_worker_cpu_wait_seconds_total{}[]))", "waiting"),
            ("sum(rate(prefork_cpu_throttled_seconds_total{}[]))", "throttled"),
        ],
    ),
    (
        "Memory",
        "bytes",
        "Private memory adds up, shared memory is there once.",
        [
            ("sum(prefork_worker_private_memory_bytes{})", "private, all workers"),
            ("max(prefork_worker_private_memory_bytes{})", "private, largest worker"),
            ("max(prefork_worker_shared_memory_bytes{})", "shared"),
            ("max(prefork_memory_used_bytes{})", "control group"),
            ("min(prefork_memory_limit_bytes{})", "limit"),
        ],
    ),
    (
        "Deploys",
        "none",
        "Generation in force, slots that a change has to replace, time of the last reload.",
        [
            ("max by (instance) (prefork_generation{})", "generation, {{instance}}"),
            ("sum(prefork_change_slots_left{})", "slots left"),
            ('max(prefork_change_duration_seconds{change="reload"})', "last reload (s)"),
            ('sum(increase(prefork_changes_total{outcome="failed"}[]))', "failed"),
        ],
    ),
    (
        "Backoff",
        "none",
        "Slots with failures in a row, and the seconds until they are started again.",
        [
            ("prefork_worker_failures{} > 0", "{{slot}}: failures"),
            ("clamp_min(prefork_worker_retry_timestamp_seconds{} - time(), 0)", "{{slot}}: seconds to wait"),
            ("max(prefork_mold_failures{})", "failures of the mold"),
        ],
    ),
    (
        "Balance",
        "none",
        "The busiest worker's rate over the mean: 1 is even.",
        [
            ratio(
                "max by (instance) (rate(prefork_worker_requests_total{}[]))",
                "avg by (instance) (rate(prefork_worker_requests_total{}[]))",
                "{{instance}}",
            )
        ],
    ),
    (
        "Connections",
        "none",
        "Open now; a second: clients that went away, requests that limits refused, drains cut.",
        [
            ("sum(prefork_connections_open{})", "open"),
            ("sum(rate(prefork_client_disconnects_total{}[]))", "disconnects"),
            ("sum(rate(prefork_requests_refused_total{}[]))", "refused"),
            ("sum(rate(prefork_workers_cut_total{}[]))", "drains cut"),
        ],
    ),
]
"""Title, unit, description and targets of each panel."""


def expression(short: str) -> str:
    """Return an expression in full: every selector chooses the daemons, every rate has Grafana's interval."""
    chosen = re.sub(r"\{([^}]*)\}", lambda found: f"{{{', '.join(filter(None, [found[1], _CHOSEN]))}}}", short)
    return chosen.replace("[]", "[$__rate_interval]")


def panel(number: int) -> dict[str, Any]:
    """Return a panel, by its number in the list."""
    title, unit, description, targets = PANELS[number]
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"x": number % 3 * WIDTH, "y": number // 3 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {
            "defaults": {"unit": unit, "min": 0, "custom": {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}},
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": expression(short), "legendFormat": legend}
            for place, (short, legend) in enumerate(targets)
        ],
    }


def variable(name: str, query: str, **more: Any) -> dict[str, Any]:
    """Return a variable that is chosen among the values of a label."""
    return {
        "name": name, "label": name, "type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1,
        "definition": query, "query": {"query": query, "refId": name}, **more,
    }  # fmt: skip


def deploys(outcome: str, colour: str) -> dict[str, Any]:
    """Return the annotations of reloads: a line at the end of each."""
    return {
        "name": f"reloads {outcome}",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": colour,
        "expr": expression(f'1000 * prefork_change_timestamp_seconds{{change="reload",outcome="{outcome}"}}'),
        "useValueForTime": True,
        "titleFormat": f"reload {outcome} on {{{{instance}}}}",
    }


def dashboard() -> dict[str, Any]:
    """Return the whole dashboard."""
    every = {"includeAll": True, "multi": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}}
    return {
        "title": "prefork",
        "uid": "prefork",
        "description": "A daemon of prefork: what its workers do, why they end, and what deploys change.",
        "tags": ["prefork", "python"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "label": "data source", "type": "datasource", "query": "prometheus"},
                variable("job", "label_values(prefork_generation, job)", **every),
                variable("instance", 'label_values(prefork_generation{job=~"$job"}, instance)', **every),
            ]
        },
        "annotations": {"list": [deploys("done", "green"), deploys("failed", "red")]},
        "panels": [panel(number) for number in range(len(PANELS))],
    }


def written() -> str:
    """Return the dashboard as its file has it."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    DASHBOARD.write_text(written())
