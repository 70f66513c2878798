"""What a flood of scrapes costs the service: `prefork run --metrics`, a client of it, and a thousand scrapes at once.

    python bench/agent_flood.py [--rounds N] [--seconds S] [--server NAME]

Two workers answer one client, which sends a request every two milliseconds and measures how long each takes. In
windows that alternate the agent is left alone, or another process scrapes it on a thousand connections at once, again
and again. That process yields to all others, as if it were on another machine. Printed are the median and the 99th
percentile of each window, and the medians of their ratios of all rounds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median
from typing import Any

AT_ONCE = 1_000
PAUSE = 0.002
PREFORK = Path(sys.executable).with_name("prefork")
APPLICATION = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a window")
    parser.add_argument("--server", default="uvicorn")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "app.py").write_text(APPLICATION)
        environment = {**os.environ, "RUNTIME_DIRECTORY": f"{directory}/runtime"}
        command = [str(PREFORK), "run", "app:app", "-w", "2", "-b", "127.0.0.1:0", "--server", chosen.server]
        command += ["--lifespan", "off", "--metrics", "127.0.0.1:0"]
        daemon = subprocess.Popen(command, cwd=directory, env=environment, stderr=subprocess.PIPE, text=True)
        try:
            service, agent = ports(daemon)
            rounds(chosen, service, agent)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()


def ports(daemon: subprocess.Popen[str]) -> tuple[int, int]:
    """Return the port of the service, and that of the agent."""
    assert daemon.stderr is not None
    for line in daemon.stderr:
        if match := re.search(r": ready .*http://127\.0\.0\.1:(\d+), agent: http://127\.0\.0\.1:(\d+)", line):
            return int(match[1]), int(match[2])
    raise SystemExit("the daemon did not start")


def rounds(chosen: argparse.Namespace, service: int, agent: int) -> None:
    context = multiprocessing.get_context("spawn")
    going, counts = context.Event(), context.Array("L", 3)
    flooder = context.Process(target=flood, args=(agent, going, counts), daemon=True)
    flooder.start()
    ratios: dict[str, list[float]] = {"p50": [], "p99": []}
    print("| p50 ms: calm, flooded | p99 ms | ratios | scrapes: 200, 503, cut |\n|---|---|---|---|")
    with socket.create_connection(("127.0.0.1", service)) as client:
        asked(client, 1.0)  # Not counted.
        for number in range(chosen.rounds):
            before, found = list(counts), {}
            for flooded in (False, True) if number % 2 else (True, False):
                if flooded:
                    going.set()
                found[flooded] = asked(client, chosen.seconds)
                going.clear()
                time.sleep(0.5)  # What is under way ends.
            scraped = ", ".join(str(now - then) for now, then in zip(counts, before, strict=True))
            calm, loaded = found[False], found[True]
            for name in ratios:
                ratios[name].append(loaded[name] / calm[name])
            cells = [f"{calm[name]:.3f}, {loaded[name]:.3f}" for name in ratios]
            print(f"| {' | '.join(cells)} | {ratios['p50'][-1]:.2f}, {ratios['p99'][-1]:.2f} | {scraped} |", flush=True)
    print(f"\nmedians of the ratios: p50 {median(ratios['p50']):.3f}, p99 {median(ratios['p99']):.3f}")


def asked(client: socket.socket, seconds: float) -> dict[str, float]:
    """Send requests for so long; return the percentiles of what they took, in milliseconds."""
    took, end = [], time.monotonic() + seconds
    while (begun := time.monotonic()) < end:
        client.sendall(REQUEST)
        received = b""
        while not received.endswith(b"ok"):
            received += client.recv(4096)
        took.append(1000 * (time.monotonic() - begun))
        time.sleep(PAUSE)
    took.sort()
    return {"p50": took[len(took) // 2], "p99": took[int(0.99 * (len(took) - 1))]}


def flood(port: int, going: Event, counts: Any) -> None:
    os.setsid()
    os.nice(19)
    try:
        Path("/proc/self/autogroup").write_text("19")
    except OSError:
        pass  # This kernel does not schedule by session.
    while going.wait():
        scrapes(port, counts)


def scrapes(port: int, counts: Any) -> None:
    """Ask for the metrics on many connections at once; count the answers."""
    with selectors.DefaultSelector() as selector:
        for _ in range(AT_ONCE):
            client = socket.create_connection(("127.0.0.1", port), timeout=60)
            client.sendall(SCRAPE)
            selector.register(client, selectors.EVENT_READ, bytearray())
        while selector.get_map():
            for key, _ in selector.select(60):
                assert isinstance(key.fileobj, socket.socket)
                try:
                    data = key.fileobj.recv(65536)
                except ConnectionError:
                    data = b""
                if data:
                    key.data.extend(data[:64])
                    continue
                status = bytes(key.data[9:12])
                counts[{b"200": 0, b"503": 1}.get(status, 2)] += 1
                selector.unregister(key.fileobj)
                key.fileobj.close()


if __name__ == "__main__":
    main()
