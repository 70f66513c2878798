"""Distribution of connections over four workers, under prefork and by the servers' own masters; the cost of a hung one.

    python bench/server_balance.py [--rounds N] [side ...]

The sides run in turn, so that all of them meet the same load of the machine:

    long    200 keep-alive connections opened at once: share of the busiest worker over the mean
    short   16 clients, a new connection per request: the same share of requests; requests/s; 99th percentile
    slow    as short, but one request in ten blocks its worker, or a thread of it, for 20 ms
    hung    16 clients with a timeout of a second, one worker stopped: answers/s over those with none stopped; in the
            whole time, and from 1.5 s on

Prints the range of the shares in all rounds, and the medians of the rest. Rates depend on the machine and its load.
"""

from __future__ import annotations

import argparse
import os
import re
import select
import signal
import socket
import statistics
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from clients import CLIENTS, ClosedLoop
from peers import SIDES, Server, request, running, versions, wrk

WORKERS, LONG, SECONDS = 4, 200, 3
HUNG, PATIENCE, UNTIL_STEERED = 6.0, 1.0, 1.5

OURS = [name for name in SIDES if name.startswith("prefork")]
PEERS = ["uvicorn", "granian", "gunicorn, gthread", "gunicorn, uvicorn"]

COMPLETE = re.compile(rb"\r\n\r\n(\d+)$")
"""An answer that is whole: no server sends a pid in two pieces."""

SCRIPT = """
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init(args)
  counts, asked = {}, 0
  quick = wrk.format("GET", "/", {Host = "localhost", Connection = "close"})
  slow = wrk.format("GET", args[1], {Host = "localhost", Connection = "close"})
end
function request()
  asked = asked + 1
  return asked % 10 == 0 and slow or quick
end
function response(status, headers, body) counts[body] = (counts[body] or 0) + 1 end
function done(summary, latency, requests)
  for _, thread in ipairs(threads) do
    for pid, count in pairs(thread:get("counts")) do print("share " .. pid .. " " .. count) end
  end
  print("p99 " .. latency:percentile(99) / 1000)
  print("rate " .. summary.requests / summary.duration * 1e6)
end
"""


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
    later: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bursts", type=int, default=4, help="of long connections in a round")
    parser.add_argument("sides", nargs="*", default=[*OURS, *PEERS])
    chosen = parser.parse_args()
    print(versions())
    found = {name: Figures() for name in chosen.sides}
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory, "counts.lua")
        script.write_text(SCRIPT)
        try:
            for _ in range(chosen.rounds):
                for name, figures in found.items():
                    with running(name, WORKERS) as server:
                        measure(server, figures, script, chosen.bursts)
        finally:
            show(found)


def show(found: dict[str, Figures]) -> None:
    print("| | long | short | new req/s (p99 ms) | slow (p99 ms) | one hung | from 1.5 s on |")
    print("|---|---|---|---|---|---|---|")
    for name, each in found.items():
        if not each.later:
            continue
        print(
            f"| {name} | {spread(each.long)} | {spread(each.short)} "
            f"| {statistics.median(each.rate):,.0f} ({statistics.median(each.p99):.1f}) "
            f"| {spread(each.slow)} ({statistics.median(each.slow_p99):.1f}) "
            f"| {statistics.median(each.hung):.2f} | {statistics.median(each.later):.2f} |"
        )


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def measure(server: Server, figures: Figures, script: Path, bursts: int) -> None:
    figures.long += [unevenness(long(server.port).values()) for _ in range(bursts)]
    share, rate, p99 = short(server, script, "/")
    figures.short.append(share)
    figures.rate.append(rate)
    figures.p99.append(p99)
    share, _, p99 = short(server, script, "/slow")
    figures.slow.append(share)
    figures.slow_p99.append(p99)
    usual = len(ClosedLoop(server.port, PATIENCE).run(HUNG / 2).given) / (HUNG / 2)
    stopped = min(server.serving(WORKERS))
    os.kill(stopped, signal.SIGSTOP)
    answers = ClosedLoop(server.port, PATIENCE).run(HUNG).given
    try:
        os.kill(stopped, signal.SIGCONT)
    except ProcessLookupError:
        pass  # uvicorn's master ends a worker that does not answer it for five seconds.
    figures.hung.append(len(answers) / HUNG / usual)
    later = sum(moment >= UNTIL_STEERED for moment, _ in answers) / (HUNG - UNTIL_STEERED)
    figures.later.append(later / usual)


def long(port: int) -> Counter[int]:
    """Open all connections at once, send one request on each, count the answers of each worker; close them."""
    clients: dict[int, socket.socket] = {}
    answers: dict[int, bytes] = {}
    with select.epoll() as ready:
        for _ in range(LONG):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
            ready.register(client, select.EPOLLOUT)
            clients[client.fileno()] = client
        answered: Counter[int] = Counter()
        while answered.total() < LONG:
            for number, events in ready.poll(30):
                if events & select.EPOLLOUT:
                    clients[number].sendall(request("/", keep=True))
                    ready.modify(number, select.EPOLLIN)
                    continue
                answers[number] = answers.get(number, b"") + clients[number].recv(4096)
                if body := COMPLETE.search(answers[number]):
                    answered[int(body[1])] += 1
                    ready.unregister(number)
    for client in clients.values():
        client.close()
    return answered


def unevenness(counts: Iterable[int]) -> float:
    counts = list(counts)
    return max(counts) * WORKERS / sum(counts)


def short(server: Server, script: Path, path: str) -> tuple[float, float, float]:
    """Return the share of the busiest worker, requests per second, the 99th percentile in ms."""
    command = [wrk(), "-t1", f"-c{CLIENTS}", f"-d{SECONDS}s", "-s", script, f"http://127.0.0.1:{server.port}/", path]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    shares = [int(count) for count in re.findall(r"^share \d+ (\d+)$", text, re.MULTILINE)]
    rate, p99 = (re.search(rf"^{name} ([\d.e+]+)$", text, re.MULTILINE) for name in ("rate", "p99"))
    assert rate is not None, text
    assert p99 is not None, text
    return unevenness(shares), float(rate[1]), float(p99[1])


if __name__ == "__main__":
    main()
