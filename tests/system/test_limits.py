"""Workers that have done enough are replaced: the new one first, one at a time, and without a lost request."""

from __future__ import annotations

import socket
import time
from collections import Counter

import pytest

from support import PATIENCE, Start, until
from system.daemons import HEAD, RUN, free_port

SERVE = """
kept = []
daemon = prefork.Daemon("limits", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [Web(0), Web(1)]

@daemon.worker(Web, OPTIONS)
def web(worker):
    say("ready", worker.key, os.getpid())  # Before it is: what follows from it may be said at once.
    worker.ready()
    for connection, _ in worker.accept("http"):
        with connection, worker.request("GET /"):
            kept.append(b"x" * (1 << 20))
            connection.sendall(str(os.getpid()).encode())
    say("done", worker.key, os.getpid())
"""


def program(options: str) -> tuple[str, int]:
    port = free_port()
    return (HEAD + SERVE + RUN).replace("OPTIONS", options).replace("PORT", str(port)), port


def ask(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        return client.recv(100).decode()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("max_requests=20, max_requests_jitter=5", r"2\d requests"),
        (f"max_memory={60 << 20}", r"\d+ MB of memory"),
    ],
    ids=["requests", "memory"],
)
def test_who_has_done_enough_is_replaced_without_a_loss(start: Start, options: str, why: str) -> None:
    code, port = program(options)
    daemon = start.program(code, env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")})
    daemon.expect_each(["^ready web/0 ", "^ready web/1 "])
    seen: set[str] = set()
    until(lambda: seen.add(ask(port)) or len(seen) >= 4, "both were replaced")  # type: ignore[func-returns-value]
    daemon.expect(rf"^web/[01]: worn out: {why} \(pid \d+\); to be replaced$", "err")
    # New before old, and never two at once: each has a successor that is ready before it is done.
    daemon.expect("^done ")
    daemon.expect("^done ")
    ready, most = 0, 0
    for line in daemon.out:
        ready += {"ready": 1, "done": -1}[line.split()[0]]
        most = max(most, ready)
    assert most == 3
    assert daemon.stop() == 0


def test_memory_of_the_mold_counts_for_no_worker(start: Start) -> None:
    """Only what a worker allocates itself is compared with `max_memory`."""
    code, port = program(f"max_memory={100 << 20}")
    code = code.replace("kept = []", "kept = []\nballast = b'x' * (150 << 20)")
    daemon = start.program(code, env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")})
    daemon.expect_each(["^ready web/0 ", "^ready web/1 "])
    seen = Counter[str]()
    for _ in range(5):  # Longer than the time between two checks.
        seen.update(ask(port) for _ in range(5))
        time.sleep(0.3)
    assert len(seen) <= 2
    until(lambda: seen.update([ask(port)]) or len(seen) >= 4, "both were replaced")
    assert sum(seen.values()) > 100
    assert daemon.stop() == 0


def test_who_is_old_is_replaced_though_nothing_happens(start: Start) -> None:
    code, _ = program("max_age=1.5")
    daemon = start.program(code, env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")})
    first = daemon.expect_each(["^ready web/0 ", "^ready web/1 "])
    for key in ("web/0", "web/1"):
        daemon.expect(rf"^{key}: worn out: 1.\d s old", "err")
    assert len(first) == 2
    assert daemon.stop() == 0
