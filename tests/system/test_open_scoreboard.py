"""The reader of the scoreboard for other programs."""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

import pytest

import prefork
from support import PATIENCE, Start, until
from system.daemons import HEAD, RUN, Served

COUNTING = """
daemon = prefork.Daemon("counting", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [Web(0), Web(1)]

@daemon.worker(Web)
def web(worker):
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    for connection, _ in worker.accept("http"):
        with connection:
            try:
                with worker.request("GET /" + connection.recv(100).decode()):
                    connection.sendall(b"begun")
                    if connection.recv(100) == b"fail":
                        raise RuntimeError
                    time.sleep(0.02)
            except RuntimeError:
                pass
"""

READER = """
import json, sys
from dataclasses import asdict
import prefork

with prefork.open_scoreboard(sys.argv[1]) as board:
    for _ in sys.stdin:
        reading = board.read()
        print(json.dumps(asdict(reading)), flush=True)
"""


def counting(start: Start) -> tuple[Served, dict[str, int]]:
    daemon = Served(start, "counting", HEAD + COUNTING + RUN).launch()
    return daemon, daemon.ready("web/0", "web/1")


def begin(daemon: Served, label: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE)
    client.sendall(label.encode())
    assert client.recv(100) == b"begun"
    return client


def test_another_program_reads_what_the_workers_do(start: Start) -> None:
    daemon, pids = counting(start)
    theirs, ours = os.pipe()
    place = daemon.environment["RUNTIME_DIRECTORY"]
    reader = start.command(sys.executable, "-c", READER, place, stdin=theirs)
    os.close(theirs)

    def read() -> Any:
        os.write(ours, b"\n")
        return json.loads(reader.expect("^{").string)

    with begin(daemon, "orders") as client:
        found = read()
        busy = [process for process in found["processes"] if process["in_flight"]]
        assert [(process["doing"], process["open"], process["requests"]) for process in busy] == [("GET /orders", 1, 0)]
        assert 0 <= busy[0]["busy_for"] < PATIENCE
        assert {process["slot"]: process["pid"] for process in found["processes"]} == pids
        assert {(process["state"], process["generation"]) for process in found["processes"]} == {("ready", 1)}
        client.sendall(b"fail")
        assert client.recv(100) == b""
    until(lambda: read()["requests"] == 1, "the request has ended")
    found = read()
    assert found["errors"] == 1
    assert sum(counts["requests"] for counts in found["slots"].values()) == 1
    assert all(process["busy_for"] is None and process["doing"] == "" for process in found["processes"])
    os.close(ours)
    assert reader.wait() == 0
    assert daemon.stop() == 0


def test_the_mean_of_the_time_that_requests_take(start: Start) -> None:
    daemon, _ = counting(start)
    with prefork.open_scoreboard(prefork.connect(daemon.environment["RUNTIME_DIRECTORY"])) as board:
        for _ in range(5):
            with begin(daemon, "orders") as client:
                client.sendall(b"go on")
                assert client.recv(100) == b""
        until(lambda: board.read().requests == 5, "all have ended")
        mean = sum(process.spent for process in board.read().processes) / 5
    assert 0.02 <= mean < PATIENCE  # They sleep for so long.
    assert daemon.stop() == 0


def test_can_be_read_when_the_daemon_has_ended(start: Start) -> None:
    daemon, _ = counting(start)
    place = daemon.environment["RUNTIME_DIRECTORY"]
    with prefork.open_scoreboard(place) as board:
        assert daemon.stop() == 0
        assert board.read().processes == ()
    with pytest.raises(prefork.NotRunningError):
        prefork.open_scoreboard(place)
