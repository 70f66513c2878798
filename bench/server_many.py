"""Many workers at once: a start until all serve, and a hundred deaths, beside masters that fork after the import, too.

    python bench/server_many.py [--rounds N] [--application trivial|heavy] [--workers N] [--kill N] [side ...]

`heavy` needs 0.4 s of processor time to import, and holds 60 MB. The sides take turns.

    first      from the command to the first answer
    there      until as many workers exist; those of prefork are ready by then, those of others may only be forked
    processor  seconds of processor time of all processes until then
    all        until as many different workers as there should be have answered (up to 64 workers): later, where a
               server lets few of its workers accept
    back       from the SIGKILL of N workers until as many exist again
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from daemons import HEAVY
from peers import APPLICATION, Server, children, running, versions

SIDES = [
    "prefork, uvicorn",
    "prefork, granian",
    "prefork, granian (WSGI)",
    "gunicorn, uvicorn, preloaded",
    "gunicorn, sync, preloaded",
    "uWSGI",
    "unicorn",
]
APPLICATIONS = {
    "trivial": APPLICATION,
    "heavy": f"import time\n{HEAVY.format(cpu=0.4, records=120_000)}\n{APPLICATION}",
}
STEP, PATIENCE, MOST_ASKED = 0.01, 60.0, 64
READY = re.compile(rb"prefork: \S+/\d+ g\d+ ready")
FIGURES = ("first", "there", "processor", "all", "back")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--application", choices=APPLICATIONS, default="trivial")
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--kill", type=int, default=0)
    parser.add_argument("sides", nargs="*", default=[each for each in SIDES if can_run(each)])
    chosen = parser.parse_args()
    print(versions())
    found: dict[str, list[dict[str, float]]] = {side: [] for side in chosen.sides}
    for _ in range(chosen.rounds):
        for side, lives in found.items():
            lives.append(live(side, chosen.workers, APPLICATIONS[chosen.application], chosen.kill))
    print(f"{chosen.workers} workers, {chosen.application} application; medians (least), in seconds")
    print(f"| | {' | '.join(FIGURES)} |\n|---|{'---|' * len(FIGURES)}")
    for side, lives in found.items():
        print(f"| {side} | {' | '.join(figure([each[name] for each in lives if name in each]) for name in FIGURES)} |")


def can_run(side: str) -> bool:
    return side.lower() not in ("uwsgi", "unicorn") or shutil.which(side.lower()) is not None


def figure(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f})" if values else "-"


def live(side: str, count: int, application: str, killed: int) -> dict[str, float]:
    """Start this side, kill some of its workers, and end it; return what each took, in seconds."""
    begin, taken = time.monotonic(), {}
    with running(side, count, application, await_all=False) as server:
        taken["first"] = time.monotonic() - begin
        until(lambda: len(workers(server)) >= count, f"{side}: {count} workers")
        taken["there"], taken["processor"] = time.monotonic() - begin, server.cpu()
        if count <= MOST_ASKED:
            server.serving(count)
            taken["all"] = time.monotonic() - begin
        if killed:
            time.sleep(2)  # They are healthy then, and are replaced at once.
            taken["back"] = back(server, count, killed)
    return taken


def back(server: Server, count: int, killed: int) -> float:
    """Kill some workers; return the seconds until as many exist again."""
    victims = set(list(workers(server))[:killed])
    begin = time.monotonic()
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(workers(server) - victims) >= count, f"{server.name}: {killed} successors")
    return time.monotonic() - begin


def workers(server: Server) -> set[int]:
    """Return the pids of the workers: those of prefork that are ready by their title, of others all that exist."""
    found = children(server.pid)
    if not server.name.startswith("prefork"):
        return set(found)
    return {pid for pid in found if READY.match(command(pid))}


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""  # It has ended meanwhile.


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        begun = time.process_time()
        if condition():
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"not there after {PATIENCE:g} s: {what}")
        time.sleep(max(STEP, 5 * (time.process_time() - begun)))  # To look must not take their processor.


if __name__ == "__main__":
    main()
