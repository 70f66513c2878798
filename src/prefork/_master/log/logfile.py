"""A log file: opened by name, and opened again when it has been rotated."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from .._errors import WorldError

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_MODE = 0o640


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file by its path.

    `group`: where the master is root and the application is not, the group that may read a file which we make.
    """

    path: str
    group: int | None = None

    def open(self) -> int:
        """Return a descriptor that appends to it. Raises WorldError, which says why it cannot be.

        Where root writes for others the last part of the path may not be a symbolic link: whoever could make one there
        would choose what root writes to.
        """
        flags = _FLAGS if self.group is None else _FLAGS | os.O_NOFOLLOW
        try:
            try:
                descriptor = os.open(self.path, flags)
            except FileNotFoundError:
                descriptor = os.open(self.path, flags | os.O_CREAT, _MODE)
                if self.group is not None:
                    os.fchown(descriptor, -1, self.group)
        except OSError as error:
            why = "root follows no symbolic link there" if error.errno == errno.ELOOP else error.strerror
            raise WorldError(f"the log file {self.path} cannot be opened to write: {why}") from None
        return descriptor
