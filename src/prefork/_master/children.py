"""Deaths of children, told by pidfds; by SIGCHLD for those that have none (no kernel support, no descriptor left)."""

from __future__ import annotations

import os
import selectors
import signal

from .._core.events import ProcessExit
from .._errors import MisuseError
from .signals import SignalInbox

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
        """Report this child's end, even if it has ended already. Raises MisuseError when it is no child of ours.

        `leads_session`: what is left of the session that it led is killed before it is reaped. Afterwards its number,
        and with it the group's, may be another's.
        """
        if self.watches(pid):
            return
        try:
            ended = os.waitid(os.P_PID, pid, _LOOK)
        except (ChildProcessError, OverflowError):
            raise MisuseError(f"process {pid} is not a child of this process, so its end cannot be seen") from None
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

    def look(self) -> None:
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
