"""The cost of a daemon: relaunching, starting many workers, and doing nothing. Prints figures without a verdict.

    python bench/daemons.py [relaunch] [heavy] [many] [steady] [reload]

Everything is measured on this machine, in this run; times are in milliseconds unless another unit is named. Without
names all of them run.
"""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src"

PROGRAM = """
import os, sys, time
from dataclasses import dataclass
import prefork

@dataclass(frozen=True)
class Web(prefork.WorkerContext):
    id: int

{before}
daemon = prefork.Daemon("bench", listeners={{"http": "tcp://127.0.0.1:{port}"}})

@daemon.plan
def plan():
    return [Web(i) for i in range({workers})]

@daemon.worker(Web)
def web(worker):
    worker.ready()
    os.write(1, f"{{worker.key}} {{os.getpid()}} {{worker.generation}}\\n".encode())
    for connection, _ in worker.accept("http"):
        with connection:
            connection.sendall(str(os.getpid()).encode())
"""

HEAVY = """
until = time.process_time() + {cpu}
heap = []
while len(heap) < {records}:
    i = len(heap)
    heap.append({{"id": i, "name": f"user-{{i}}", "tags": [f"t{{i % 7}}", str(i)]}})
while time.process_time() < until:
    sum(range(1000))
"""


class Bench:
    """A running daemon, started by `prefork run`, and its output."""

    def __init__(self, directory: str, workers: int, before: str = "") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.file = Path(directory, "bench.py")
        self.file.write_text(PROGRAM.format(before=before, port=self.port, workers=workers))
        paths = [str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "RUNTIME_DIRECTORY": f"{directory}/run"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # Compiling everything at each start is not what users do.
        self.started = time.perf_counter()
        command = [sys.executable, "-c", "from prefork.cli import main; main()", "run", "bench:daemon"]
        self.process = subprocess.Popen(
            command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._rest = b""

    def said(self, count: int) -> list[tuple[str, int, int]]:
        """Wait until N workers have printed their pid."""
        assert self.process.stdout is not None
        found: list[tuple[str, int, int]] = []
        deadline = time.monotonic() + 120
        while len(found) < count:
            assert select.select([self.process.stdout], [], [], deadline - time.monotonic())[0], "nothing for too long"
            *lines, self._rest = (self._rest + os.read(self.process.stdout.fileno(), 1 << 16)).split(b"\n")
            found += [(key, int(pid), int(of)) for key, pid, of in (line.decode().split() for line in lines)]
        return found

    def ask(self) -> int:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as client:
            return int(client.recv(100))

    @property
    def children(self) -> list[int]:
        return list(map(int, Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()))

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


@contextmanager
def running(workers: int, before: str = "") -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(directory, workers, before)
        try:
            yield bench
        finally:
            bench.end()


def memory(pid: int, what: str) -> float:
    """Return a figure of /proc/PID/smaps_rollup, in MB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kb) for kb in re.findall(rf"^{what}:\s+(\d+) kB", text, re.MULTILINE)) / 1024


def relaunch() -> None:
    """From SIGKILL of the only worker to its successor's first answer; in turn with the death of such a worker alone.

    The death is the time that the kernel needs until the end is visible. It is measured on the worker itself, since a
    smaller process ends sooner.
    """
    took: dict[Callable[[Bench, int], None], list[float]] = {answered_by_another: [], seen_dead: []}
    with running(1) as bench:
        bench.said(1)
        for _ in range(20):
            for end, times in took.items():
                pid = bench.ask()
                time.sleep(1.1)  # It is healthy then, so that it is replaced at once, and the next spare has been bred.
                start = time.perf_counter()
                os.kill(pid, signal.SIGKILL)
                end(bench, pid)
                times.append((time.perf_counter() - start) * 1000)
    whole, death = took.values()
    print(f"relaunch after SIGKILL: median {statistics.median(whole):.2f}, of 20: {min(whole):.2f} to {max(whole):.2f}")
    print(f"  the death of such a worker alone: median {statistics.median(death):.2f}")


def answered_by_another(bench: Bench, pid: int) -> None:
    assert bench.ask() != pid


def seen_dead(_: Bench, pid: int) -> None:
    """Wait for the end of a process that has just been killed; it may already have ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([pidfd], [], [])
    os.close(pidfd)


def heavy() -> None:
    """32 workers of an application that takes 400 ms of CPU to import and holds 60 MB."""
    code = HEAVY.format(cpu=0.4, records=120_000)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import time\n{code}"], check=True)
    alone = time.perf_counter() - start
    took = []
    for _ in range(3):
        with running(32, code) as bench:
            bench.said(32)
            took.append(time.perf_counter() - bench.started)
    print(f"32 workers of 60 MB: all ready after {statistics.median(took):.2f} s; the import alone {alone:.2f} s")


def many() -> None:
    """500 trivial workers: start, 100 deaths at once, total PSS, and idling afterwards."""
    with running(500) as bench:
        pids = [pid for _, pid, _ in bench.said(500)]
        print(f"500 workers: all ready after {time.perf_counter() - bench.started:.2f} s, interpreter starts included")
        pss = sum(memory(pid, "Pss") for pid in bench.children)
        print(
            f"  PSS of all processes but the master: {pss:.0f} MB; the master {memory(bench.process.pid, 'Rss'):.1f} MB"
        )
        start = time.perf_counter()
        for pid in pids[:100]:
            os.kill(pid, signal.SIGKILL)
        bench.said(100)
        print(f"  100 killed at once, back after {time.perf_counter() - start:.2f} s")
        time.sleep(1)
        before = switches(bench.process.pid)
        time.sleep(10)
        print(f"  context switches of the master in 10 s afterwards: {switches(bench.process.pid) - before}")


def switches(pid: int) -> int:
    return sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())))


def steady() -> None:
    """10,000 relaunches: the master's memory and descriptors; 1,000 fill its record of events."""
    with running(100) as bench:
        pids = [pid for _, pid, _ in bench.said(100)]
        figures = []
        for batch in range(101):
            time.sleep(1.1)
            if batch in (1, 10, 100):
                descriptors = len(os.listdir(f"/proc/{bench.process.pid}/fd"))
                figures.append((memory(bench.process.pid, "Rss"), descriptors))
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            pids = [pid for _, pid, _ in bench.said(100)]
    (first, few), (full, _), (last, now) = figures
    print(f"master over 10,000 relaunches: RSS {first:.1f} -> {last:.1f} MB, descriptors {few} -> {now}")
    print(f"  of it after the record of events was full: {last - full:+.1f} MB")


def reload() -> None:
    """SIGHUP with four workers: until all have the next generation."""
    took = []
    with running(4) as bench:
        bench.said(4)
        for _ in range(10):
            time.sleep(0.3)
            start = time.perf_counter()
            bench.process.send_signal(signal.SIGHUP)
            bench.said(4)
            took.append((time.perf_counter() - start) * 1000)
    print(f"reload of four workers, cheap import: all new after {statistics.median(took):.0f} (median of 10)")


ALL: dict[str, Callable[[], None]] = {each.__name__: each for each in (relaunch, heavy, many, steady, reload)}

if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} processors")
    for name in sys.argv[1:] or ALL:
        ALL[name]()
