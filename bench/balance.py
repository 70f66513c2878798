"""Distribution of connections over workers: how even it is, at what rate, and the cost of a hung worker.

    python bench/balance.py [--rounds N] [strategy ...]

The strategies run in turn, so that all of them meet the same load of the machine:

    long    200 keep-alive connections opened at once: share of the busiest worker over the mean
    short   16 clients, a new connection per request: the same share of requests; requests/s; 99th percentile
    slow    as short, but one request in ten blocks its worker for 20 ms
    hung    as short, with one worker stopped: requests/s over those of short

A strategy is a daemon with four workers that answer `GET /` over HTTP/1.1 with their pid, and block for 20 ms on
`GET /slow`. Rates depend on the machine and its load; shares hardly do.
"""

from __future__ import annotations

import argparse
import os
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src"
sys.path[:0] = [str(SOURCE), str(SOURCE.parent / "tests")]

from scoreboards import attach  # noqa: E402

WORKERS, LONG, CLIENTS, SECONDS = 4, 200, 16, 2.0

HEAD = """
import asyncio, os, time
from dataclasses import dataclass
import prefork

@dataclass(frozen=True)
class Web(prefork.WorkerContext):
    id: int

daemon = prefork.Daemon("balance", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [Web(i) for i in range(WORKERS)]

def answer(request):
    if b"/slow" in request:
        time.sleep(0.02)
    body = str(os.getpid()).encode()
    return b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(body), body)
"""

# Tasks on an accept loop of ours.
LOOP = """
async def serve(connection):
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        while True:
            writer.write(answer(await reader.readuntil(b"\\r\\n\\r\\n")))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

@daemon.worker(Web)
async def web(worker):
    WAY
    tasks = set()
    async for connection, _ in worker.accept("http"):
        task = asyncio.create_task(serve(connection))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
"""

# asyncio's own accept loop: as many as there are, up to the backlog, whenever it wakes up.
SERVER = """
async def serve(reader, writer):
    try:
        while True:
            writer.write(answer(await reader.readuntil(b"\\r\\n\\r\\n")))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

@daemon.worker(Web)
async def web(worker):
    async with await asyncio.start_server(serve, sock=worker.listener("http").dup()):
        await worker.wait_draining()
"""

# One connection after another.
SEQUENTIAL = """
@daemon.worker(Web)
def web(worker):
    WAY
    for connection, _ in worker.accept("http"):
        with connection:
            while request := connection.recv(4096):
                connection.sendall(answer(request))
"""

# A thread for each connection.
THREADS = """
import threading

def serve(connection):
    with connection:
        while request := connection.recv(4096):
            connection.sendall(answer(request))

@daemon.worker(Web)
def web(worker):
    WAY
    for connection, _ in worker.accept("http"):
        threading.Thread(target=serve, args=(connection,), daemon=True).start()
"""

WITHOUT = "worker.accept_throttle = lambda: None"

STRATEGIES = {
    "accept, giving way": LOOP.replace("WAY", "pass"),
    "accept, without": LOOP.replace("WAY", WITHOUT),
    "asyncio.start_server": SERVER,
    "threads, giving way": THREADS.replace("WAY", "pass"),
    "threads, without": THREADS.replace("WAY", WITHOUT),
    "one at a time": SEQUENTIAL.replace("WAY", "pass"),
}
HOLDS_ONE = {"one at a time"}
"""Strategies for which many open connections make no sense."""


@dataclass
class Figures:
    """The results of all rounds."""

    long: list[float] = field(default_factory=list)
    short: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    slow: list[float] = field(default_factory=list)
    slow_p99: list[float] = field(default_factory=list)
    hung: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("strategies", nargs="*", default=list(STRATEGIES))
    chosen = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} processors, {WORKERS} workers")
    found = {name: Figures() for name in chosen.strategies}
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        for _ in range(chosen.rounds):
            for name, figures in found.items():
                with running(Path(directory), STRATEGIES[name]) as daemon:
                    measure(daemon, figures, name not in HOLDS_ONE)
        stack.close()
    print("| strategy | long | short | new req/s (p99 ms) | slow (p99 ms) | one hung, of new req/s |")
    print("|---|---|---|---|---|---|")
    for name, each in found.items():
        print(
            f"| {name} | {spread(each.long)} | {spread(each.short)} "
            f"| {statistics.median(each.rate):,.0f} ({statistics.median(each.p99):.1f}) "
            f"| {spread(each.slow)} ({statistics.median(each.slow_p99):.1f}) | {statistics.median(each.hung):.2f} |"
        )


