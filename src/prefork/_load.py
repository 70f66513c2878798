"""How a mold runs the application's program: as it would run anywhere, up to its daemon's `run()`."""

from __future__ import annotations

import importlib
import os
import runpy
import sys
from typing import Any

from ._errors import MisuseError
from .daemon import Daemon


def load(target: Any) -> None:
    """Run a `script`, a `module` or a `code`, or import a `target` such as `chat:daemon` and run what it names."""
    match target:
        case {"script": str(path)}:
            _look_in(os.path.dirname(os.path.abspath(path)))
            runpy.run_path(path, run_name="__main__")
        case {"module": str(name)}:
            _look_in(os.getcwd())
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        case {"code": str(code)}:
            _look_in("")
            exec(compile(code, "<string>", "exec"), vars(sys.modules["__main__"]))
        case {"target": str(name)}:
            _look_in(os.getcwd())
            find(name).run()
        case _:
            raise MisuseError(f"{target!r} is nothing that can be run")


def find(target: str) -> Daemon:
    """Import `module:attribute` and return the daemon that it names. Raises MisuseError where it is none."""
    module_name, _, attribute = target.partition(":")
    found: Any = importlib.import_module(module_name)
    for name in (attribute or "daemon").split("."):
        if not hasattr(found, name):
            raise MisuseError(f"the module {module_name} has no {attribute or 'daemon'}")
        found = getattr(found, name)
    if not isinstance(found, Daemon):
        raise MisuseError(f"{target} is a {type(found).__name__}, not a Daemon")
    return found


def _look_in(directory: str) -> None:
    """Make `sys.path` begin where the program's would: it begins where this mold's own module was looked for."""
    if not sys.flags.safe_path:
        sys.path[0] = directory
