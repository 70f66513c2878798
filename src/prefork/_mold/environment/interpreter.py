"""What the log has of the interpreter: versions with a fault that a daemon suffers from."""

from __future__ import annotations

import sys


def known_faults(version: tuple[int, int, int] = sys.version_info[:3]) -> list[str]:
    """Return each fault of CPython `version`, with the remedy, as text for the log."""
    if (3, 14, 0) <= version < (3, 14, 5):
        found = ".".join(map(str, version))
        return [f"Python {found} frees garbage late, so that processes grow (a collector since withdrawn): use 3.14.5"]
    return []
