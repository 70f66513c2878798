"""Where the milliseconds of a cold start and of a reload go: moments of the log, and each process's processor time.

    python bench/milliseconds.py [--rounds N] [--workers N] [--application trivial|heavy] [side ...]

Prints medians, in milliseconds from the command, or from the reload's signal. Processor time is that of one process up
to the moment when all is ready; that of the master has the command's, whose process it is.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import statistics
import time
from datetime import UTC, datetime

from peers import Server, children, running, versions
from server_many import APPLICATIONS, command, until, workers

MOMENTS = {
    "the command has become the master": r"starting \(",
    "the plan is there, the listeners are open": r"listening on",
    "all workers are ready": r"ready \(",
    "reload: signal": r"signal HUP received",
    "reload: done, old workers have ended": r"reload: done",
}
KINDS = {"master": r"prefork: master", "mold": r"prefork: mold", "worker": r"prefork: \S+/\d+ g\d+ ready"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--application", choices=APPLICATIONS, default="trivial")
    parser.add_argument("sides", nargs="*", default=["prefork, uvicorn", "prefork, granian"])
    chosen = parser.parse_args()
    print(versions())
    for side in chosen.sides:
        lives = [live(side, chosen.workers, APPLICATIONS[chosen.application]) for _ in range(chosen.rounds)]
        print(f"\n{side}, {chosen.workers} workers, {chosen.application} application\n\n| | ms |\n|---|---|")
        for name in lives[0]:
            print(f"| {name} | {statistics.median(each[name] for each in lives):.0f} |")


def live(side: str, count: int, application: str) -> dict[str, float]:
    """Start this side and reload it; return each moment, and the processor time of each kind of process, in ms."""
    begun = time.time()
    with running(side, count, application, await_all=False) as server:
        found = {"the first answer": (time.time() - begun) * 1000}
        moment(server, "all workers are ready", begun)
        found |= {name: moment(server, name, begun) for name in list(MOMENTS)[:3]}
        for kind, pattern in KINDS.items():
            spent = [
                ran(pid) for pid in (server.pid, *children(server.pid)) if re.match(pattern, command(pid).decode())
            ]
            found[f"processor time of a {kind}"] = statistics.mean(spent)
        time.sleep(1)
        old = workers(server)
        begun = time.time()
        os.kill(server.pid, signal.SIGHUP)
        until(lambda: len(workers(server) - old) >= count, "all new workers are ready")
        found["reload: all new workers are ready"] = (time.time() - begun) * 1000
        found["reload: done, old workers have ended"] = moment(server, "reload: done, old workers have ended", begun)
    return dict(sorted(found.items(), key=lambda each: ("processor" in each[0], "reload" in each[0], each[1])))


def moment(server: Server, name: str, begun: float) -> float:
    """Return when the log has had this line first, in milliseconds after `begun`; wait for it."""

    def line() -> re.Match[str] | None:
        return re.search(rf"^(\S+) [^\n]*{MOMENTS[name]}", (server.directory / "log").read_text(), re.MULTILINE)

    until(lambda: line() is not None, name)
    match = line()
    assert match is not None
    return (datetime.fromisoformat(match[1]).astimezone(UTC).timestamp() - begun) * 1000


def ran(pid: int) -> float:
    """Return the processor time of a process in milliseconds."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0]) / 1e6


if __name__ == "__main__":
    main()
