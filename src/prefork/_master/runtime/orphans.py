"""Orphans: workers of a dead master, found in the roster, watched, and ended here. The core decides when."""

from __future__ import annotations

import os
import selectors
import signal
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..._core.events import OrphanEnded, OrphansFound
from ..._linux.drain_request import signals_for
from ..._linux.proc_stat import started_at
from .roster import Roster

if TYPE_CHECKING:
    from ..loop import Master

_POLL = 0.2
"""Seconds between two looks at the orphans, where the kernel or the interpreter has no pidfds."""


class Orphans:
    """The processes of previous masters that still run.

    They are no children of this master: it learns by a pidfd that one has ended, and checks before each signal that the
    pid is still that process's.
    """

    def __init__(self, roster: Roster, master: Master, ended: Callable[[], None]) -> None:
        """Enqueue `OrphansFound` if there are any. `ended` is called at each end."""
        self._roster = roster
        self._master = master
        self._on_end = ended
        self._survivors = roster.survivors()
        self._pidfds: dict[int, int] = {}
        # Before all else: from now on they serve until this master is ready.
        self._lifelines = self._open_lifelines()
        if self._survivors:
            master.enqueue(OrphansFound({pid: found.drain_timeout for pid, found in self._survivors.items()}))
            for pid in self._survivors:
                self._watch(pid)
            if len(self._pidfds) < len(self._survivors):
                master.later(0, self._look)

    def __len__(self) -> int:
        return len(self._survivors)

    def drain(self, pid: int) -> None:
        """Ask one to drain, also if it is stopped."""
        for number in (*signals_for(pid), signal.SIGCONT):
            self._send(pid, number)

    def kill(self, pid: int) -> None:
        """Kill the whole session that one leads."""
        self._send(pid, signal.SIGKILL)

    def close(self) -> None:
        """Stop watching."""
        for pid in list(self._pidfds):
            self._forget(pid)
        self._survivors.clear()
        for writer in self._lifelines:
            os.close(writer)

    def _open_lifelines(self) -> list[int]:
        """Return the write ends of the pipes that they hold: one for each dead master."""
        opened: dict[int, int] = {}
        for pid, found in self._survivors.items():
            if found.lifeline not in opened:
                writer = _open_again(pid, found.lifeline)
                if writer is not None:  # Otherwise they serve for their grace.
                    opened[found.lifeline] = writer
        return list(opened.values())

    def _watch(self, pid: int) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except (AttributeError, OSError):
            return  # Not supported, descriptors exhausted, or it has ended since: `_look` finds its end.
        self._pidfds[pid] = pidfd
        self._master.selector.register(pidfd, selectors.EVENT_READ, lambda: self._ended(pid))
        if not self._runs(pid):  # It had ended before, and this is another process.
            self._forget(pid)

    def _look(self) -> None:
        """Find the ends of those without a pidfd."""
        for pid in self._survivors.keys() - self._pidfds.keys():
            if not self._runs(pid):
                self._ended(pid)
        if self._survivors.keys() - self._pidfds.keys():
            self._master.later(_POLL, self._look)

    def _runs(self, pid: int) -> bool:
        found = self._survivors.get(pid)
        return found is not None and started_at(pid) == found.started

    def _ended(self, pid: int) -> None:
        self._forget(pid)
        if self._survivors.pop(pid, None) is not None:
            self._roster.survivor_ended(pid)
            self._on_end()
            self._master.enqueue(OrphanEnded(pid))

    def _forget(self, pid: int) -> None:
        if (pidfd := self._pidfds.pop(pid, None)) is not None:
            self._master.selector.unregister(pidfd)
            os.close(pidfd)

    def _send(self, pid: int, number: int) -> None:
        if not self._runs(pid):
            return  # Its end is about to be found.
        try:
            if number == signal.SIGKILL and os.getpgid(pid) == pid:
                os.killpg(pid, number)
            else:
                os.kill(pid, number)
        except ProcessLookupError:
            pass  # It has ended since the check.
        except PermissionError:
            self._master.relay.log(f"orphans: cannot signal a worker of a previous master, of another user (pid {pid})")
            self._ended(pid)


def _open_again(pid: int, pipe: int) -> int | None:
    """Open the write end of the pipe with this inode, which process `pid` holds; None where that is impossible."""
    try:
        held = [f"/proc/{pid}/fd/{number}" for number in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return None
    for path in held:
        try:
            if os.readlink(path) != f"pipe:[{pipe}]":
                continue
            writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue  # It has just been closed.
        found = os.fstat(writer)
        if stat.S_ISFIFO(found.st_mode) and found.st_ino == pipe:
            return writer
        os.close(writer)  # The process has exchanged it meanwhile.
    return None
