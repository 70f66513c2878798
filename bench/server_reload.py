"""A reload (SIGHUP) of four ASGI workers under load: how long old ones remain, how many answer meanwhile.

    python bench/server_reload.py [--rounds N] [side ...]

16 clients send requests without end, each on a new connection. `all new`: from the signal to the last answer of an old
worker. `fewest`: the number of different workers that answered, in the tenth of a second with the fewest. `silence`:
the longest time without any answer. Prints the medians of all rounds, the worst of `fewest`, and the sum of failures.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
from dataclasses import dataclass
from itertools import pairwise

from clients import Answers, ClosedLoop
from peers import running, versions

WORKERS, BEFORE, WINDOW, PATIENCE = 4, 1.0, 0.1, 10.0
SIDES = {"prefork, uvicorn": 4.0, "prefork, granian": 4.0, "uvicorn": 6.0, "gunicorn, uvicorn": 4.0, "granian": 20.0}
"""How long to look at each one, in seconds."""


@dataclass
class Reload:
    """One reload, as its clients see it."""

    all_new: float
    fewest: int
    silence: float
    failed: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("sides", nargs="*", default=list(SIDES))
    chosen = parser.parse_args()
    print(versions())
    found: dict[str, list[Reload]] = {side: [] for side in chosen.sides}
    for _ in range(chosen.rounds):
        for side, reloads in found.items():
            reloads.append(reload(side))
    print("| | all new, s | fewest of 4 | silence, s | failed |")
    print("|---|---|---|---|---|")
    for side, reloads in found.items():
        new, silence = (statistics.median(getattr(each, name) for each in reloads) for name in ("all_new", "silence"))
        fewest, failed = min(each.fewest for each in reloads), sum(each.failed for each in reloads)
        print(f"| {side} | {new:.2f} | {fewest} | {silence:.2f} | {failed} |")


def reload(side: str) -> Reload:
    with running(side, WORKERS) as server:
        old = server.serving(WORKERS)
        loop = ClosedLoop(server.port, PATIENCE)
        answers = loop.run(SIDES[side], BEFORE, lambda: os.kill(server.pid, signal.SIGHUP))
    return seen(answers, old)


def seen(answers: Answers, old: set[int]) -> Reload:
    moments = [moment for moment, _ in answers.given]
    windows: dict[int, set[int]] = {}
    for moment, pid in answers.given:
        windows.setdefault(int(moment / WINDOW), set()).add(pid)
    first, last = int(BEFORE / WINDOW), int(moments[-1] / WINDOW)
    return Reload(
        all_new=max(moment for moment, pid in answers.given if pid in old) - BEFORE,
        fewest=min(len(windows.get(each, ())) for each in range(first, last)),
        silence=max(after - before for before, after in pairwise(moments)),
        failed=answers.failed + answers.given_up,
    )


if __name__ == "__main__":
    main()
