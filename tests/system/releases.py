"""Releases in tests: directories with code and a virtual environment each, behind a link `current`."""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from pathlib import Path

import msgspec

import prefork
from support import Running, Start
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
        # With its compiled modules: no process of a test writes any, so each would compile all that it imports.
        shutil.copytree(Path(prefork.__file__).parent, packages / "prefork")
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
