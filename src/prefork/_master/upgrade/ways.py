"""Which program takes the place of the master's: the interpreter, the entry, and the folder of setproctitle.

The interpreter of the next one is found by the name that was noted at the start: a link in it, such as `current`, may
lead to another release by now. (Never by /proc/self/exe, which an update has deleted.) The way back to the present one
is by real paths, noted when it starts: the link leads elsewhere then. `-I -S` and an explicit path: nothing of the
environment runs in a master.
"""

from __future__ import annotations

import os
import sys

from ..._records.record import record

ENTRY = "_master/resume.py"
"""The entry below the package's folder."""

_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


@record
class Way:
    """A program that can be the master's. `minor`: its Python's version (`3.12`); `release`: that of prefork."""

    python: str
    program: str
    libraries: str
    minor: str = ""
    release: str = ""

    def command(self, mode: str, *words: str) -> list[str]:
        """Return the command that runs the entry (`resume.py`) in a mode."""
        return [self.python, "-I", "-S", self.program, mode, self.libraries, *words]


def present(libraries: str) -> Way:
    """Return the way back to the program that runs now; to be called when it starts."""
    minor = ".".join(map(str, sys.version_info[:2]))
    real = os.path.realpath(libraries)
    return Way(os.path.realpath(sys.executable), os.path.join(_PACKAGE, ENTRY), real, minor, _release(real))


def _release(libraries: str) -> str:
    """Return the installed version of prefork, by the name of its metadata; empty where there is none."""
    for folder in os.path.dirname(_PACKAGE), libraries:
        for name in os.listdir(folder):
            if name.startswith("prefork-") and name.endswith(".dist-info"):
                return name.removeprefix("prefork-").removesuffix(".dist-info")
    return ""


FIND = f"""
import importlib.util, json, os, sys
def folder(name):
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        sys.exit(f"{{name}} is not installed for {{sys.executable}}")
    return os.path.dirname(spec.origin), spec.submodule_search_locations
package, _ = folder("prefork")
libraries, parts = folder("setproctitle")
program = os.path.join(package, "{ENTRY}")
if not os.path.exists(program):
    sys.exit(f"prefork in {{package}} is a version without an upgrade in place: stop and start the daemon")
print(json.dumps(dict(ok=True, program=program, libraries=os.path.dirname(libraries) if parts else libraries)))
"""
"""What the next interpreter runs, with its packages, to find the next program. Any version of Python can run it."""
