"""What a running daemon is found by: it stays, also when the files are removed.

A sweeper of /tmp or the end of a login session removes them while the daemon runs. The kernel sends a signal when
something is removed from the directory (F_NOTIFY of fcntl(2): inotify would need ctypes), so that an idle master sleeps
on.
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..._errors import PreforkError
from ..._wire.places import TOKEN, WORKERS
from ..identity.claim import Claim
from ..identity.lock import Lock, Noted, not_writable
from . import directory
from .roster import Roster

if TYPE_CHECKING:
    from ..._wire.launch import MasterLaunch
    from ..control.server import Control
    from ..loop import Master

_SETTLED = 0.2
"""Seconds from a removal to the look: files are rarely removed one by one."""

_PAUSE = 10.0
"""Seconds to the next try where no directory can be made."""


class Runtime(Lock):
    """The runtime directory of a daemon whose workers outlive a killed master: with their roster."""

    FILES = ("roster", TOKEN, *WORKERS)
    _claim: Claim | None = None
    moved: Callable[[], object] = staticmethod(lambda: None)
    """Called when the files were made again."""

    def __init__(self, path: str, daemon: Noted, log: Callable[[str], object] | None = None) -> None:
        """`log`: see `Roster`. Raises as `Lock`."""
        super().__init__(path, daemon)
        try:
            self.roster = Roster(f"{path}/roster", log)
        except OSError as error:
            raise not_writable(path, error) from None

    @classmethod
    def claimed(cls, launch: MasterLaunch, log: Callable[[str], object]) -> Runtime:
        """Return the runtime directory of this daemon, if no process runs it already. Raises as `Claim` and `Lock`."""
        daemon = Noted(launch.name, launch.directory or "")
        claim = Claim(daemon, launch.place, log)
        runtime = cls(directory.directory_for(launch.name, dict(os.environ)), daemon, log)
        runtime._claim = claim
        return runtime

    @property
    def is_there(self) -> bool:
        """Whether both files were not removed."""
        return super().is_there and self.roster.is_there

    def move(self, path: str) -> None:
        """See `Lock`."""
        moved = path != self.path or not self.roster.is_there
        super().move(path)
        if moved:
            self.roster.move(f"{path}/roster")
            self.moved()

    def close(self) -> None:
        """Release the lock."""
        super().close()
        self.roster.close()
        if self._claim is not None:
            self._claim.close()


class Presence:
    """Makes the files of a daemon's runtime directory again when they were removed; in another one if need be."""

    def __init__(self, master: Master, lock: Lock, control: Control) -> None:
        self._master = master
        self._lock = lock
        self._control = control
        self._watched: int | None = None
        self._closed = self._due = self._failed = False
        if signal.getsignal(signal.SIGIO) is signal.SIG_DFL:  # Else a program with hooks has another use for it.
            master.on_signal(signal.SIGIO, lambda: self._look_in(_SETTLED))
            self._watch()

    def close(self) -> None:
        """Stop watching."""
        self._closed = True
        self._unwatch()

    def descriptors(self) -> list[int]:
        """Return the descriptors that a fork of the master has no use for."""
        return [] if self._watched is None else [self._watched]

    def _watch(self) -> None:
        try:
            self._watched = os.open(self._lock.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
            fcntl.fcntl(self._watched, fcntl.F_NOTIFY, fcntl.DN_DELETE | fcntl.DN_RENAME | fcntl.DN_MULTISHOT)
        except OSError:
            pass  # A kernel without it: then the daemon is found again after its next start.

    def _unwatch(self) -> None:
        if self._watched is not None:
            os.close(self._watched)
            self._watched = None

    def _look_in(self, seconds: float) -> None:
        if not self._due:
            self._due = True
            self._master.later(seconds, self._look)

    def _look(self) -> None:
        self._due = False
        if self._closed or (self._lock.is_there and self._control.is_there):
            return
        former = self._lock.path
        try:
            try:
                self._move(directory.made(former))
            except (OSError, PreforkError):  # As after a logout: only root can make a session's directory.
                self._move(directory.directory_for(os.path.basename(former), {}))
        except (OSError, PreforkError) as error:
            self._log_failure(former, str(error))
            self._look_in(_PAUSE)
        else:
            where = "again there" if self._lock.path == former else f"in {self._lock.path}"
            self._master.relay.log(f"control: files of the runtime directory {former} were removed; made {where}")
            self._failed = False
            self._look_in(_SETTLED)  # Some may have been removed before the directory was watched.

    def _move(self, path: str) -> None:
        self._unwatch()
        self._lock.move(path)
        self._watch()
        self._control.move(path)

    def _log_failure(self, former: str, why: str) -> None:
        if not self._failed:
            self._failed = True
            self._master.relay.log(
                f"control: files of the runtime directory {former} were removed, and cannot be made again: {why}; "
                "no command reaches this daemon; retrying"
            )
