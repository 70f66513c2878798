"""The daemon with its workers: jobs are done, also those of a worker that was killed."""

import sqlite3
import time
from pathlib import Path

from jobs import daemon

from prefork.testing.plugin import StartServer


def results(path: Path, count: int) -> list[str]:
    """Wait until `count` jobs are done; return their results."""
    deadline = time.monotonic() + 30
    with sqlite3.connect(path, timeout=30) as table:
        while time.monotonic() < deadline:
            rows = table.execute("select result from results order by number").fetchall()
            if len(rows) >= count:
                return [row[0] for row in rows]
            time.sleep(0.05)
    raise TimeoutError(f"{len(rows)} of {count} jobs are done")


def test_jobs_are_done_over_a_kill(prefork_server: StartServer, tmp_path: Path) -> None:
    """Each once."""
    path = tmp_path / "jobs.sqlite"
    server = prefork_server(daemon, env=[f"JOBS={path}", "JOB_SECONDS=0.01"])
    with sqlite3.connect(path, timeout=30) as table:
        table.executemany("insert into jobs (text) values (?)", [(f"job-{number}",) for number in range(20)])
    server.kill("consumer/0")
    assert results(path, 20) == [f"JOB-{number}" for number in range(20)]
