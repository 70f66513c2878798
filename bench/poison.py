"""One client repeats a request that kills its worker: how long no other client is answered, and what fails.

    python bench/poison.py [--seconds N] [--rate N] [--how segv|exit] [SERVER ...]

Servers: uvicorn, granian, granian-wsgi, waitress and hypercorn under `prefork run`; as peers gunicorn-sync,
gunicorn-gthread, gunicorn-uvicorn, uvicorn-workers and granian-workers, where they are installed beside this
interpreter. Four workers; eight clients ask `/` on new connections all the time, one asks `/crash` at the rate.

A line says: the longest time without any answer, the share of `/` that failed, and the seconds from the last `/crash`
to the last failure or answer that took longer than 0.1 s.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

BIN = Path(sys.executable).parent

KILL = """
import ctypes, os

def kill():
    os._exit(1) if os.environ["HOW"] == "exit" else ctypes.string_at(0)
"""

ASGI = (
    KILL
    + """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (kind := (await receive())["type"]) and await send({"type": f"{kind}.complete"}) is None:
            if kind == "lifespan.shutdown":
                return
    if scope["path"] == "/crash":
        kill()
    await asyncio.sleep(0.002)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
)

WSGI = (
    KILL
    + """
import time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/crash":
        kill()
    time.sleep(0.002)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
)

PREFORK = ["prefork", "run", "-w", "4", "-b", "127.0.0.1:PORT"]
SERVERS = {
    "uvicorn": [*PREFORK, "asgi:app"],
    "granian": [*PREFORK, "--server", "granian", "asgi:app"],
    "hypercorn": [*PREFORK, "--server", "hypercorn", "asgi:app"],
    "granian-wsgi": [*PREFORK, "--server", "granian", "wsgi:app"],
    "waitress": [*PREFORK, "--server", "waitress", "wsgi:app"],
    "gunicorn-sync": ["gunicorn", "-w", "4", "-b", "127.0.0.1:PORT", "wsgi:app"],
    "gunicorn-gthread": ["gunicorn", "-w", "4", "-b", "127.0.0.1:PORT", "-k", "gthread", "--threads", "8", "wsgi:app"],
    "gunicorn-uvicorn": [
        "gunicorn",
        "-w",
        "4",
        "-b",
        "127.0.0.1:PORT",
        "-k",
        "uvicorn_worker.UvicornWorker",
        "asgi:app",
    ],
    "uvicorn-workers": ["uvicorn", "--workers", "4", "--port", "PORT", "--no-access-log", "asgi:app"],
    "granian-workers": ["granian", "--interface", "asgi", "--workers", "4", "--port", "PORT", "asgi:app"],
}

Answers = list[tuple[float, float, bool]]
"""When each `/` was asked, when it was over, and whether it was answered."""


async def ask(port: int, path: str, patience: float = 15.0) -> bool:
    """Return whether the server answers with 200."""
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
                return (await reader.read(4096))[9:12] == b"200"
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


async def poisoned(port: int, rate: float, seconds: float) -> tuple[Answers, float, float]:
    """Run the clients; return the answers, and when the poison began and ended."""
    answers: Answers = []
    ended = asyncio.Event()

    async def client() -> None:
        while not ended.is_set():
            began = time.monotonic()
            ok = await ask(port, "/")
            answers.append((began, time.monotonic(), ok))
            await asyncio.sleep(0.01)

    clients = [asyncio.create_task(client()) for _ in range(8)]
    began, crashes = time.monotonic(), []
    for number in range(int(rate * seconds)):
        crashes.append(asyncio.create_task(ask(port, "/crash")))
        await asyncio.sleep(max(0.0, began + (number + 1) / rate - time.monotonic()))
    end = time.monotonic()
    await asyncio.sleep(5)  # A server that is down for long has its last failures now.
    ended.set()
    await asyncio.gather(*clients, *crashes)
    return answers, began, end


def summary(answers: Answers, began: float, end: float) -> str:
    """Return one line about a run."""
    moments = sorted([began, end, *(over for _, over, ok in answers if ok and over < end)])
    gap = max(later - former for former, later in pairwise(moments))
    during = [ok for asked, _, ok in answers if asked < end]
    late = [over - end for asked, over, ok in answers if over > end and (not ok or over - asked > 0.1)]
    failed = during.count(False) / max(1, len(during))
    return f"{gap:>10.2f} s {failed:>10.1%} {max(late, default=0.0):>10.2f} s {len(during):>10}"


def measure(server: str, options: argparse.Namespace) -> str:
    """Start a server, run the clients against it, and stop it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [part.replace("PORT", str(port)) for part in SERVERS[server]]
    if not (BIN / command[0]).exists():
        return "  not installed"
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "asgi.py").write_text(ASGI)
        Path(directory, "wsgi.py").write_text(WSGI)
        environment = {**os.environ, "HOW": options.how, "RUNTIME_DIRECTORY": directory}
        quiet = subprocess.DEVNULL
        with subprocess.Popen(
            [BIN / command[0], *command[1:]], cwd=directory, env=environment, stderr=quiet
        ) as process:
            try:
                return asyncio.run(run(port, options))
            finally:
                process.send_signal(signal.SIGTERM)


async def run(port: int, options: argparse.Namespace) -> str:
    """Wait for the server, and return the summary of a run."""
    deadline = time.monotonic() + 20
    while not await ask(port, "/", 1):
        if time.monotonic() > deadline:
            return "  does not start"
        await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    return summary(*await poisoned(port, options.rate, options.seconds))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("servers", nargs="*", metavar="SERVER")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--how", choices=("segv", "exit"), default="segv")
    options = parser.parse_args()
    print(f"{'':>18} {'no answer':>12} {'failed':>10} {'recovery':>12} {'requests':>10}")
    for server in options.servers or SERVERS:
        print(f"{server:>18} {measure(server, options)}", flush=True)


if __name__ == "__main__":
    main()
