"""Totals of application metrics over reloads, kills and scaling, and their memory over a thousand workers."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
from contextlib import suppress
from pathlib import Path
from time import perf_counter

import pytest

from support import PATIENCE, Start, chance_seed, until
from system.commanded import Commanded
from system.daemons import HEAD, RUN
from system.runs import Run, write

WORKERS, THREADS, SHARE = 8, 4, 1_000_000
RELOADS, KILLS, SIZES = 5, 50, (4, 12, 8)
RELAUNCHES = 1000
COLUMN = 2 * 4096
"""Bytes of the pages that a thousand series take."""

COUNTED = """
import mmap, threading
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess

CALLS = Counter("calls", "Calls.")
SECONDS = Histogram("seconds", "Seconds.", buckets=(0.1, 1.0))

def shared(name, size):
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(descriptor, size)
    try:
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)

def count(own, thread, ends):
    while not any(map(bool, (each[0] for each in ends))):
        for _ in range(500):
            CALLS.inc()
            SECONDS.observe(0.5)
            own[thread] = own[thread] + 1
    own[4 + thread] = 1

def exposition():
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return generate_latest(registry)

daemon = prefork.Daemon("counted", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [prefork.Pool(Web, size=8, max=16)]

@daemon.worker(Web)
def web(worker):
    own, ends = memoryview(shared(f"side/{os.getpid()}", 64)).cast("Q"), [shared("paused", 1), bytearray(1)]
    threads = [threading.Thread(target=count, args=(own, thread, ends)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for connection, _ in worker.accept("http"):
        with connection:
            connection.sendall(exposition())
    ends[1][0] = 1
    for thread in threads:
        thread.join()
"""


class Counted(Commanded):
    """The daemon, and what its workers have counted on their own side."""

    @property
    def side(self) -> Path:
        return self.start.directory / "side"

    def words(self, pid: int | str) -> memoryview:
        try:
            data = (self.side / str(pid)).read_bytes()
        except FileNotFoundError:  # It has just started.
            data = b""
        return memoryview(data.ljust(64, b"\0")).cast("Q")

    def counted(self) -> int:
        return sum(sum(self.words(each.name)[:THREADS]) for each in self.side.iterdir())

    def pause(self) -> None:
        """Have all threads stop counting."""
        (self.start.directory / "paused").write_bytes(b"\1")
        until(lambda: all(sum(self.words(pid)[THREADS:]) == THREADS for pid in self.living()), "all threads pause")
        until(self.rests, "the daemon is at rest")

    def kill(self) -> None:
        """Kill any worker, once there is one: after many deaths at once the master pauses."""

        def killed() -> bool:
            living = self.living()
            if living:
                os.kill(random.choice(living), signal.SIGKILL)
            return bool(living)

        until(killed, "a worker lives")

    def living(self) -> list[int]:
        return [slot["pid"] for slot in self.client.status()["slots"] if slot["pid"]]

    def totals(self) -> dict[str, float]:
        """Return what a worker's exposition says; one that has just been killed says nothing."""
        found: dict[str, float] = {}

        def answered() -> dict[str, float]:
            found.update(self._asked())
            return found

        until(answered, "a worker answers")
        return found

    def _asked(self) -> dict[str, float]:
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as client,
            suppress(ConnectionResetError),
        ):
            text = "".join(iter(lambda: client.recv(1 << 16).decode(), ""))
            return {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", text, re.MULTILINE)}
        return {}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("way", ["prefork", "multiprocess"])
def test_totals_lose_the_last_moments_of_killed_workers(
    start: Start, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """prometheus_client's own files do the same work beside."""
    random.seed(chance_seed())
    if way == "multiprocess":
        (start.directory / "files").mkdir()
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "files")
    daemon = Counted(start, "counted", HEAD + COUNTED + RUN)
    daemon.side.mkdir()
    daemon.launch()
    until(lambda: len(list(daemon.side.iterdir())) >= WORKERS, "the workers count")
    steps = [("kill", 0)] * KILLS + [("reload", 0)] * RELOADS + [("scale", size) for size in SIZES]
    random.shuffle(steps)
    goal, begun, last = WORKERS * SHARE // (len(steps) + 1), perf_counter(), 0.0
    for number, (step, size) in enumerate(steps, 1):
        until(lambda: daemon.counted() >= goal * number, f"{goal * number} are counted")  # noqa: B023
        if step == "kill":
            daemon.kill()
        elif step == "scale":
            daemon.client.scale("web", size)
        else:
            daemon.client.reload()
        if number % 10 == 0:
            now = daemon.totals()["calls_total"]
            assert now >= last
            last = now
    until(lambda: daemon.counted() >= WORKERS * SHARE, "all are counted")
    daemon.pause()
    counted, totals = daemon.counted(), daemon.totals()
    more = {name: totals[name] - counted for name in ("calls_total", "seconds_count")}
    print(f"{way}: {counted} counted in {perf_counter() - begun:.0f} s; the totals have {more} more")
    assert all(0 <= each <= KILLS * THREADS for each in more.values())
    assert daemon.stop() == 0


@pytest.mark.timeout(3600)
def test_memory_is_flat_over_a_thousand_workers(start: Start) -> None:
    source = """
import os
from prometheus_client import Counter
CALLS = Counter("calls", "Calls.", ["number"])
for number in range(1000):
    CALLS.labels(number)

async def app(scope, receive, send):
    if scope["type"] == "http":
        CALLS.labels("7").inc()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"{os.getpid()} {CALLS.labels('7')._value.get()}".encode()})
"""
    write(start, "shop.py", source)
    run = Run(start, "shop:app", "-w", "2", "--max-requests", "1")
    run.ready()
    descriptors = Path(f"/proc/{run.running.pid}/fd")
    [metrics] = [each for each in descriptors.iterdir() if os.readlink(each).startswith("/memfd:prefork-metrics")]
    workers: set[int] = set()
    used: dict[int, int] = {}
    answers = 0
    while len(workers) < RELAUNCHES:
        pid, calls = run.who()
        answers += 1
        assert float(calls) == answers, f"after {len(workers)} workers"
        workers.add(pid)
        used.setdefault(len(workers), metrics.stat().st_blocks * 512)
    print(f"memory of the metrics after 100 and {RELAUNCHES} workers: {used[100]} and {used[RELAUNCHES]} bytes")
    assert used[RELAUNCHES] <= used[100] + 2 * COLUMN, "more than an old and a new worker of each slot"
    assert run.stop() == 0
