"""A cold start of two ASGI workers, and what the daemon's whole life costs.

    python bench/server_start.py [--rounds N] [side ...]

`first answer`: from the command to the first answer of a worker, in steps of a hundredth of a second. `processor time`:
of all processes, from the command to the last one's end after SIGTERM, with half a second of rest between. The sides
take turns. Prints medians, and the least.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time

from peers import running, versions

WORKERS, REST = 2, 0.5
SIDES = ["prefork, uvicorn", "prefork, granian", "uvicorn", "gunicorn, uvicorn", "granian"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("sides", nargs="*", default=SIDES)
    chosen = parser.parse_args()
    print(versions())
    found: dict[str, list[tuple[float, float]]] = {side: [] for side in chosen.sides}
    for _ in range(chosen.rounds):
        for side, lives in found.items():
            lives.append(live(side))
    print("| | first answer, s (least) | processor time, s (least) |")
    print("|---|---|---|")
    for side, lives in found.items():
        starts, costs = zip(*lives, strict=True)
        figures = (f"{statistics.median(each):.2f} ({min(each):.2f})" for each in (starts, costs))
        print(f"| {side} | {' | '.join(figures)} |")


def live(side: str) -> tuple[float, float]:
    """Start this side and end it; return the seconds until the first answer, and those of processor time."""
    before, begin = spent(), time.monotonic()
    with running(side, WORKERS, await_all=False):
        answered = time.monotonic() - begin
        time.sleep(REST)
    return answered, spent() - before


def spent() -> float:
    """Return the processor time of the processes that have ended, and of those that they have waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
