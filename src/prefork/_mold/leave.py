"""The end of a mold, and of a worker that it has forked."""

from __future__ import annotations

import atexit
import os
import sys
import traceback
from typing import NoReturn

from .._worker import sharing


def leave(status: int) -> NoReturn:
    """End this process: do what an interpreter's exit does for an application, without the teardown of modules.

    Threads that are no daemons end, exit handlers run, files are flushed and objects finalized (see `_worker.finish`).
    In a worker sys.exit() would leave the blocks of code that surround the call, and they belong to the mold: the first
    worker to end would remove the temporary directory that its mold has made `with TemporaryDirectory():`.
    """
    if (threading := sys.modules.get("threading")) is not None:
        try:
            threading._shutdown()
        except BaseException:  # A signal handler of the application's raises.
            traceback.print_exc()
    atexit._run_exitfuncs()
    sharing.at_exit()
    _flush_c()
    os._exit(status)


def _flush_c() -> None:
    """Write what extensions have printed by printf() of C, which os._exit() would drop."""
    try:
        import ctypes
    except ImportError:  # An interpreter built without it: these buffers are lost.
        return
    ctypes.pythonapi.fflush(None)
