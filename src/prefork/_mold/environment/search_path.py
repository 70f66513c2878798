"""Where the application's program is searched for."""

from __future__ import annotations

import sys


def search_first(folder: str) -> None:
    """Let `sys.path` begin with the program's folder, instead of that of the mold's own module."""
    if not sys.flags.safe_path:
        sys.path[0] = folder
