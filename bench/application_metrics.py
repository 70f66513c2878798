"""What an application's metrics cost: prometheus_client under prefork, beside its own two ways to count.

Printed are nanoseconds of one call (the least of many short loops, all ways in turn), and of a scrape of many workers:
its time, its processor time and its size. The workers of the scrape are columns, or files, that one process has filled.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from time import perf_counter, process_time

WAYS = {"prefork": "", "mutex": "", "multiprocess": "PROMETHEUS_MULTIPROC_DIR"}
CALLS = ("Counter.inc", "Gauge.set", "Histogram.observe", "labels().inc")
ROUNDS, TIMES, REPEATS = 7, 5_000, 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--series", type=int, default=2000, help="of each worker")
    parser.add_argument("--child", nargs=2, metavar=("WAY", "WHAT"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        child(*chosen.child, chosen.workers, chosen.series)
        return
    found: dict[str, list[list[int]]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way in WAYS:
            found[way].append([int(each) for each in run(way, "calls", chosen).split()])
    print("| ns a call |", " | ".join(WAYS), "|")
    print("|---|" + "---|" * len(WAYS))
    for at, call in enumerate(CALLS):
        print(f"| {call} |", " | ".join(str(min(each[at] for each in found[way])) for way in WAYS), "|")
    print(f"\nscrape of {chosen.workers} workers with {chosen.series} series each")
    for way in ("prefork", "multiprocess"):
        print(f"{way}: {run(way, 'scrape', chosen)}", flush=True)


def run(way: str, what: str, chosen: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory() as directory:
        environ = {**os.environ, **({WAYS[way]: directory} if WAYS[way] else {})}
        arguments = ["--workers", str(chosen.workers), "--series", str(chosen.series), "--child", way, what]
        command = [sys.executable, __file__, *arguments]
        return subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout.strip()


def child(way: str, what: str, workers: int, series: int) -> None:
    """Be one way in a process of its own: prometheus_client decides once where it counts."""
    if way == "prefork":
        from prefork._wire import scoreboard
        from prefork._wire.metrics import arena
        from prefork._worker.metrics.own import own

        board = scoreboard.Scoreboard(scoreboard.create(workers))
        own.begin(arena.create(), 1, False, board)
    (calls if what == "calls" else scrape)(way, workers, series)


def calls(way: str, _workers: int, _series: int) -> None:
    from prometheus_client import Counter, Gauge, Histogram

    if way == "prefork":
        from prefork._worker.metrics.own import own

        assert own.counting is not None
        own.counting.take(0)
    counter, gauge = Counter("bench_calls", "Calls."), Gauge("bench_size", "Size.")
    histogram, labelled = Histogram("bench_seconds", "Seconds."), Counter("bench_requests", "Requests.", ["path"])

    def timed(call: object) -> int:
        code = compile(f"for _ in range({TIMES}): {call}", "", "exec")
        best = 1e9
        for _ in range(REPEATS):
            begun = perf_counter()
            exec(code, {"counter": counter, "gauge": gauge, "histogram": histogram, "labelled": labelled})
            best = min(best, perf_counter() - begun)
        return round(best / TIMES * 1e9)

    print(
        timed("counter.inc()"),
        timed("gauge.set(3.0)"),
        timed("histogram.observe(.3)"),
        timed("labelled.labels('/').inc()"),
    )


def scrape(way: str, workers: int, series: int) -> None:
    from prometheus_client import CollectorRegistry, Counter, generate_latest, multiprocess, values

    process = 0
    if way == "multiprocess":
        values.ValueClass = values.MultiProcessValue(lambda: process)
    counter = Counter("bench_requests", "Requests.", ["path"])
    for process in range(workers):
        if way == "prefork":
            from prefork._worker.metrics.own import own

            assert own.counting is not None
            own.counting.take(process)
        for each in range(series):
            counter.labels(f"/path/{each}").inc()
    registry = CollectorRegistry()
    if way == "multiprocess":
        multiprocess.MultiProcessCollector(registry)
    else:
        registry.register(counter)
    took = []
    for _ in range(5):
        begun, used = perf_counter(), process_time()
        text = generate_latest(registry)
        took.append((perf_counter() - begun, process_time() - used))
    assert f'bench_requests_total{{path="/path/{series - 1}"}} {float(workers)}'.encode() in text
    seconds, processor = min(took)
    print(f"{seconds * 1000:.0f} ms, {processor * 1000:.0f} ms of processor time, {len(text) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
