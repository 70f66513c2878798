"""Jobs: none is lost and none is done twice, when workers are killed in the middle of one and in reloads."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator

import pytest

from examples.example import Example
from support import Running, Start, gone, until
from system.daemons import free_port

COUNT = 40
HOLD = "1000"
"""Seconds that a job takes until the program is changed: a worker that is killed before is in the middle of one."""
KILLED = 12
"""Workers that are killed, in the middle of a job, by `kill_in_the_middle`."""
BEGINS = r"^(consumer/\d) \(pid (\d+)\) begins job (\S+)$"


def kill_in_the_middle(example: Example, program: str) -> None:
    """Kill all workers in the middle of a job, twice; have the master do it in a reload; the new jobs are quick."""
    example.edit(program, 'replace="old-first"', 'replace="old-first", drain_timeout=0.2')
    example.run(f"python {program}")
    for _ in range(2):
        for pid in begun_by_each(example):
            os.kill(pid, signal.SIGKILL)
            assert gone(pid)
    begun_by_each(example)
    example.edit(program, "time.sleep(SECONDS)", "time.sleep(0.01)")
    example.reload()


def begun_by_each(example: Example) -> list[int]:
    """Wait until each of the four has begun a job; return their pids."""
    pids: dict[str, int] = {}
    while len(pids) < 4:
        line = example.running.expect(BEGINS)
        pids[line[1]] = int(line[2])
    return list(pids.values())


def begun(running: Running) -> int:
    """Return how often a job was begun."""
    return len([line for line in running.out if re.match(BEGINS, line)])


def test_no_job_is_lost_or_done_twice(start: Start) -> None:
    jobs = Example(start, "jobs", JOB_SECONDS=HOLD, JOBS=str(start.directory / "jobs.sqlite"))
    add = "python add.py " + " ".join(f"job-{number}" for number in range(1, COUNT + 1))
    jobs.readme += f"\n    {add}"
    assert jobs.command(add).wait() == 0
    kill_in_the_middle(jobs, "jobs.py")
    with sqlite3.connect(start.directory / "jobs.sqlite") as table:
        until(lambda: table.execute("select count(*) from jobs").fetchone() == (0,), "all are done")
        results = table.execute("select number, result from results order by number").fetchall()
    assert results == [(number, f"JOB-{number}") for number in range(1, COUNT + 1)]
    jobs.reload()
    assert jobs.stop() in (0, 4), "a fifth of a second to drain is little on a busy machine"
    assert begun(jobs.running) == COUNT + KILLED, "each that was interrupted was begun once more"


@pytest.fixture
def redis(start: Start) -> Iterator[str]:
    pytest.importorskip("redis", reason="the package redis is not installed")
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("there is no redis-server (apt-get install redis-server)")
    port = free_port()
    running = start.command(server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
    running.expect("Ready to accept connections")
    yield f"redis://127.0.0.1:{port}"
    running.stop()


def test_no_job_is_lost_or_done_twice_on_redis(start: Start, redis: str) -> None:
    import redis as library

    jobs = Example(start, "jobs", JOB_SECONDS=HOLD, REDIS_URL=redis)
    client = library.Redis.from_url(redis, decode_responses=True)
    client.rpush("jobs", *(f"job-{number}" for number in range(COUNT)))
    jobs.readme += "\n    python redis_jobs.py"
    kill_in_the_middle(jobs, "redis_jobs.py")
    until(lambda: client.keys() == ["results"], "all are done")
    results = [str(result) for result in client.lrange("results", 0, -1)]
    assert Counter(results) == Counter(f"JOB-{number}" for number in range(COUNT))
    jobs.reload()
    assert jobs.stop() in (0, 4), "a fifth of a second to drain is little on a busy machine"
    assert begun(jobs.running) == COUNT + KILLED, "each that was interrupted was begun once more"
