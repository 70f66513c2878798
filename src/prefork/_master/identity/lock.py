"""The lock of a runtime directory: one running daemon has it, and its file names that one."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar

from ..._errors import SystemFailure, UsageError
from ..._records.record import record
from ..._wire.places import given_in
from ..._wire.printable import printable

_LOCK = "lock"
_TRIES = 20

_LONGEST = 4200
"""Bytes of a lock that are read: a pid, and a path of any length (PATH_MAX)."""


@record
class Noted:
    """A daemon as a lock names it: the directory that it was started in, and its master's pid (empty: unknown)."""

    name: str
    directory: str = ""
    pid: str = ""


class Lock:
    """The lock of a runtime directory, which one running daemon has from start to exit."""

    FILES: ClassVar[Sequence[str]] = ()
    """The other files that the daemon keeps there, but for its control socket."""

    def __init__(self, path: str, daemon: Noted) -> None:
        """Take the lock, and note `daemon` in it. Raises UsageError if a daemon has it; SystemFailure."""
        self.path = path
        self._daemon = daemon
        self.descriptor = _taken(path, daemon)

    @property
    def is_there(self) -> bool:
        """Whether the file was not removed."""
        return os.fstat(self.descriptor).st_nlink > 0

    def move(self, path: str) -> None:
        """Have the lock of the directory `path`, where it is not had already. Raises as `__init__`."""
        if path == self.path and self.is_there:
            return
        descriptor = _taken(path, self._daemon)
        os.close(self.descriptor)
        self.path, self.descriptor = path, descriptor

    def close(self) -> None:
        """Release the lock."""
        os.ftruncate(self.descriptor, 0)
        os.close(self.descriptor)

    def leave(self) -> None:
        """Release the lock, and remove the directory: at a clean end, without a process that the next start looks for.

        It stays if there is more in it, such as crash reports, or if a service manager has made it.
        """
        self._remove()
        self.close()

    def _remove(self) -> None:
        if self.path == os.path.abspath(given_in(os.environ) or os.sep):
            return
        try:
            if self.is_there and (there := set(os.listdir(self.path))) <= {*self.FILES, _LOCK}:
                # The lock last: another start may make its own from then on. One that has opened this file before finds
                # that it has no name any more.
                for each in *(there - {_LOCK}), _LOCK:
                    os.unlink(f"{self.path}/{each}")
                os.rmdir(self.path)
        except OSError:
            pass  # ENOTEMPTY: the next start was as fast. ENOENT: a sweeper was here. The next start uses what is left.


def _taken(path: str, daemon: Noted) -> int:
    """Return the lock's descriptor; make the directory again where the daemon before has just removed it."""
    try:
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):
                return _locked(path, daemon)
            with suppress(FileExistsError):
                os.mkdir(path, 0o700)
        return _locked(path, daemon)
    except OSError as error:
        raise not_writable(path, error) from None


def _locked(path: str, daemon: Noted) -> int:
    descriptor = os.open(f"{path}/{_LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.fstat(descriptor).st_nlink:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n{daemon.directory}\n".encode(errors="surrogateescape"), 0)
    except BlockingIOError:
        os.close(descriptor)
        raise UsageError(refusal(daemon, noted_in(path), path)) from None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def noted_in(path: str) -> Noted:
    """Return the daemon that the lock of this directory names, as far as this user may read it."""
    try:
        descriptor = os.open(f"{path}/lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return Noted(os.path.basename(path))
    with open(descriptor, "rb") as file:
        pid, directory = [*file.read(_LONGEST).decode(errors="replace").split("\n"), "", ""][:2]
    return Noted(os.path.basename(path), directory, pid)


def refusal(daemon: Noted, running: Noted, path: str, uid: int | None = None) -> str:
    """Return why a daemon is not started: `running` is. `path`: its runtime directory, empty if it is not known."""
    text = f"the daemon {running.name} is already running: pid {printable(running.pid) or 'unknown'}"
    if uid not in (None, os.geteuid()):
        text += f" of uid {uid}"
    if path:
        shown = printable(path)
        text += f" (runtime directory {shown}; `prefork status -n {shown}` shows it)"
    if running.directory and running.directory != daemon.directory:
        text += f", started in {printable(running.directory)}"
    elif uid in (None, os.geteuid()):
        return text
    return f"{text}; give this one another name, as in `prefork run --name NAME`"


def not_writable(path: str, error: OSError) -> SystemFailure:
    """Return the error about a runtime directory that cannot be used."""
    return SystemFailure(f"cannot write to the runtime directory {path}: {error.strerror}")
