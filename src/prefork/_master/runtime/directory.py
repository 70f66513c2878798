"""A daemon's place in the file system: its runtime directory, the lock that makes it one, and its roster."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping

from ..._errors import SystemFailure, UsageError
from ..._wire.places import given_in, homes_in
from . import trust
from .roster import Roster


def directory_for(name: str, environ: Mapping[str, str]) -> str:
    """Return the runtime directory of the daemon of this name, made if need be, for its owner alone.

    It is `$RUNTIME_DIRECTORY` (from a service manager), `/run/prefork/NAME` (for root, or where somebody has made that
    for us), `$XDG_RUNTIME_DIR/prefork/NAME`, or one below /tmp, in that order. Raises SystemFailure where it cannot be
    made, or others could put another one in its place.
    """
    path = os.path.abspath(given_in(environ) or _place_for(name, homes_in(environ)))
    try:
        trust.make(path)
        why_not_private = trust.why_not_private(path)
    except OSError as error:
        raise SystemFailure(f"the runtime directory {path} cannot be made: {error.strerror}") from None
    if why_not_private is not None:
        raise SystemFailure(f"the runtime directory {path} is not ours alone: {why_not_private}")
    return path


def _place_for(name: str, homes: list[str]) -> str:
    made = f"{homes[0]}/{name}"
    try:
        ours = os.stat(made).st_uid == os.geteuid()
    except OSError:
        ours = False
    return made if ours or os.geteuid() == 0 else f"{homes[1]}/{name}"


class Runtime:
    """The runtime directory of one running daemon; held from start to end."""

    def __init__(self, path: str) -> None:
        """Take the lock. Raises UsageError, with the other's pid, if this daemon runs already; SystemFailure."""
        self.path = path
        try:
            self._take_lock()
            self.roster = Roster(f"{path}/roster")
        except OSError as error:
            raise SystemFailure(f"the runtime directory {path} cannot be written to: {error.strerror}") from None

    def _take_lock(self) -> None:
        self._lock = os.open(f"{self.path}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._lock)
            name = os.path.basename(self.path)
            raise UsageError(f"the daemon {name} runs already: pid {other} (runtime directory {self.path})") from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Give the lock back."""
        os.ftruncate(self._lock, 0)
        os.close(self._lock)
        self.roster.close()
