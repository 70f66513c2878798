"""The end of the interpreter of a worker that a mold has forked."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def leave(status: int, late: bool = False) -> NoReturn:
    """End this process by a normal interpreter exit, without leaving the blocks of code that surround the call.

    sys.exit() would unwind them, and in a forked process they belong to the mold: the first worker to end would remove
    the temporary directory that its mold has made `with TemporaryDirectory():`. os._exit() would skip exit handlers,
    the flush of files and finalizers. So Py_Exit, as CPython itself ends on a SystemExit below Python frames
    (PyErr_PrintEx).

    `late`: the master kills this process soon. Threads and exit handlers end as always, and the teardown of modules is
    left out, which takes a second for a large application on a busy machine.
    """
    if late:
        _leave_without_teardown(status)
    try:
        import ctypes
    except ImportError:  # An interpreter built without it: the exit handlers are worth more.
        sys.exit(status)
    ctypes.pythonapi.Py_Exit(status)
    raise SystemExit(status)


def _leave_without_teardown(status: int) -> NoReturn:
    """Do what Py_FinalizeEx does for an application, and end: as multiprocessing ends its processes."""
    import atexit
    import threading

    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in sys.stdout, sys.stderr:
        try:
            stream.flush()
        except Exception:
            pass  # Closed, full, or without a reader: a plain exit loses it, too.
    os._exit(status)
