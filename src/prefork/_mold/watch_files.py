"""Processes that watch files for a daemon, and report changes to the master."""

from __future__ import annotations

import os
from typing import Any

from .._errors import UsageError
from . import mold


def watch(path: Any) -> None:
    """Send Ready whenever the file at `path` changes. Never returns: it ends with its master.

    The directory is watched and not the file, since editors and deployments put a new file in its place.
    """
    filter_ = lambda _, changed: changed == path  # noqa: E731 - It is of the library's type.
    for _ in _changes([os.path.dirname(path)], filter_, recursive=False):
        _own().send_ready()


def watch_sources(folders: Any) -> None:
    """Send Ready, and write a line, whenever a Python file below one of the folders changes. Never returns."""
    watchfiles = _library()
    for changes in _changes(folders, watchfiles.PythonFilter(), recursive=True):
        names = sorted({os.path.relpath(path) for _, path in changes})
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        os.write(2, f"prefork: {names[0]}{more} changed: reloading\n".encode("utf-8", "backslashreplace"))
        _own().send_ready()


def _changes(folders: list[str], filter_: Any, recursive: bool) -> Any:
    return _library().watch(
        *folders,
        watch_filter=filter_,
        recursive=recursive,
        raise_interrupt=False,
        rust_timeout=0,  # No time limit: nothing wakes up until something changes.
        step=20,
        debounce=100,
    )


def _library() -> Any:
    try:
        import watchfiles
    except ImportError:
        raise UsageError("watching files needs watchfiles: pip install 'prefork[watch]'") from None
    return watchfiles


def _own() -> mold.Mold:
    assert mold.own is not None
    return mold.own
