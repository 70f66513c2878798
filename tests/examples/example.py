"""An example in a test: a copy of its folder, started as its README says."""

from __future__ import annotations

import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from support import Running, Start, children
from system.daemons import free_port, title
from system.runs import PREFORK

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


class Example:
    """A copy of an example's folder, and what runs there. `PORT` in `environment` stands for a free port."""

    def __init__(self, start: Start, name: str, **environment: str) -> None:
        self.start = start
        self.folder = start.directory / name
        shutil.copytree(EXAMPLES / name, self.folder, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite*"))
        self.readme = (self.folder / "README.md").read_text()
        self.port = free_port()
        self.environment = {
            "RUNTIME_DIRECTORY": str(start.directory / "runtime"),
            **{name: value.replace("PORT", str(self.port)) for name, value in environment.items()},
        }
        self.generation = 1
        self.running: Running

    def command(self, line: str) -> Running:
        """Start a command of the README, which has to stand there."""
        assert f"\n    {line}" in self.readme, f"the README says nothing of: {line}"
        words = line.replace(":8000", f":{self.port}").split()
        words[0] = {"python": sys.executable, "prefork": str(PREFORK)}[words[0]]
        return self.start.command(*words, cwd=self.folder, env=self.environment)

    def run(self, line: str, *more: str) -> Example:
        """Start the daemon by this command, and wait until it serves; `more` are options of the test's own."""
        if line.startswith("prefork ") and not PREFORK.exists():
            pytest.skip(f"prefork is not installed beside {sys.executable}")
        if more:
            self.readme += f"\n    {line} {' '.join(more)}"
            line = f"{line} {' '.join(more)}"
        self.running = self.command(line)
        if line.startswith("prefork "):
            self.running.expect(r"^prefork: \S+: ready ", "err")
        return self

    def reload(self) -> None:
        """Reload, and wait until every worker that serves is new."""
        self.generation += 1
        self.running.send(signal.SIGHUP)
        # On a busy machine an old worker may end after the two seconds for which a reload waits.
        self.running.expect(rf"^reload: done \(generation {self.generation}\)(; still draining: \d+)?$", "err")

    def workers(self, kind: str) -> dict[str, int]:
        """Return the pids of the workers of a kind by their key."""
        found = {}
        for pid in children(self.running.pid):
            if match := re.match(rf"prefork: ({kind}\S*) g\d+ ", title(pid)):
                found[match[1]] = pid
        return found

    def edit(self, name: str, old: str, new: str) -> None:
        """Change what stands in one of its files."""
        text = (self.folder / name).read_text()
        assert old in text
        (self.folder / name).write_text(text.replace(old, new))

    def stop(self) -> int:
        return self.running.stop()
