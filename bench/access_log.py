"""What an access log costs: each server under prefork with it and without, beside the same server's own access log.

    python bench/access_log.py [--rounds N] [--seconds N] [--format FORMAT] [uvicorn] [granian]

All sides of a server run all the time, two workers each; wrk sends requests on 32 kept connections to one after the
other, in slices of some seconds, in another order each round. Every log is a file. Printed are medians of all rounds:
requests a second, the 99th percentile, the processor time per request of all processes of a side, and the ratio of
requests to the first side's, prefork with its log, in the same round: below 1.00 is slower than that.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from statistics import median

from peers import GRANIAN_ALONE, SIDES, Server, running, versions
from server_throughput import Slice, ask, cpu, p99, rate

WORKERS = 2
PEERS = {"uvicorn": ("uvicorn", "gunicorn, uvicorn"), "granian": ("granian",)}
LOGGING = {
    "uvicorn": ["--access-log"],
    "gunicorn, uvicorn": ["--access-logfile", "-"],
    "granian": ["--access-log"],
}
"""What turns on a peer's log, on standard output, which is a file here."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of a slice")
    parser.add_argument("--format", default="combined", help="of prefork's lines")
    parser.add_argument("servers", nargs="*", default=list(PEERS))
    chosen = parser.parse_args()
    print(versions())
    for server in chosen.servers:
        print("\n| side | requests/s | p99 ms | CPU µs per request | ratio |\n|---|---|---|---|---|", flush=True)
        compare(add_sides(server, chosen.format), chosen.rounds, chosen.seconds)


def add_sides(server: str, format_: str) -> list[str]:
    """Add the sides of a server to those that can be run; return their names, prefork with its log first."""
    ours = f"prefork, {server}"
    SIDES[f"{ours}, log"] = [*SIDES[ours], "--access-log", "access.log", "--access-log-format", format_]
    names = [f"{ours}, log", ours]
    for peer in PEERS[server]:
        quiet = {"--no-access-log", "--log-level", "error"}
        plain = GRANIAN_ALONE if peer == "granian" else SIDES[peer]
        SIDES[f"{peer}, log"] = [*(word for word in plain if word not in quiet), *LOGGING[peer]]
        names += [f"{peer}, log", peer]
    return names


def compare(names: list[str], rounds: int, seconds: int) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(running(name, WORKERS)) for name in names]
        for server in servers:
            ask(server, "keep-alive", 1)  # Not counted.
        found: dict[str, list[Slice]] = {name: [] for name in names}
        for number in range(rounds):
            for server in rotated(servers, number):
                found[server.name].append(ask(server, "keep-alive", seconds))
    first = found[names[0]]
    for name in names:
        ratios = [rate([one]) / rate([other]) for one, other in zip(found[name], first, strict=True)]
        each = [[one] for one in found[name]]
        figures = f"{median(map(rate, each)):,.0f} | {median(map(p99, each)):.1f} | {median(map(cpu, each)):.1f}"
        print(f"| {name} | {figures} | **{median(ratios):.2f}** ({min(ratios):.2f}-{max(ratios):.2f}) |", flush=True)


def rotated(servers: list[Server], number: int) -> list[Server]:
    """Return the servers in another order each time, so that none always follows the same other one."""
    start = number % len(servers)
    turned = servers[start:] + servers[:start]
    return turned if number % 2 == 0 else turned[::-1]


if __name__ == "__main__":
    main()
