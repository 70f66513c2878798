"""The process that orphaned descendants come to."""

from __future__ import annotations

import ctypes
import os

_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


def become() -> None:
    """Be the parent of every descendant whose own parent dies. It survives exec; children do not inherit it.

    Raises OSError. The standard library has no prctl; loading ctypes costs the master about half a megabyte.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
