"""The file with the master's pid, for what knows daemons by such a file.

The master holds a lock on it (flock(2)), which ends with the process: so a file that a killed master has left is told
from that of a running one, whatever process has got the number since.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING

from ..._errors import SystemFailure
from ..paths import trust

if TYPE_CHECKING:
    from ..._wire.launch import MasterLaunch

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_MODE = 0o644
_LONGEST = 32
"""Bytes: a number, and what is around it. A longer file is another program's, or a document."""


class PidFile:
    """The pid file of a running master, from the beginning of the `with` block to its end; nothing without a path."""

    def __init__(self, launch: MasterLaunch) -> None:
        path = launch.options.pid_file
        self._path = None if path is None else os.path.abspath(path)
        self._foreign = launch.identity is not None
        self._descriptor = -1

    def __enter__(self) -> None:
        """Raises SystemFailure if the file cannot be written, or belongs to a running master or is none."""
        if self._path is None or self._descriptor >= 0:  # It is had already, from before an exec.
            return
        try:
            why = trust.why_redirectable(os.path.dirname(self._path)) if self._foreign else None
            if why is None:
                self._descriptor = _locked(self._path)
                _write(self._descriptor, f"{os.getpid()}\n".encode())
                return
        except OSError as error:
            why = "it is a symbolic link: name the file itself" if error.errno == errno.ELOOP else str(error.strerror)
        self._close()
        raise SystemFailure(f"cannot write the pid file {self._path}: {why}")

    def __exit__(self, *_: object) -> None:
        """Remove the file, unless another is at its place by now."""
        if self._path is not None:
            try:
                if _is_at(self._path, self._descriptor):
                    os.unlink(self._path)
            except OSError:
                pass  # Its directory is gone, or not writable any more: the next master replaces it.
            self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _locked(path: str) -> int:
    """Return a descriptor of the file that is locked by this process. Raises OSError."""
    while True:
        descriptor = os.open(path, _FLAGS, _MODE)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            found = os.pread(descriptor, _LONGEST + 1, 0)
            number = found.strip()
            if len(found) > _LONGEST or (number and not number.isdigit()):
                raise OSError(errno.EINVAL, "it has another content than a pid: give another path, or remove it")
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                text = f"it is that of the running daemon with pid {number.decode() or '?'}: stop that one first"
                raise OSError(errno.EWOULDBLOCK, text) from None
            if _is_at(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # Its owner has removed it meanwhile.


def _is_at(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _write(descriptor: int, text: bytes) -> None:
    """Write before the rest is cut off, so that no reader finds the file empty."""
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))
