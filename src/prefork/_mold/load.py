"""How a mold runs the application's program, up to its `run()`.

`_mold.program` calls `load` by `Mold.run`; the program's `run()` finds `mold.own` and calls `Mold.serve`.
"""

from __future__ import annotations

import os
import runpy
import sys
from typing import Any

from .._errors import UsageError
from . import mold
from .daemon_application import DaemonApplication
from .environment.search_path import search_first


def load(target: Any) -> None:
    """Run a `script`, a `module` or a `code`, or the target of `prefork run` (`run`: see `_mold.run_target`)."""
    assert mold.own is not None
    mold.adopt = DaemonApplication
    mold.own.awaits_run = True
    match target:
        case {"script": str(path)}:
            search_first(os.path.dirname(os.path.abspath(path)))
            runpy.run_path(path, run_name="__main__")
        case {"module": str(name)}:
            search_first(os.getcwd())
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        case {"code": str(code)}:
            search_first("")
            exec(compile(code, "<string>", "exec"), vars(sys.modules["__main__"]))
        case {"run": dict(started)}:
            from .run_target import run

            mold.own.awaits_run = False  # The target is imported, and served from there.
            run(started)
        case _:
            raise UsageError(f"{target!r} cannot be run")
