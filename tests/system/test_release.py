"""A daemon behind a link that is switched to another release: each has code, interpreter and packages of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import sysconfig
from pathlib import Path

import msgspec
import pytest

import prefork
from support import PROOF, Running, Start, until
from system.places import Place

PACKAGES = str(Path(msgspec.__file__).parent.parent)

MAIN = """
import sys
import dependency

print("imported", RELEASE, dependency.RELEASE, sys.executable, sys.prefix, flush=True)

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"served"]
"""


class Releases:
    """Directories `releases/N` with a virtual environment in each, and a link `current` to one of them."""

    def __init__(self, start: Start) -> None:
        self.place = Place(start)
        self.top = start.directory
        self.current = self.top / "current"

    def make(self, number: int, interpreter: str = sys.executable) -> Path:
        """Make a release whose `prefork` names its interpreter by the real path, as pip writes it."""
        release = self.top / "releases" / str(number)
        release.mkdir(parents=True)
        (release / "main.py").write_text(MAIN.replace("RELEASE,", f"{number},", 1))
        if interpreter:
            self._environment(release / ".venv", number, interpreter)
        return release

    @staticmethod
    def _environment(place: Path, number: int, interpreter: str) -> None:
        """What `python -m venv` makes, without a process; other packages than prefork are those of the tests."""
        packages = place / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
        packages.mkdir(parents=True)
        (place / "bin").mkdir()
        (place / "bin" / "python").symlink_to(os.path.realpath(interpreter))
        home = os.path.dirname(os.path.realpath(interpreter))
        (place / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
        (packages / "others.pth").write_text(PACKAGES)
        (packages / "dependency.py").write_text(f"RELEASE = {number}\n")
        shutil.copytree(
            Path(prefork.__file__).parent, packages / "prefork", ignore=shutil.ignore_patterns("__pycache__")
        )
        script = place / "bin" / "prefork"
        script.write_text(f"#!{place}/bin/python\nfrom prefork.cli import main\nmain()\n")
        script.chmod(0o755)

    def switch(self, number: int) -> None:
        new = self.top / "new"
        new.symlink_to(f"releases/{number}")
        new.rename(self.current)

    def run(self, *command: str) -> Running:
        arguments = ("run", "main:app", "-w", "1", "--server", "waitress", "-b", "127.0.0.1:0")
        return self.place.command(*(command or (".venv/bin/prefork",)), *arguments, directory="current")

    def imported(self, running: Running, code: int, packages: int) -> None:
        """The next import was of this code, and with the packages of this release."""
        environment = f"{self.current}/.venv"
        running.expect(f"^imported {code} {packages} {re.escape(environment)}/bin/python {re.escape(environment)}$")


COMMANDS = [".venv/bin/prefork", ".venv/bin/python .venv/bin/prefork"]


@pytest.mark.parametrize("command", COMMANDS if PROOF else COMMANDS[1:])
def test_packages_follow_the_release(start: Start, command: str) -> None:
    releases = Releases(start)
    first = releases.make(1)
    releases.make(2)
    releases.switch(1)
    running = releases.run(*command.split())
    releases.imported(running, 1, 1)
    releases.place.ready(running)
    releases.switch(2)
    assert releases.place.says("reload", directory="current").startswith("reload: done (generation 2)")
    releases.imported(running, 2, 2)
    shutil.rmtree(first)
    (worker,) = (each["pid"] for each in workers(releases.place))
    os.kill(worker, signal.SIGKILL)
    until(lambda: {each["pid"] for each in workers(releases.place)} - {worker, None}, "a successor")
    assert releases.place.says("reload", directory="current").startswith("reload: done (generation 3)")
    releases.imported(running, 2, 2)
    assert releases.place.says("stop", directory="current").startswith("stopped")
    assert running.wait() == 0


def workers(place: Place) -> list[dict[str, int]]:
    return list(json.loads(place.says("status", "--json", directory="current"))["slots"])


def test_release_that_cannot_be_used_is_refused(start: Start) -> None:
    releases = Releases(start)
    releases.make(1)
    releases.make(2, interpreter="")
    other = releases.make(3)
    (messages,) = other.glob(".venv/lib/*/site-packages/prefork/_wire/messages.py")
    messages.write_text(messages.read_text().replace("    count: int\n", "    count: int\n    more: int = 0\n", 1))
    releases.switch(1)
    running = releases.run()
    releases.imported(running, 1, 1)
    releases.place.ready(running)
    releases.switch(2)
    told = releases.place.says("reload", status=1, directory="current")
    python = f"{releases.current}/.venv/bin/python"
    assert f"cannot execute {python}: No such file or directory: this release has no such interpreter" in told
    releases.switch(3)
    told = releases.place.says("reload", status=1, directory="current")
    assert "the running master is of another version than prefork in" in told
    assert "restart the daemon" in told
    assert releases.place.says("status", "--check", directory="current") == "1 slot served"
    releases.switch(1)
    assert releases.place.says("reload", directory="current").startswith("reload: done")
    releases.imported(running, 1, 1)
    assert running.stop() == 0
