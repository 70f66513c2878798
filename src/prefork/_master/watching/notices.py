"""Notices that the files which the master reads for workers have changed, and asks for a plan, which reads them again.

The kernel sends a signal when something changes in a directory on the way to one of them (F_NOTIFY of fcntl(2)): no
process and no wake-up while nothing does. Files are replaced in many ways: by a rename, by a new link, or by a link
above them that leads to another directory (Kubernetes' `..data`). So each directory is watched in which a name of the
path is looked up through a link, or which has the file itself.
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterable
from stat import S_ISDIR
from typing import TYPE_CHECKING

from ..._core.commands import Replan
from ..._core.events import CommandReceived
from ..paths import trust
from .contents import Files

if TYPE_CHECKING:
    from ..loop import Master

_F_SETSIG = 10  # <asm-generic/fcntl.h>; the fcntl module does not name it
_CHANGES = fcntl.DN_MODIFY | fcntl.DN_CREATE | fcntl.DN_DELETE | fcntl.DN_RENAME | fcntl.DN_ATTRIB | fcntl.DN_MULTISHOT
_SIGNAL = signal.SIGURG
"""SIGIO, the default, is for the runtime directory. This one is for urgent data, of which there is none here, and is
ignored where it is not expected."""

_SETTLED = 0.5
"""Seconds from a change to the look: a certificate and its key are written one after the other."""


class Watch:
    """Asks for a plan when what the files hold is no longer what was read last."""

    def __init__(self, master: Master, files: Files) -> None:
        self._master = master
        self._files = files
        self._watched: list[int] = []
        self._due = False
        self._refused = ""
        if files.paths:
            master.on_signal(_SIGNAL, self._look_soon)
            self._follow()

    def _follow(self) -> None:
        former, self._watched = self._watched, []
        for path in _directories(self._files.paths.values()):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                self._watched.append(descriptor)
                fcntl.fcntl(descriptor, _F_SETSIG, _SIGNAL)
                fcntl.fcntl(descriptor, fcntl.F_NOTIFY, _CHANGES)
            except OSError:
                pass  # It is gone for the moment, or a kernel or file system without this: a reload reads the files.
        for descriptor in former:
            os.close(descriptor)

    def _look_soon(self) -> None:
        if not self._due:
            self._due = True
            self._master.later(_SETTLED, self._look)

    def _look(self) -> None:
        self._due = False
        self._follow()  # Before the files are read: what changes from here on sends another signal.
        refused = ""
        try:
            changed = self._files.read() != self._files.latest
        except OSError as error:
            refused = str(error.strerror)
            changed = refused != self._refused
        self._refused = refused
        if changed:
            self._master.enqueue(CommandReceived(0, Replan(), "the watcher of certificates"))


def _directories(paths: Iterable[str]) -> set[str]:
    """Return the directories in which a change can be one of these files."""
    found: set[str] = set()
    for path in paths:
        try:
            found.update(os.path.dirname(step) for step, status in trust.steps_to(path) if not S_ISDIR(status.st_mode))
        except OSError as error:  # It is not there, for the moment.
            found.add(os.path.dirname(error.filename))
    return found
