"""A real Prometheus scrapes the agent of a daemon under load, and answers every expression of the dashboard.

It needs `prometheus`, of the distribution's package of that name.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from grafana import ALERTS, alerts, expressions
from support import PATIENCE, Start, until
from system.agents import Watched

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")

CONFIGURATION = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs: [{{job_name: shop, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""

QUIET = (
    *("prefork_workers_hung", "prefork_requests_stuck", "prefork_cpu_throttled", "prefork_memory", "failures{"),
    *("_retry_", 'outcome="failed"', 'class="5xx"'),
)
"""Parts of expressions that may have no value: this daemon does not hang, and this machine may have no limits."""


MORE = (
    'prefork_requests_total{class="2xx"} > 0',
    'sum by (generation) (prefork_generation_requests_total{class="2xx"}) > 0',
    "histogram_quantile(0.95, rate(prefork_request_queue_seconds_bucket[10s])) > 0",
    "histogram_quantile(0.95, rate(prefork_request_duration_seconds_bucket[10s])) > 0",
    "prefork_response_body_bytes_total > 0",
)
"""What such a daemon has more than values: requests of these sorts."""


def through_proxy(run: Watched) -> None:
    """Send a request that has waited in a trusted proxy for a moment."""
    connection = http.client.HTTPConnection("127.0.0.1", run.port, timeout=PATIENCE)
    try:
        connection.request("GET", "/", headers={"X-Request-Start": f"t={time.time() - 0.02:.3f}"})
        assert connection.getresponse().read()
    finally:
        connection.close()


class Prometheus:
    """A Prometheus that scrapes one agent each second."""

    def __init__(self, start: Start, folder: Path, port: int) -> None:
        (folder / "prometheus.yml").write_text(CONFIGURATION.format(rules=json.dumps(str(ALERTS)), port=port))
        with socket.create_server(("127.0.0.1", 0)) as sock:
            self.port = sock.getsockname()[1]
        self.running = start.command(
            "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        )  # fmt: skip

    def ask(self, path: str, **query: str) -> Any:
        """Return the data of an answer of the API."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", f"/api/v1/{path}?{urlencode(query)}")
            answer = connection.getresponse()
            body = answer.read().decode()
        finally:
            connection.close()
        assert answer.status == 200, body
        return json.loads(body)["data"]

    def query(self, expression: str) -> list[Any]:
        found: list[Any] = self.ask("query", query=expression)["result"]
        return found

    def is_up(self) -> bool:
        try:
            return bool(self.query("up == 1"))
        except (OSError, AssertionError):  # It does not listen yet, or answers 503.
            return False


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Watched, Prometheus]]:
    """A daemon that has served requests, lost a worker and been reloaded, and a Prometheus that has seen it."""
    start = Start(tmp_path_factory.mktemp("scraped"))
    try:
        run = Watched(start)
        run.ready()
        prometheus = Prometheus(start, start.directory, run.agent_port)
        until(prometheus.is_up, "Prometheus has scraped the agent")
        os.kill(run.slot("web/0")["pid"], signal.SIGKILL)
        until(lambda: run.slot("web/0")["restarts"] == 1 and run.slot("web/0")["serving"], "the worker is back")
        run.running.send(signal.SIGHUP)
        reloaded = 'prefork_changes_total{change="reload",outcome="done"} == 1 and on () prefork_generation == 2'
        until(lambda: run.get() and prometheus.query(reloaded), "Prometheus has seen the reload")
        yield run, prometheus
        assert run.stop() == 0
    finally:
        start.close()


def test_every_expression_has_a_value_where_there_was_data(scraped: tuple[Watched, Prometheus]) -> None:
    run, prometheus = scraped
    wanted = [one for one in expressions("10s") if not any(part in one for part in QUIET)]
    assert len(wanted) > 25

    def valued() -> bool:
        through_proxy(run)
        return all(prometheus.query(one) for one in (*wanted, *MORE))

    until(valued, "each expression has a value")
    for one in expressions("10s"):
        prometheus.query(one)


def test_ends_are_annotated_and_counted_by_cause(scraped: tuple[Watched, Prometheus]) -> None:
    _, prometheus = scraped
    found = prometheus.query("sum by (cause) (prefork_workers_ended_total) > 0")
    assert {each["metric"]["cause"]: each["value"][1] for each in found} == {"crash": "1", "reload": "2"}
    (deploy,) = prometheus.query(next(one for one in expressions() if "timestamp" in one and '"done"' in one))
    assert abs(float(deploy["value"][1]) / 1000 - time.time()) < 300


def test_alert_rules_are_evaluated_without_an_error(scraped: tuple[Watched, Prometheus]) -> None:
    _, prometheus = scraped

    def rules() -> list[Any]:
        return [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]

    until(lambda: all(rule["health"] == "ok" for rule in rules()), "each rule has been evaluated")
    assert {rule["name"] for rule in rules()} == set(alerts())
    assert {rule["name"]: rule["lastError"] for rule in rules() if rule.get("lastError")} == {}
    assert [rule["name"] for rule in rules() if rule["state"] == "firing"] == []
