"""What the log has of the interpreter: versions with a fault that a daemon suffers from, and builds not tested."""

from __future__ import annotations

import sys


def remarks(
    version: tuple[int, int, int] = sys.version_info[:3], free_threaded: bool = "t" in sys.abiflags
) -> list[str]:
    """Return what is to be known of a build of CPython, with the remedy where there is one, as text for the log."""
    found, name = list[str](), "Python " + ".".join(map(str, version))
    if (3, 14, 0) <= version < (3, 14, 5):
        found.append(f"{name} frees garbage late, so that processes grow (a collector since withdrawn): use 3.14.5")
    if free_threaded:
        found.append(f"{name} is a free-threaded build: prefork is not tested on it, share='immortal' is impossible")
    return found
