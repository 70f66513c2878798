"""`opentelemetry-instrument prefork run`: spans and metrics of each worker, by its slot."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from support import Start, until
from system.runs import Run, write

pytest.importorskip("opentelemetry.distro")
from collector import Collector, collecting

FLASK = """
import os
from flask import Flask
from opentelemetry import metrics
app = Flask(__name__)
hits = metrics.get_meter("shop").create_counter("hits")

@app.get("/")
def root():
    hits.add(1)
    return f"{os.getpid()} hello"
"""
INSTRUMENT = Path(sys.executable).with_name("opentelemetry-instrument")


def answers(run: Run, workers: int = 2) -> Counter[int]:
    """Have each worker answer; return how many answers each has given."""
    counts: Counter[int] = Counter()

    def all_have() -> bool:
        counts[run.who()[0]] += 1
        return len(counts) == workers

    until(all_have, f"{workers} workers answer")
    return counts


def test_each_worker_sends_as_its_slot(start: Start) -> None:
    """Also after a reload, and the successor of one that was killed: there are never more instances than slots."""
    write(start, "shop.py", FLASK)
    with collecting() as collector:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_RESOURCE_ATTRIBUTES": "team=cat%20food,service.version=7",
            "OTEL_BSP_SCHEDULE_DELAY": "100",  # milliseconds
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
        }
        run = Run(start, "shop:app", "-w", "2", "--name", "shop", env=environment, through=[INSTRUMENT])
        assert "opentelemetry._InstrumentedFlask" in run.ready()
        old = answers(run)
        both_send(collector, sum(old.values()), generation=1)
        run.running.send(signal.SIGHUP)
        run.running.expect("^reload: done", "err")
        new = answers(run)
        assert not old.keys() & new.keys()
        both_send(collector, (old + new).total(), generation=2)
        killed = next(iter(new))
        os.kill(killed, signal.SIGKILL)
        run.running.expect("killed by SIGKILL", "err")
        last = answers(run)
        assert killed not in last
        both_send(collector, (old + new + last).total(), generation=2)
        assert run.stop() == 0
    errors = "\n".join(run.running.err)
    assert "does not run in workers" not in errors
    assert "Traceback" not in errors
    assert "OpenTelemetry" not in errors


def both_send(collector: Collector, spans: int, generation: int) -> None:
    """Wait for as many spans as there were answers, and for both slots' metrics; all are of a slot of the daemon."""
    slots = {f"{os.uname().nodename}/shop/web/{number}" for number in range(2)}
    collector.metrics.clear()

    def sent() -> list[dict[str, str]]:
        """Resources that have sent the counter; draining workers of the old generation send it, too."""
        counted = [resource for resource, metric in collector.metrics if metric.name == "hits"]
        return [resource for resource in counted if resource["prefork.generation"] == str(generation)]

    collector.wait(lambda: len(collector.spans) == spans, f"{spans} spans")
    collector.wait(lambda: {each["service.instance.id"] for each in sent()} == slots, "a counter of each slot")
    assert collector.instances(collector.spans) == collector.instances(collector.metrics) == slots
    assert collector.spans[-1][0]["prefork.generation"] == str(generation)
    for resource in (collector.spans[-1][0], sent()[-1]):
        assert resource["service.instance.id"].endswith(f"/shop/{resource['prefork.slot']}")
        assert resource["service.name"] == "shop"
        assert (resource["team"], resource["service.version"]) == ("cat food", "7")
