"""A worker's exit: the interpreter ends normally, but from where it stands."""

from __future__ import annotations

import sys
from typing import NoReturn


def leave(status: int) -> NoReturn:
    """End this process by a normal interpreter exit, without leaving the blocks of code that surround the call.

    sys.exit() would unwind them, and in a forked process they are another one's: the first worker to end would remove
    the temporary directory that its mold has made `with TemporaryDirectory():`. os._exit() would skip what the exit
    owes: exit handlers, files that are flushed, finalizers. So Py_Exit, as CPython itself ends when it meets a
    SystemExit below frames of Python (PyErr_PrintEx).
    """
    try:
        import ctypes
    except ImportError:  # An interpreter built without it: the worker's own exit is worth more.
        sys.exit(status)
    ctypes.pythonapi.Py_Exit(status)
    raise SystemExit(status)
