"""Deaths of children, told by pidfds; by SIGCHLD for those that have none (no kernel support, no descriptor left)."""

from __future__ import annotations

import ctypes
import os
import selectors
import signal

from .._core.events import ProcessExit
from .._errors import UsageError
from .._linux.signals import SignalInbox

_LOOK = os.WEXITED | os.WNOHANG | os.WNOWAIT
"""Neither wait nor reap: for waitid(2)."""


class ExitWatch:
    """Watches children that it was told of, and reaps those and no others: a program may run children of its own."""

    def __init__(self, selector: selectors.BaseSelector, signals: SignalInbox) -> None:
        self._selector = selector
        self._signals = signals
        self._pidfds: dict[int, int] = {}
        self._without_pidfd: set[int] = set()
        self._dead: list[int] = []
        self._leaders: set[int] = set()

    def watch(self, pid: int, *, leads_session: bool = False) -> None:
        """Report this child's end, even if it has ended already. Raises UsageError when it is no child of ours.

        `leads_session`: what is left of the session that it led is killed before it is reaped. Afterwards its number,
        and with it the group's, may be another's.
        """
        if self.watches(pid):
            return
        try:
            ended = os.waitid(os.P_PID, pid, _LOOK)
        except (ChildProcessError, OverflowError):
            raise UsageError(f"process {pid} is not a child of this process, so its end cannot be seen") from None
        if leads_session:
            self._leaders.add(pid)
        try:
            pidfd = os.pidfd_open(pid)
        except (AttributeError, OSError):
            self._signals.catch(signal.SIGCHLD)
            self._without_pidfd.add(pid)
            # It may have ended before SIGCHLD was caught, or between the look above and here.
            self._dead += [pid] if ended else self._ended_without_pidfd()
            return
        self._pidfds[pid] = pidfd
        self._selector.register(pidfd, selectors.EVENT_READ, lambda: self._dead.append(pid))

    def poll(self) -> None:
        """Look for ends that only SIGCHLD tells of; to be called when it came."""
        self._dead += self._ended_without_pidfd()

    def reap(self) -> tuple[ProcessExit, ...]:
        """Reap the children that have ended since the last call and tell how each did."""
        dead, self._dead = dict.fromkeys(self._dead), []
        # Not of a generator: such a tuple is a new one each time, and the interpreter hoards it when it is done with.
        return tuple([self._reaped(pid) for pid in dead])

    def has_news(self) -> bool:
        """Tell whether `reap` would return something."""
        return bool(self._dead)

    def watches(self, pid: int) -> bool:
        """Tell whether this is a watched child that has not been reaped."""
        return pid in self._pidfds or pid in self._without_pidfd

    def close(self) -> None:
        """Stop watching; nothing is reaped."""
        for pidfd in self._pidfds.values():
            self._selector.unregister(pidfd)
            os.close(pidfd)
        self._pidfds.clear()
        self._without_pidfd.clear()

    def _ended_without_pidfd(self) -> list[int]:
        return [pid for pid in self._without_pidfd if _has_ended(pid)]

    def _reaped(self, pid: int) -> ProcessExit:
        if pid in self._pidfds:
            pidfd = self._pidfds.pop(pid)
            self._selector.unregister(pidfd)
            os.close(pidfd)
        self._without_pidfd.discard(pid)
        if pid in self._leaders:
            self._leaders.discard(pid)
            try:
                os.killpg(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # It had left its group, or all that is left there runs as somebody else.
        try:
            _, status, usage = os.wait4(pid, 0)
        except ChildProcessError:  # Somebody else in this program waited for it first; how it ended is not to be had.
            return ProcessExit(pid, None)
        used = usage.ru_utime, usage.ru_stime, usage.ru_maxrss * 1024
        return ProcessExit(pid, os.waitstatus_to_exitcode(status), used)


def _has_ended(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, _LOOK) is not None
    except ChildProcessError:  # Somebody else in this program waited for it first.
        return True


class LeftoverProcesses:
    """Reaps strangers as they end, and ends those that are left when the daemon does."""

    def __init__(self, exits: ExitWatch) -> None:
        self._exits = exits
        self._look_again = False
        self._ended: set[int] = set()

    def reap(self) -> None:
        """Reap the strangers among the dead.

        waitid(2) shows one dead child at a time. If that is a watched one it hides the others until it has been reaped
        in its turn, so the rest is looked for then.
        """
        while (found := _dead_child()) is not None:
            if self._exits.watches(found):
                self._look_again = True
                return
            os.waitpid(found, 0)
            self._ended.discard(found)

    def reap_hidden(self) -> None:
        """Watched children have been reaped: what they hid can be seen."""
        if self._look_again:
            self._look_again = False
            self.reap()

    def kill_all(self) -> list[str]:
        """Kill every child that is left; return a line about each, the first time that it is met."""
        texts = []
        for pid in _children():
            if pid not in self._ended and not self._exits.watches(pid):
                self._ended.add(pid)
                if command := _command(pid):
                    texts.append(f"prefork: ended a stranger that a worker had left: pid {pid}, {command}")
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # It has ended by itself just now.
        self.reap()
        return texts

    def any_left(self) -> bool:
        """Tell whether there still is any child."""
        return bool(_children())


def _dead_child() -> int | None:
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:  # No CONFIG_PROC_CHILDREN: strangers cannot be found before they end.
        return []


def _command(pid: int) -> str:
    """Return a process's command line; nothing for one that has just ended."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").strip().decode("utf-8", "replace")
    except OSError:
        return ""


_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


def become_subreaper() -> None:
    """Be the parent of every descendant whose own parent dies. It survives exec; children do not inherit it.

    Raises OSError. The standard library has no prctl; loading ctypes costs the master about half a megabyte.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
