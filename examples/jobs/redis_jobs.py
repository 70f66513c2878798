"""The same on Redis, for jobs that other machines add: `redis-cli rpush jobs this that`.

    python redis_jobs.py               # or: prefork run redis_jobs:daemon

A job is moved from the list `jobs` to one with the worker's name, and from there to `results`: it is always in one.
"""

import os
import time
from dataclasses import dataclass

import redis

import prefork

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
SECONDS = float(os.environ.get("JOB_SECONDS", "1"))


@dataclass(frozen=True)
class Consumer(prefork.WorkerContext):
    """A worker that does one job at a time."""

    id: int


daemon = prefork.Daemon("redis-jobs")


@daemon.plan
def plan() -> list[Consumer]:
    """Say which workers should exist."""
    return [Consumer(number) for number in range(4)]


# Old first: see jobs.py.
@daemon.worker(Consumer, replace="old-first")
def consume(worker: prefork.Worker[Consumer]) -> None:
    """Take a job, do it, and note the result and that it is done in one transaction."""
    jobs = redis.Redis.from_url(URL, decode_responses=True)  # a connection of its own
    taken = f"taken:{worker.key}"
    while jobs.lmove(taken, "jobs", "RIGHT", "LEFT"):
        pass  # What our predecessor, which was killed, had taken and not done.
    worker.ready()
    while not worker.draining:
        job = jobs.blmove("jobs", taken, 1, "LEFT", "RIGHT")  # waits for a second at most, to look whether to drain
        if job is None:
            continue
        with worker.request(job):
            print(f"{worker.key} (pid {os.getpid()}) begins job {job}", flush=True)
            result = do(job)
            jobs.pipeline().lrem(taken, 1, job).rpush("results", result).execute()


def do(text: str) -> str:
    """Do what the job is. Here is what your own program does."""
    time.sleep(SECONDS)
    return text.upper()


if __name__ == "__main__":
    daemon.run()
