"""How a mold runs the application's program, up to its `run()`."""

from __future__ import annotations

import os
import runpy
import sys
from typing import Any

from .._errors import UsageError
from .._options.target import look_in
from . import mold
from .daemon_application import DaemonApplication


def load(target: Any) -> None:
    """Run a `script`, a `module` or a `code`, or what `prefork run` was given (`run`: see `_mold.run_target`)."""
    mold.adopt = DaemonApplication
    match target:
        case {"script": str(path)}:
            look_in(os.path.dirname(os.path.abspath(path)))
            runpy.run_path(path, run_name="__main__")
        case {"module": str(name)}:
            look_in(os.getcwd())
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        case {"code": str(code)}:
            look_in("")
            exec(compile(code, "<string>", "exec"), vars(sys.modules["__main__"]))
        case {"run": dict(started)}:
            from .run_target import run

            run(started)
        case _:
            raise UsageError(f"{target!r} is nothing that can be run")
