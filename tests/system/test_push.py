"""A daemon that pushes: its changes as traces over OTLP, and its figures to a statsd server."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from support import Start, until
from system.agents import Watched
from system.runs import ASGI

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
from collector import Collector, collecting, values

COUNTER = """
import prometheus_client
orders = prometheus_client.Counter("orders", "Orders.")
"""
RESPONSE = '    await send({"type": "http.response.start"'
COUNTING = COUNTER + ASGI.replace(RESPONSE, f"    orders.inc()\n{RESPONSE}")


@dataclass
class Statsd:
    """A server, and what it has counted: of timers how many values."""

    socket: socket.socket
    counts: Counter[str] = field(default_factory=Counter)
    workers: int = 0
    seconds: int = 0
    """How many have been sent: each has the number of workers."""

    def read(self) -> int:
        """Take what has come since the last call; return for how many seconds."""
        with contextlib.suppress(BlockingIOError):
            while True:
                for line in self.socket.recv(65536).decode().split("\n"):
                    self._take(line)
        return self.seconds

    def after_a_second(self) -> Counter[str]:
        """Return the counts of now: what has happened is in the next second that is sent, or in the one after it."""
        enough = self.read() + 2
        until(lambda: self.read() >= enough, "a second is sent")
        return self.counts.copy()

    def _take(self, line: str) -> None:
        match = re.fullmatch(r"till\.(\S+):([\d.]+)\|(c|g|ms)(?:\|@([\d.]+))?\|#env:live", line)
        assert match, line
        name, value, kind, rate = match.groups()
        if kind == "g":
            assert name == "gunicorn.workers"
            self.workers, self.seconds = int(value), self.seconds + 1
        else:
            self.counts[name] += int(value) if kind == "c" else int(1 / float(rate or 1))


@dataclass
class Pushing:
    """The daemon and its receivers."""

    run: Watched
    collector: Collector
    statsd: Statsd

    def traces(self) -> list[list[Any]]:
        """Return the spans received so far, a list for each trace, in the order of their starts."""
        found: dict[bytes, list[Any]] = {}
        for _, span in sorted(self.collector.spans, key=lambda each: int(each[1].start_time_unix_nano)):
            found.setdefault(span.trace_id, []).append(span)
        return list(found.values())

    def metric(self, name: str) -> list[Any]:
        """Return the latest points of a metric."""
        found = [metric for _, metric in self.collector.metrics if metric.name == name]
        return [point for metric in found[-1:] for point in getattr(metric, metric.WhichOneof("data")).data_points]

    def points(self, name: str) -> list[float]:
        """Return their values."""
        return [point.as_double or point.as_int for point in self.metric(name)]

    def names(self, root: str) -> list[list[str]]:
        """Return the names of the spans of each trace with this root, sorted; each span has come once."""
        traces = self.traces()
        assert all(len({span.span_id for span in spans}) == len(spans) for spans in traces)
        return [sorted(names) for spans in traces if f"prefork {root}" in (names := [each.name for each in spans])]

    def wait(self, root: str, *names: str, count: int = 1) -> None:
        """Wait for `count` traces with this root; the last has children of these names."""
        expected = sorted(f"prefork {name}" for name in (root, *names))
        self.collector.wait(
            lambda: len(self.names(root)) == count and self.names(root)[-1] == expected, f"{count} traces {expected}"
        )


@pytest.fixture(scope="module")
def pushing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushing]:
    """One daemon for all tests."""
    start = Start(tmp_path_factory.mktemp("pushing"))
    with collecting() as collector, socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        pushed = ("--otlp", collector.endpoint, "--statsd", address)
        options = (*pushed, "--statsd-prefix", "till.", "--statsd-tags", "env:live", "--name", "till")
        environment = {"OTEL_METRIC_EXPORT_INTERVAL": "200", "OTEL_SERVICE_NAME": "shop"}
        try:
            run = Watched(start, "app:app", "-w", "2", *options, source=COUNTING, env=environment)
            run.ready()
            yield Pushing(run, collector, Statsd(server))
            assert run.stop() == 0
            assert "Traceback" not in "\n".join(run.running.err)
        finally:
            start.close()


def test_start_is_a_trace_of_the_daemon(pushing: Pushing) -> None:
    pushing.wait("start", "import", "worker start", "worker start")
    resource, _ = pushing.collector.spans[0]
    assert resource["service.instance.id"] == f"{os.uname().nodename}/till"
    assert resource["service.name"] == "shop"
    assert not any(name.startswith("prefork.") for name in resource)


def test_metrics_arrive_with_the_daemons_start(pushing: Pushing) -> None:
    """Those of the daemon, and those that its workers have counted together."""
    assert len(pushing.run.pids(2)) == 2
    scraped = re.search(r"^orders_total (\d+)", pushing.run.ask("/metrics")[1], re.MULTILINE)
    assert scraped
    pushing.collector.wait(lambda: pushing.points("orders") == [float(scraped[1])], "the counts of all workers")
    pushing.collector.wait(lambda: pushing.points("prefork_requests"), "the daemon's metrics")
    started = round(pushing.run.status()["started"] * 1e9)
    assert {point.start_time_unix_nano for point in pushing.metric("prefork_requests")} == {started}
    assert not [metric.name for _, metric in pushing.collector.metrics if metric.name.endswith("_total")]


def test_crash_is_a_trace_with_its_cause(pushing: Pushing) -> None:
    os.kill(pushing.run.who()[0], signal.SIGKILL)
    pushing.wait("relaunch")
    [[relaunch]] = [spans for spans in pushing.traces() if spans[0].name == "prefork relaunch"]
    assert values(relaunch.attributes)["prefork.cause"] == "killed by SIGKILL"
    assert relaunch.end_time_unix_nano > relaunch.start_time_unix_nano


def test_reload_is_one_trace_of_two_agents(pushing: Pushing) -> None:
    """The reload replaces the agent, which sends what it knows; the next one goes on."""
    for count in (1, 2):
        pushing.run.running.send(signal.SIGHUP)
        pushing.run.running.expect("^reload: done", "err")
        pushing.wait("reload", "import", "canary", "exchange", "drain", "drain", count=count)


def test_killed_agent_is_followed_by_one_that_sends(pushing: Pushing) -> None:
    os.kill(pushing.run.agent(), signal.SIGKILL)
    pushing.run.running.expect("^agent/0: killed by SIGKILL", "err")
    before = len(pushing.names("relaunch"))
    os.kill(pushing.run.who()[0], signal.SIGKILL)
    pushing.wait("relaunch", count=before + 1)


def test_statsd_has_every_request_once(pushing: Pushing) -> None:
    pushing.run.agent()
    before = pushing.statsd.after_a_second()
    for _ in range(20):
        pushing.run.get()
    sent = pushing.statsd.after_a_second() - before
    assert sent == {"gunicorn.requests": 20, "gunicorn.request.status.2xx": 20, "gunicorn.request.duration": 20}
    assert pushing.statsd.workers == 2
