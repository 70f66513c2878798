"""What metrics cost: each server under prefork with an agent that is scraped each second, beside the same without.

    python bench/metrics.py [--rounds N] [--seconds N] [uvicorn] [granian]

Both sides run all the time, two workers each; wrk sends requests on 32 kept connections to one after the other, in
slices of some seconds, in another order each round. The agent is scraped while its side is measured, and idle
otherwise. Printed are medians of all rounds: requests a second, the 99th percentile, the processor time per request of
all processes of a side, agent included, and the ratio of requests to the side without, in the same round; then how long
a scrape took.
"""

from __future__ import annotations

import argparse
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from urllib.request import urlopen

from access_log import rotated
from peers import SIDES, running, versions
from server_throughput import Slice, ask, cpu, p99, rate

WORKERS = 2


class Scrapes:
    """Scrapes an agent each second, in a thread, while a block runs. `times`: seconds that each one took."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"
        self._over = threading.Event()
        self.times: list[float] = []

    @contextmanager
    def going_on(self) -> Iterator[None]:
        self._over.clear()
        thread = threading.Thread(target=self._scrape)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _scrape(self) -> None:
        while True:
            begun = time.monotonic()
            assert b"prefork_" in urlopen(self._url, timeout=10).read()
            self.times.append(time.monotonic() - begun)
            if self._over.wait(max(0.0, begun + 1 - time.monotonic())):
                return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of a slice")
    parser.add_argument("servers", nargs="*", default=["uvicorn", "granian"])
    chosen = parser.parse_args()
    print(versions())
    for server in chosen.servers:
        compare(server, chosen.rounds, chosen.seconds)


def compare(server: str, rounds: int, seconds: int) -> None:
    plain, scraped = f"prefork, {server}", f"prefork, {server}, scraped each second"
    port = free_port()
    SIDES[scraped] = [*SIDES[plain], "--metrics", f"127.0.0.1:{port}"]
    scrapes, found = Scrapes(port), {scraped: list[Slice](), plain: list[Slice]()}
    with ExitStack() as stack:
        servers = [stack.enter_context(running(name, WORKERS)) for name in found]
        for each in servers:
            ask(each, "keep-alive", 1)  # Not counted.
        with scrapes.going_on():
            pass
        scrapes.times.clear()
        for number in range(rounds):
            for each in rotated(servers, number):
                with scrapes.going_on() if each.name == scraped else ExitStack():
                    found[each.name].append(ask(each, "keep-alive", seconds))
    show(found, plain)
    took = [1000 * each for each in scrapes.times]
    print(f"\n{len(took)} scrapes, {median(took):.0f} ms each, {max(took):.0f} at most")


def show(found: dict[str, list[Slice]], plain: str) -> None:
    print("\n| side | requests/s | p99 ms | CPU µs per request | ratio |\n|---|---|---|---|---|")
    for name, slices in found.items():
        ratios = [rate([one]) / rate([other]) for one, other in zip(slices, found[plain], strict=True)]
        each = [[one] for one in slices]
        figures = f"{median(map(rate, each)):,.0f} | {median(map(p99, each)):.1f} | {median(map(cpu, each)):.1f}"
        print(f"| {name} | {figures} | **{median(ratios):.3f}** ({min(ratios):.2f}-{max(ratios):.2f}) |", flush=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
