"""The time from the death of a worker with uvicorn to its successor's answer, under prefork and under gunicorn.

    python bench/server_relaunch.py [repetitions]

Measured from outside: SIGKILL to the only worker, then a request at once, until another process answers it. The two
sides in turn. After each death there is a pause, in which a supervisor may prepare for the next one.
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import time
from contextlib import ExitStack

from peers import Server, running, versions

SIDES = ["prefork, uvicorn", "gunicorn, uvicorn"]
PAUSE = 1.2


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    print(versions())
    with ExitStack() as stack:
        servers = [stack.enter_context(running(side, 1)) for side in SIDES]
        took: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(repetitions):
            time.sleep(PAUSE)
            for server in servers:
                took[server.name].append(relaunch(server))
    for side, times in took.items():
        print(
            f"{side}: {statistics.median(times):.1f} ms (median of {repetitions}: {min(times):.1f} to {max(times):.1f})"
        )
    ours, theirs = took.values()
    print(f"ratio of the medians: {statistics.median(ours) / statistics.median(theirs):.2f}")


def relaunch(server: Server) -> float:
    pid = server.ask()
    begun = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    successor = server.ask()
    took = (time.perf_counter() - begun) * 1000
    assert successor != pid, "it was another worker that answered"
    return took


if __name__ == "__main__":
    main()
