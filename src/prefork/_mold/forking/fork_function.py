"""A fork that no warning filter of the application can stop."""

from __future__ import annotations

import os
from collections.abc import Callable


def fork_function() -> Callable[[], int]:
    """Return os.fork, and where this process has threads, a function that does the same without its warning.

    CPython 3.12 and newer warn of threads in the parent, when the child is there already: by DeprecationWarning, which
    3.15 raises where the application has made errors of warnings. Which threads workers miss, the mold logs itself. A
    filter for a warning that does not come would cost each worker 50 kB.
    """
    try:
        threads = len(os.listdir("/proc/self/task"))
    except OSError:  # No descriptor is free.
        return _fork_quietly
    return os.fork if threads == 1 else _fork_quietly


def _fork_quietly() -> int:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
