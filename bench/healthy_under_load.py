"""A busy, healthy worker is never killed as hung, however little CPU time it gets.

    python bench/healthy_under_load.py [SECONDS]          (default: 600)

Each processor runs two processes that only compute. One worker answers requests, each of which blocks its loop with
CPU time of half of `hang_timeout`, so that it takes much longer than that by the clock. Exits 1 if it was killed.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import prefork

TIMEOUT = 1.0

APPLICATION = f"""
import os, time

async def app(scope, receive, send):
    end = time.process_time() + {TIMEOUT / 2}
    while time.process_time() < end:
        pass
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}})
    await send({{"type": "http.response.body", "body": str(os.getpid()).encode()}})
"""


def ask(port: int) -> tuple[int, float]:
    """Return the worker that answered, and the seconds it took."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    begun = time.monotonic()
    connection.request("GET", "/")
    pid = int(connection.getresponse().read())
    connection.close()
    return pid, time.monotonic() - begun


def run(directory: str, seconds: float) -> list[dict[str, Any]]:
    """Return the events of a daemon that was sent requests for some seconds."""
    Path(directory, "app.py").write_text(APPLICATION)
    runtime = f"{directory}/run"
    command = [Path(sys.executable).with_name("prefork"), "run", "app:app", "-b", "127.0.0.1:0", "-w", "1"]
    options = ["--hang-timeout", str(TIMEOUT), "--lifespan", "off"]
    master = subprocess.Popen(
        [*command, *options], cwd=directory, env={**os.environ, "RUNTIME_DIRECTORY": runtime}, stderr=subprocess.PIPE
    )
    assert master.stderr is not None
    while b": ready (" not in (line := master.stderr.readline()):
        assert line, "it has not started"
    port = int(line.rpartition(b":")[2].rstrip(b")\n"))
    # Each leads a session of its own, as the worker does: the kernel shares its time among those (sched(7), autogroup).
    busy = [sys.executable, "-c", "while True: pass"]
    spinning = [subprocess.Popen(busy, start_new_session=True) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        taken, end, pids = [], time.monotonic() + seconds, set()
        while time.monotonic() < end:
            pid, span = ask(port)
            pids.add(pid)
            taken.append(span)
        events = list(prefork.connect(runtime).events())
    finally:
        for process in (*spinning, master):
            process.terminate()
        for process in (*spinning, master):
            process.wait()
    print(f"{len(taken)} requests in {seconds:g} s, each with {TIMEOUT / 2:g} s CPU time; hang_timeout {TIMEOUT:g} s")
    print(f"duration by the clock: mean {sum(taken) / len(taken):.2f} s, maximum {max(taken):.2f} s")
    print(f"{sum(span > TIMEOUT for span in taken)} took longer than hang_timeout; {len(pids)} workers answered")
    return events


def main() -> int:
    """Return the exit status."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
    with tempfile.TemporaryDirectory() as directory:
        events = run(directory, seconds)
    hung = [event for event in events if event["event"] in ("hung", "killing")]
    starved = sum(event["event"] == "starved" for event in events)
    print(f"{len(hung)} were treated as hung; {starved} were reported as starved")
    for event in hung:
        print(event)
    return 1 if hung else 0


if __name__ == "__main__":
    sys.exit(main())
