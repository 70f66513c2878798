"""A daemon's runtime directory, its lock and its roster."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping

from ..._errors import SystemFailure, UsageError
from ..._wire.places import given_in, homes_in
from ..._wire.printable import printable
from ..paths import trust
from .roster import Roster

_NOTED = 4200
"""Bytes of a lock that are read: a pid, and a path of any length (PATH_MAX)."""


def directory_for(name: str, environ: Mapping[str, str]) -> str:
    """Return the runtime directory of the daemon of this name; create it, private to its owner, if it is missing.

    It is `$RUNTIME_DIRECTORY` (from a service manager), `/run/prefork/NAME` (for root, or if it exists and is ours),
    `$XDG_RUNTIME_DIR/prefork/NAME`, or one below /tmp, in that order. Raises SystemFailure if it cannot be created, or
    other users could replace it.
    """
    path = os.path.abspath(given_in(environ) or _place_for(name, homes_in(environ)))
    try:
        trust.make(path)
        problem = trust.why_not_private(path)
    except OSError as error:
        raise SystemFailure(f"cannot create the runtime directory {path}: {error.strerror}") from None
    if problem is not None:
        raise SystemFailure(f"the runtime directory {path} is not private: {problem}")
    return path


def _place_for(name: str, homes: list[str]) -> str:
    made = f"{homes[0]}/{name}"
    try:
        ours = os.stat(made).st_uid == os.geteuid()
    except OSError:
        ours = False
    return made if ours or os.geteuid() == 0 else f"{homes[1]}/{name}"


class Lock:
    """The lock of a runtime directory, which one running daemon has from start to exit."""

    def __init__(self, path: str, directory: str | None = None) -> None:
        """Take the lock, and note in it the `directory` that the daemon is started in.

        Raises UsageError if this daemon is already running; SystemFailure.
        """
        self.path = path
        self._directory = directory
        try:
            self._take()
        except OSError as error:
            raise _not_writable(path, error) from None

    def _take(self) -> None:
        self.descriptor = os.open(f"{self.path}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, directory = [*os.pread(self.descriptor, _NOTED, 0).decode(errors="replace").split("\n"), "", ""][:2]
            os.close(self.descriptor)
            raise UsageError(self._taken(pid, directory)) from None
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{os.getpid()}\n{self._directory or ''}\n".encode(errors="surrogateescape"), 0)

    def _taken(self, pid: str, directory: str) -> str:
        name = os.path.basename(self.path)
        text = f"the daemon {name} is already running: pid {pid or 'unknown'} (runtime directory {self.path})"
        if not directory or directory == self._directory:
            return text
        return f"{text}, started in {printable(directory)}; give this one another name, as in `prefork run --name NAME`"

    def close(self) -> None:
        """Release the lock."""
        os.ftruncate(self.descriptor, 0)
        os.close(self.descriptor)


class Runtime(Lock):
    """The runtime directory of a daemon whose workers outlive a killed master: with their roster."""

    def __init__(self, path: str, directory: str | None = None, say: Callable[[str], object] | None = None) -> None:
        """`say`: see `Roster`. Raises as `Lock`."""
        super().__init__(path, directory)
        try:
            self.roster = Roster(f"{path}/roster", say)
        except OSError as error:
            raise _not_writable(path, error) from None

    def close(self) -> None:
        """Release the lock."""
        super().close()
        self.roster.close()


def _not_writable(path: str, error: OSError) -> SystemFailure:
    """Return the error about a runtime directory that cannot be used."""
    return SystemFailure(f"cannot write to the runtime directory {path}: {error.strerror}")
