"""What a daemon costs on this interpreter, in a row: run it with each one, one after another.

    python bench/pythons.py

An ASGI application with 60 MB of small objects is served by uvicorn. `ready`: from the command to the log's line, two
workers. `relaunch`: from SIGKILL of the only worker to its successor's answer, the median of nine. `private`: memory of
a worker in MB, after three requests that read all objects, with `freeze` and with `immortal`. `reload`: from the signal
to the outcome. `rate`: requests in a second on two workers, each on a new connection. Times are in milliseconds.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from clients import ClosedLoop

APPLICATION = """
import os
RECORDS = [{"id": i, "name": f"user-{i}", "tags": [f"t{i % 7}", str(i)]} for i in range(120_000)]

async def app(scope, receive, send):
    if scope["path"] == "/read":
        for record in RECORDS:
            record["tags"][1], record["name"]
    pid = str(os.getpid()).encode()
    headers = [(b"content-length", str(len(pid)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": pid})
"""
RUN = "-m prefork run app:app --server uvicorn --lifespan off -b 127.0.0.1:0"


class Daemon:
    """A daemon that runs, and the lines of its log as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.port = 0

    def logged(self, pattern: str) -> re.Match[str]:
        """Wait for a line of the log."""
        lines = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            lines.append(line)
            if found := re.search(pattern, line):
                return found
        raise RuntimeError(f"the daemon has ended: {lines}")

    def ask(self, path: str = "/") -> int:
        """Return the pid of the worker that answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as response:
            return int(response.read())


@contextmanager
def daemon(folder: str, *more: str) -> Iterator[Daemon]:
    command = [sys.executable, *RUN.split(), *more, "--name", f"pythons-{os.getpid()}"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        started = Daemon(process)
        started.port = int(started.logged(r"ready \(.*127\.0\.0\.1:(\d+)")[1])
        yield started
    finally:
        process.terminate()
        process.communicate(timeout=60)


def private(pid: int) -> float:
    """Return the private memory of a process in MB."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    of = {name.rstrip(":"): int(size) / 1024 for name, size, *_ in map(str.split, rows)}
    return of["Private_Clean"] + of["Private_Dirty"]


def relaunch(running: Daemon) -> float:
    former = running.ask()
    start = time.perf_counter()
    os.kill(former, signal.SIGKILL)
    while True:
        try:
            if running.ask() != former:
                return (time.perf_counter() - start) * 1000
        except OSError:
            continue  # The killed worker had accepted it.


def memory(folder: str, share: str) -> float:
    with daemon(folder, "-w", "1", "--share", share) as running:
        return private([running.ask("/read") for _ in range(3)][-1])


def main() -> None:
    figures: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "app.py").write_text(APPLICATION)
        start = time.perf_counter()
        with daemon(folder, "-w", "2") as running:
            figures["ready"] = f"{(time.perf_counter() - start) * 1000:.0f}"
            figures["rate"] = f"{len(ClosedLoop(running.port, 10).run(5).given) / 5:.0f}"
            start = time.perf_counter()
            running.process.send_signal(signal.SIGHUP)
            running.logged("reload: done")
            figures["reload"] = f"{(time.perf_counter() - start) * 1000:.0f}"
        with daemon(folder, "-w", "1") as running:
            figures["relaunch"] = f"{median(relaunch(running) for _ in range(9)):.0f}"
        figures["freeze"] = f"{memory(folder, 'freeze'):.1f}"
        figures["immortal"] = f"{memory(folder, 'immortal'):.1f}" if sys.version_info >= (3, 12) else "-"
    version = sys.version.split()[0]
    print(version, *(f"{name} {figure}" for name, figure in figures.items()), f"load {os.getloadavg()[0]:.0f}")


if __name__ == "__main__":
    main()
