"""`opentelemetry-instrument prefork run`: a span of each request, whichever worker answers it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from support import Start, until
from system.runs import Run, write

FLASK = """
import os
from flask import Flask
app = Flask(__name__)

@app.get("/")
def root():
    return f"{os.getpid()} hello"
"""
INSTRUMENT = Path(sys.executable).with_name("opentelemetry-instrument")
SPAN = r'^ +"name": "GET /",$'


def spans_of_each(run: Run, workers: int = 2) -> set[int]:
    """Have each worker answer; wait for as many spans as there were answers; return the workers."""
    pids: set[int] = set()
    count = 0

    def all_have() -> bool:
        nonlocal count
        pids.add(run.who()[0])
        count += 1
        return len(pids) == workers

    until(all_have, f"{workers} workers answer")
    for _ in range(count):
        run.running.expect(SPAN)
    return pids


def test_each_worker_gives_spans(start: Start) -> None:
    """Also after a reload, and the successor of one that was killed."""
    if not INSTRUMENT.exists():
        pytest.skip("opentelemetry-distro is not installed")
    write(start, "shop.py", FLASK)
    exporters = {"TRACES": "console", "METRICS": "none", "LOGS": "none"}
    environment = {f"OTEL_{name}_EXPORTER": exporter for name, exporter in exporters.items()}
    environment["OTEL_BSP_SCHEDULE_DELAY"] = "100"  # milliseconds
    run = Run(start, "shop:app", "-w", "2", env=environment, through=[INSTRUMENT])
    assert "opentelemetry._InstrumentedFlask" in run.ready()
    old = spans_of_each(run)
    run.running.send(signal.SIGHUP)
    run.running.expect("^reload: done", "err")
    new = spans_of_each(run)
    assert not old & new
    killed = new.pop()
    os.kill(killed, signal.SIGKILL)
    run.running.expect("killed by SIGKILL", "err")
    assert killed not in spans_of_each(run)
    assert run.stop() == 0
    errors = "\n".join(run.running.err)
    assert "does not run in workers" not in errors
    assert "Traceback" not in errors
