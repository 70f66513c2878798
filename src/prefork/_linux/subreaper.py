"""The parent of orphaned descendants: prctl(2), PR_SET_CHILD_SUBREAPER."""

from __future__ import annotations

import os

from .._errors import SystemFailure

_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


def become_subreaper() -> None:
    """Make this process the new parent of every descendant whose parent dies. Survives exec; not inherited.

    Raises SystemFailure. The standard library has no prctl, and ctypes costs half a megabyte, `threading` from Python
    3.14 on, and a descriptor that libffi keeps: the process that executes the master's program calls this, so that the
    master need not import it. A mold imports this module and never calls it.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise SystemFailure(f"the system refuses to make this process a subreaper, by prctl(2): {reason}")
