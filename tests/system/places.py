"""Where tests find daemons by name: a /run of their own, and a session's directory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from support import Running, Start
from system.commanded import PREFORK
from system.daemons import HEAD, RUN, root
from system.runs import WSGI

DAEMON = """
daemon = prefork.Daemon("NAME")

@daemon.plan
def plan():
    return [Web(0)]

@daemon.worker(Web)
def web(worker):
    worker.ready()
    say("ready", worker.key)
    worker.wait_draining()
"""


class Place:
    """Where daemons are found by name: a /run of the test's own for root, and a session's directory for others."""

    def __init__(self, start: Start) -> None:
        self.start = start
        (start.directory / "session").mkdir(mode=0o700)
        self._prefix: list[str] = []
        if root():
            script = "mount -t tmpfs -o mode=755 none /run && echo mounted && exec cat"
            holder = start.command("unshare", "-m", "sh", "-c", script, stdin=subprocess.PIPE)
            holder.expect("mounted")
            self._prefix = ["nsenter", "-t", str(holder.pid), "-m", "env", "-C"]

    def command(self, *command: str | Path, directory: str = "", **environment: str) -> Running:
        """Run a command there, in a directory below the test's own."""
        where = self.start.directory / directory
        prefix: list[str | Path] = [*self._prefix, where] if self._prefix else []
        environment["PWD"] = str(where)
        environment["XDG_RUNTIME_DIR"] = str(self.start.directory / "session")
        return self.start.command(*prefix, *command, env=environment, cwd=where)

    def says(self, *arguments: str, status: int = 0, directory: str = "", **environment: str) -> str:
        """Return what a `prefork` there has said."""
        running = self.command(PREFORK, *arguments, directory=directory, **environment)
        assert running.wait() == status, (running.out, running.err)
        return "\n".join(running.out + running.err)

    def listed(self) -> dict[str, dict[str, Any]]:
        """Return the records of `prefork list` by name; without daemons of other tests, which root sees elsewhere."""
        records = [json.loads(line) for line in self.says("list", "--json").splitlines()]
        top = str(self.start.directory)
        return {record["name"]: record for record in records if (record["directory"] or "").startswith(top)}

    def script(self, name: str) -> Running:
        """Run a daemon as a script, in a directory of its name; return it when it is ready."""
        place = self.start.directory / name
        place.mkdir()
        (place / "program.py").write_text(HEAD + DAEMON.replace("NAME", name) + RUN)
        running = self.command(sys.executable, "program.py", directory=name)
        running.expect("ready web/0")
        return running

    def run(self, directory: str, target: str) -> Running:
        """Start `prefork run` in a directory."""
        return self.command(PREFORK, "run", target, "-w", "1", "-b", "127.0.0.1:0", directory=directory)

    @staticmethod
    def ready(running: Running) -> str:
        """Return what an application says when it is ready."""
        return running.expect(": ready ", "err").string

    def application(self, directory: str, *arguments: str, file: str = "", **environment: str) -> Running:
        """Run an application in a directory, with a prefork.toml; return it when it is ready."""
        place = self.start.directory / directory
        place.mkdir()
        (place / "shop.py").write_text(WSGI)
        (place / "prefork.toml").write_text(file)
        bound = ("-w", "1", "-b", "127.0.0.1:0")
        running = self.command(PREFORK, "run", *arguments, *bound, directory=directory, **environment)
        self.ready(running)
        return running
