"""The throughput of a server under prefork, beside the same server under its own master: two workers each.

    python bench/server_throughput.py [--rounds N] [uvicorn] [granian] ...

Both run all the time. wrk sends requests to them in turn, in slices of a second: first one then the other, then the
other way round. `keep` is 32 connections that are kept, `new` a new connection per request. The result is the ratio,
prefork over the other, in each round; the median of all rounds is printed, with the range. On a machine with other load
the CPU time per request, of all processes of a side together, is the steadier figure: below 1.00 is less.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from peers import Server, running, versions, wrk

PAIRS = {
    "uvicorn": ("prefork, uvicorn", "uvicorn"),
    "granian": ("prefork, granian", "granian"),
    "granian-wsgi": ("prefork, granian (WSGI)", "granian (WSGI)"),
}
LOADS = {"keep": "keep-alive", "new": "close"}
WORKERS, CONNECTIONS, SLICES = 2, 32, 4


@dataclass
class Slice:
    """The results of one run of wrk."""

    requests: int
    seconds: float
    cpu: float
    p99: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=1, help="of a slice")
    parser.add_argument("pairs", nargs="*", default=["uvicorn", "granian"])
    chosen = parser.parse_args()
    print(versions())
    print("| server | load | requests/s | ratio | p99 ms | ratio | CPU µs per request | ratio |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for pair in chosen.pairs:
        compare(pair, chosen.rounds, chosen.seconds)


def compare(pair: str, rounds: int, seconds: int) -> None:
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(running(side, WORKERS)) for side in PAIRS[pair])
        for server in (ours, theirs):
            ask(server, "keep-alive", 1)  # Not counted.
        for load, connection in LOADS.items():
            found = [one_round(ours, theirs, connection, seconds) for _ in range(rounds)]
            figures: list[Callable[[list[Slice]], float]] = [rate, p99, cpu]
            print(f"| {pair} | {load} | {' | '.join(row(found, figure) for figure in figures)} |", flush=True)


def one_round(ours: Server, theirs: Server, connection: str, seconds: int) -> tuple[list[Slice], list[Slice]]:
    slices: dict[str, list[Slice]] = {ours.name: [], theirs.name: []}
    for number in range(SLICES):
        for server in (ours, theirs) if number % 2 == 0 else (theirs, ours):
            slices[server.name].append(ask(server, connection, seconds))
    return slices[ours.name], slices[theirs.name]


def ask(server: Server, connection: str, seconds: int) -> Slice:
    command = [wrk(), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-H", f"Connection: {connection}"]
    before = server.cpu()
    text = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}/"], check=True, capture_output=True, text=True
    ).stdout
    cpu = server.cpu() - before
    if "Socket errors" in text or "Non-2xx" in text:
        print(f"{server.name}: {text}", file=sys.stderr)
    total = re.search(r"(\d+) requests in ([\d.]+)(m?s|m)", text)
    assert total is not None, text
    return Slice(int(total[1]), float(total[2]), cpu, percentile(text))


def percentile(text: str) -> float:
    found = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    assert found is not None, text
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


def rate(slices: list[Slice]) -> float:
    return sum(each.requests for each in slices) / sum(each.seconds for each in slices)


def p99(slices: list[Slice]) -> float:
    return median(each.p99 for each in slices)


def cpu(slices: list[Slice]) -> float:
    return 1e6 * sum(each.cpu for each in slices) / sum(each.requests for each in slices)


def row(found: list[tuple[list[Slice], list[Slice]]], figure: Callable[[list[Slice]], float]) -> str:
    ours, theirs = ([figure(one[side]) for one in found] for side in (0, 1))
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    digits = 0 if figure is rate else 1
    middle = f"{median(ours):,.{digits}f} / {median(theirs):,.{digits}f}"
    return f"{middle} | **{median(ratios):.2f}** ({min(ratios):.2f}-{max(ratios):.2f})"


if __name__ == "__main__":
    main()
