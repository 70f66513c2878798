"""The jobs: a table of what is to be done, with who does it, and one of what has been done."""

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

FILE = os.environ.get("JOBS", Path(__file__).parent / "jobs.sqlite")
TABLES = """
    pragma journal_mode = wal;
    create table if not exists jobs (number integer primary key autoincrement, text text, taken_by text);
    create table if not exists results (number integer, result text);
"""


@dataclass(frozen=True)
class Job:
    """Something to do."""

    number: int
    text: str


class Table:
    """A connection to the file; each process has its own."""

    def __init__(self) -> None:
        self.sql = sqlite3.connect(FILE, timeout=30, isolation_level=None)
        self.sql.executescript(TABLES)

    def add(self, text: str) -> None:
        """Note something to do."""
        self.sql.execute("insert into jobs (text) values (?)", [text])

    def take(self, who: str) -> Job | None:
        """Take the oldest free job; a single statement is a transaction of its own."""
        free = "select number from jobs where taken_by is null order by number limit 1"
        rows = self.sql.execute(f"update jobs set taken_by = ? where number = ({free}) returning number, text", [who])
        return next((Job(*row) for row in rows.fetchall()), None)

    def put_back(self, who: str) -> None:
        """Return the jobs that a worker has taken and not done."""
        self.sql.execute("update jobs set taken_by = null where taken_by = ?", [who])

    def done(self, job: Job, result: str) -> None:
        """Note the result, and that the job is done: both or neither."""
        self.sql.execute("begin immediate")
        self.sql.execute("insert into results values (?, ?)", [job.number, result])
        self.sql.execute("delete from jobs where number = ?", [job.number])
        self.sql.execute("commit")