def measure(daemon: Daemon, figures: Figures, many: bool) -> None:
    if many:
        figures.long.append(unevenness(long(daemon.port)))
    rate, p99, share = short(daemon.port, "/")
    figures.rate.append(rate)
    figures.p99.append(p99)
    figures.short.append(unevenness(share))
    _, p99, share = short(daemon.port, "/slow")
    figures.slow.append(unevenness(share))
    figures.slow_p99.append(p99)
    os.kill(daemon.workers[0], signal.SIGSTOP)
    figures.hung.append(short(daemon.port, "/")[0] / rate)
    os.kill(daemon.workers[0], signal.SIGCONT)


def unevenness(counts: Counter[int]) -> float:
    return max(counts.values()) * WORKERS / counts.total()


def spread(values: list[float]) -> str:
    return f"{min(values):.2f}-{max(values):.2f}" if values else "-"


@dataclass
class Daemon:
    """A running daemon."""

    port: int
    pid: int

    @property
    def workers(self) -> list[int]:
        return [row.pid for row in attach(self.pid).read().rows if row.state == "ready"]


@contextmanager
def running(directory: Path, strategy: str) -> Iterator[Daemon]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    text = (HEAD + strategy).replace("PORT", str(port)).replace("WORKERS", str(WORKERS))
    (directory / "balanced.py").write_text(text)
    path = os.pathsep.join([str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "RUNTIME_DIRECTORY": f"{directory}/run"}
    command = [sys.executable, "-c", "from prefork.cli import main; main()", "run", "balanced:daemon"]
    process = subprocess.Popen(command, cwd=directory, env=environment, stdout=subprocess.DEVNULL)
    try:
        daemon = Daemon(port, process.pid)
        wait_for(daemon)
        yield daemon
    finally:
        process.terminate()
        process.wait(60)


def wait_for(daemon: Daemon) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if len(daemon.workers) == WORKERS:
                return
        except Exception:
            pass  # It is not the master yet.
        time.sleep(0.01)
    raise SystemExit("the daemon did not become ready")


def long(port: int) -> Counter[int]:
    """Open all connections at once, send one request on each, count the answers of each worker; close them."""
    selector = selectors.DefaultSelector()
    clients = []
    for _ in range(LONG):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", port))
        selector.register(client, selectors.EVENT_WRITE)
        clients.append(client)
    answered: Counter[int] = Counter()
    while answered.total() < LONG:
        for key, events in selector.select(30):
            client = key.fileobj
            assert isinstance(client, socket.socket)
            if events & selectors.EVENT_WRITE:
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                selector.modify(client, selectors.EVENT_READ)
            else:
                answered[int(client.recv(4096).rpartition(b"\r\n")[2])] += 1
                selector.unregister(client)
    for client in clients:
        client.close()
    selector.close()
    return answered


def short(port: int, path: str) -> tuple[float, float, Counter[int]]:
    """Return requests per second, the 99th percentile in ms, and the number of answers of each worker."""
    counts: Counter[int] = Counter()
    times: list[float] = []
    end = time.monotonic() + SECONDS

    def ask(number: int) -> None:
        asked = number
        while (begun := time.monotonic()) < end:
            asked += 1
            target = path if asked % 10 == 0 else "/"
            with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
                client.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                pid = int(client.recv(4096).rpartition(b"\r\n")[2])
            times.append(time.monotonic() - begun)
            counts[pid] += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return len(times) / SECONDS, 1000 * statistics.quantiles(times, n=100)[-1], counts


if __name__ == "__main__":
    main()
