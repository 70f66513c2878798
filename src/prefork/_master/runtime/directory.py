"""Where a daemon's runtime directory is."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..._errors import SystemFailure
from ..._wire.places import given_in, homes_in
from ..paths import trust


def directory_for(name: str, environ: Mapping[str, str]) -> str:
    """Return the runtime directory of the daemon of this name; create it, private to its owner, if it is missing.

    It is `$RUNTIME_DIRECTORY` (from a service manager), `/run/prefork/NAME` (for root, or if it exists and is ours),
    `$XDG_RUNTIME_DIR/prefork/NAME`, or one below /tmp, in that order. Raises SystemFailure if it cannot be created, or
    other users could replace it.
    """
    return made(os.path.abspath(given_in(environ) or _place_for(name, homes_in(environ))))


def made(path: str) -> str:
    """Return this runtime directory; create it if it is missing. Raises as `directory_for`."""
    try:
        trust.make(path)
        problem = trust.why_not_private(path)
    except OSError as error:
        raise SystemFailure(
            f"cannot create the runtime directory {path}: {error.strerror}; RUNTIME_DIRECTORY names another place"
        ) from None
    if problem is not None:
        raise SystemFailure(f"the runtime directory {path} is not private: {problem}")
    return path


def _place_for(name: str, homes: list[str]) -> str:
    first = f"{homes[0]}/{name}"
    try:
        ours = os.stat(first).st_uid == os.geteuid()
    except OSError:
        ours = False
    return first if ours or os.geteuid() == 0 else f"{homes[1]}/{name}"
