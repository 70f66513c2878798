"""Processes that watch files for a daemon, and report changes to the master."""

from __future__ import annotations

import os
from typing import Any

from ..._errors import UsageError
from .. import mold
from .sources import changes


def watch(path: Any) -> None:
    """Send Ready whenever the file at `path` changes. Never returns: it ends with its master.

    The directory is watched and not the file, since editors and deployments put a new file in its place.
    """
    for _ in _library().watch(
        os.path.dirname(path),
        watch_filter=lambda _, changed: changed == path,
        recursive=False,
        raise_interrupt=False,
        rust_timeout=0,  # No time limit: nothing wakes up until something changes.
        step=20,
        debounce=100,
    ):
        _own().send_ready()


def watch_sources(given: Any) -> None:
    """Send Edited, and write a line, whenever a Python file below one of the folders changes. Never returns.

    `given`: the folders, and the moment since which a change may have been missed (see `changes`).
    """
    folders, since = given
    for changed, at in changes(folders, since, _library(), _say):
        # By the folder's path: the current directory may have been replaced, and then has none.
        name = os.path.relpath(changed[0], next(each for each in folders if changed[0].startswith(each)))
        _say(f"{name}{f' and {len(changed) - 1} more' if len(changed) > 1 else ''} changed: reloading")
        _own().send_edited(at)


def _say(text: str) -> None:
    os.write(2, f"prefork: {text}\n".encode("utf-8", "backslashreplace"))


def _library() -> Any:
    try:
        import watchfiles
        from watchfiles._rust_notify import RustNotify
    except ImportError:
        raise UsageError("watching files needs watchfiles: pip install 'prefork[watch]'") from None
    watchfiles.RustNotify = RustNotify  # type: ignore[attr-defined] # Documented, and not re-exported.
    return watchfiles


def _own() -> mold.Mold:
    assert mold.own is not None
    return mold.own
