"""Jobs in SQLite, done by several workers: none is lost or done twice when a worker is killed.

    python jobs.py                     # or: prefork run jobs:daemon
    python add.py these are jobs       # in another terminal

What makes it so is in `consume`, and in table.py.
"""

import os
import time
from dataclasses import dataclass

from table import Table

import prefork

SECONDS = float(os.environ.get("JOB_SECONDS", "1"))


@dataclass(frozen=True)
class Consumer(prefork.WorkerContext):
    """A worker that does one job at a time."""

    id: int


daemon = prefork.Daemon("jobs")


@daemon.plan
def plan() -> list[Consumer]:
    """Say which workers should exist."""
    return [Consumer(number) for number in range(4)]


# Old first: two workers never have the same name. So the jobs taken by this name are this worker's alone, and those
# that it finds at its start were left by a predecessor that was killed.
@daemon.worker(Consumer, replace="old-first")
def consume(worker: prefork.Worker[Consumer]) -> None:
    """Take a job, do it, and note the result and that it is done in one transaction."""
    table = Table()
    table.put_back(worker.key)
    worker.ready()
    while not worker.draining:
        job = table.take(worker.key)
        if job is None:
            worker.wait_draining(0.2)
            continue
        with worker.request(f"job {job.number}"):
            print(f"{worker.key} (pid {os.getpid()}) begins job {job.number}", flush=True)
            table.done(job, do(job.text))


def do(text: str) -> str:
    """Do what the job is. Here is what your own program does."""
    time.sleep(SECONDS)
    return text.upper()


if __name__ == "__main__":
    daemon.run()
