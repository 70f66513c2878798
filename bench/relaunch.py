"""From the death of a worker to its successor's first answer, beside the start of the server itself.

    python bench/relaunch.py [repetitions]

Four things are timed in turn, so that all of them meet the same load of the machine:

- one of four idle workers of the web sample is killed by SIGKILL; the other three are stopped meanwhile, so that only
  the successor can answer;
- the program of this worker, started by hand;
- a program without prefork that runs uvicorn on such a socket, started by hand;
- in a master of its own, from SIGKILL to the worker's death, which is the kernel's part, and from there until
  posix_spawn has returned, which is the master's.
"""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import monotonic

SAME = """
import socket, sys
from prefork.adapters.uvicorn import serve_socket
from prefork.samples.web import hello

serve_socket(hello, socket.socket(fileno=int(sys.argv[1])), lifespan="off")
"""

ALONE = """
import socket, sys, uvicorn

async def hello(scope, _receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello\\n"})

sock = socket.socket(fileno=int(sys.argv[1]))
config = uvicorn.Config(hello, log_config=None, access_log=False, lifespan="off")
uvicorn.Server(config).run(sockets=[sock])
"""

MASTER = """
import os, signal, time
from dataclasses import dataclass
import prefork

@dataclass(frozen=True)
class Waiting(prefork.WorkerContext):
    id: int

def work(worker):
    print("ready")
    signal.pause()

def fork(context):
    pid = prefork.fork_worker_process(context)
    print("started", pid, time.monotonic(), flush=True)
    return pid

def update(resource):
    prefork.update_worker_set(resource, [Waiting(i) for i in range(4)])
    return 1

prefork.default_main(lambda: prefork.relaunch_settings(prefork.PreforkResource(), update, fork), work)
"""


@contextmanager
def running(*command: str | Path, **options: object) -> Iterator[subprocess.Popen[str]]:
    """Run a program; stop it and wait for its end when the block is left."""
    process = subprocess.Popen(command, text=True, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


def line(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """Return the match of the next line that contains the pattern."""
    assert process.stdout is not None
    for text in process.stdout:
        if match := re.search(pattern, text):
            return match
    raise SystemExit(f"{process.args!r} ended without a line like {pattern!r}")


def answered(port: int) -> float:
    """Send one request; return when the answer is complete."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := connection.recv(4096):
            answer += data
    assert b"hello" in answer, answer
    return monotonic()


def workers(master: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def relaunched(master: int, port: int) -> float:
    """Kill an idle worker; return the seconds until its successor has answered."""
    pids = workers(master)
    for pid in pids[1:]:
        os.kill(pid, signal.SIGSTOP)
    begun = monotonic()
    os.kill(pids[0], signal.SIGKILL)
    taken = answered(port) - begun
    for pid in pids[1:]:
        os.kill(pid, signal.SIGCONT)
    return taken


def by_hand(program: str) -> float:
    """Start a server by hand; return the seconds until it has answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-X", "faulthandler", "-c", program, str(listener.fileno())]
        begun = monotonic()
        with running(*command, pass_fds=[listener.fileno()]):
            return answered(listener.getsockname()[1]) - begun


def parts(master: subprocess.Popen[str]) -> tuple[float, float]:
    """Kill an idle worker; return the seconds until it is dead, and from then until its successor is spawned."""
    victim = workers(master.pid)[0]
    pidfd = os.pidfd_open(victim)
    begun = monotonic()
    os.kill(victim, signal.SIGKILL)
    select.select([pidfd], [], [], 30)
    dead = monotonic()
    started = float(line(master, r"^started \d+ (\S+)")[1])
    line(master, "^ready")
    os.close(pidfd)
    return dead - begun, started - dead


def milliseconds(times: list[float]) -> str:
    return f"{1000 * median(times):.2f} ms (median of {len(times)}; {1000 * min(times):.2f} to {1000 * max(times):.2f})"


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # Compiling everything at each start is not what users do.
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    whole: list[float] = []
    same: list[float] = []
    alone: list[float] = []
    death: list[float] = []
    own: list[float] = []
    with (
        running(sys.executable, "-m", "prefork.samples.web", "-p", "0", **quiet) as web,
        running(sys.executable, "-c", MASTER, **quiet) as master,
    ):
        port = int(line(web, r"^Serving http://127.0.0.1:(\d+)/")[1])
        for _ in range(4):
            line(master, "^ready")
        answered(port)
        for _ in range(repetitions):
            for times, part in zip((death, own), parts(master), strict=True):
                times.append(part)
            whole.append(relaunched(web.pid, port))
            same.append(by_hand(SAME))
            alone.append(by_hand(ALONE))
    print(f"relaunch / the same worker started by hand: {median(whole) / median(same):.2f}")
    print(f"relaunch / uvicorn alone started by hand:   {median(whole) / median(alone):.2f}")
    print(f"the master's part / relaunch:               {median(own) / median(whole):.4f}")
    print(f"SIGKILL to the successor's first answer:           {milliseconds(whole)}")
    print(f"the same worker, by hand, to its first answer:     {milliseconds(same)}")
    print(f"uvicorn alone, by hand, to its first answer:       {milliseconds(alone)}")
    print(f"the kernel's part, SIGKILL to death:               {milliseconds(death)}")
    print(f"the master's part, death to posix_spawn returned:  {milliseconds(own)}")


if __name__ == "__main__":
    main()
