"""The process that watches a daemon's configuration: a child of the master, that says when the file has changed."""

from __future__ import annotations

import os
from typing import Any

from ._errors import MisuseError
from ._linux import mold


def watch(path: Any) -> None:
    """Say so whenever the file at `path` changes. Never returns: it ends with its master.

    The directory is watched and not the file, since editors and deployments put a new file in its place.
    """
    try:
        import watchfiles
    except ImportError:
        raise MisuseError("watching the configuration needs watchfiles: pip install 'prefork[watch]'") from None
    own = mold.own
    assert own is not None
    changes = watchfiles.watch(
        os.path.dirname(path),
        watch_filter=lambda _, changed: changed == path,
        recursive=False,
        raise_interrupt=False,
        rust_timeout=0,  # No time limit: nothing wakes up until something changes.
        step=20,
        debounce=100,
    )
    for _ in changes:
        own.tell_ready()
