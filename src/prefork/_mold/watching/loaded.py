"""Which modules this process has imported, and whether their files are still what was read."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from typing import Any

_FRESH = 2.0
"""Seconds. Bytecode is known by its source's size and time in whole seconds: after two saves within one second, an
import would use that of the first."""

_read: dict[str, tuple[float, int]] = {}
"""Path of a module -> time and size of its file when it was imported."""


def note() -> None:
    """Note the file of each module that is imported from now on."""
    original = SourceFileLoader.path_stats

    def path_stats(self: SourceFileLoader, path: str) -> Any:
        stats = original(self, path)  # It is called before the file is read.
        _read[path] = stats["mtime"], stats["size"]
        if time.time() - stats["mtime"] < _FRESH:
            raise OSError("no bytecode: neither read nor written")
        return stats

    SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign]


def outdated() -> Iterator[str]:
    """Yield the modules that have changed since they were imported."""
    for path, known in _read.items():
        try:
            found = os.stat(path)
        except OSError:
            yield path
        else:
            if (found.st_mtime, found.st_size) != known:
                yield path
