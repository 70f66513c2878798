"""Exits of children, by pidfds or SIGCHLD."""

from __future__ import annotations

import os
import selectors
import signal

from .._core.events import ProcessExit
from .._errors import UsageError
from .._linux.kernel import P_PIDFD
from .._linux.others import process
from .._linux.proc_stat import started_at
from .._linux.signals import SignalInbox
from .._wire.printable import printable

_PEEK = os.WEXITED | os.WNOHANG | os.WNOWAIT
"""Options of waitid(2): neither wait nor reap."""


_LONGEST = 500
"""Bytes of a command line that are logged: any process may choose its own."""


class ExitWatch:
    """Watches given children and reaps only those: a program may have children of its own."""

    def __init__(self, selector: selectors.BaseSelector, signals: SignalInbox) -> None:
        self._selector = selector
        self._signals = signals
        self._pidfds: dict[int, int] = {}
        self._without_pidfd: set[int] = set()
        self._dead: list[int] = []
        self._leaders: set[int] = set()
        self._others: set[int] = set()

    def watch(self, pid: int, *, leads_session: bool = False) -> None:
        """Report this child's exit, even if it has exited already. Raises UsageError if it is no child of ours.

        `leads_session`: the rest of its session is killed before it is reaped; afterwards its pid, and with it the
        number of the group, may be reused.
        """
        if self.watches(pid):
            return
        try:
            ended = os.waitid(os.P_PID, pid, _PEEK)
        except (ChildProcessError, OverflowError):
            raise UsageError(f"process {pid} is not a child of this process: its exit cannot be watched") from None
        if leads_session:
            self._leaders.add(pid)
        try:
            pidfd = os.pidfd_open(pid)
        except (AttributeError, OSError):
            self._signals.catch(signal.SIGCHLD)
            self._without_pidfd.add(pid)
            # It may have exited before SIGCHLD was caught, or since the waitid above.
            self._dead += [pid] if ended else self._ended_without_pidfd()
            return
        self._pidfds[pid] = pidfd
        self._selector.register(pidfd, selectors.EVENT_READ, lambda: self._dead.append(pid))

    def watch_other(self, pid: int, started: int) -> bool:
        """Report the exit of a process that is no child, and leads a session; return False if it has ended.

        `started`: when it started (`proc_stat`). Another process may have its number by now, and must not be killed.
        """
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return False
        if started_at(pid) != started:
            os.close(pidfd)
            return False
        self.watch_by(pid, pidfd)
        return True

    def watch_by(self, pid: int, pidfd: int) -> None:
        """Report the exit of a process that is no child, by its pidfd, which belongs to this object from now on."""
        self._pidfds[pid] = pidfd
        self._others.add(pid)
        self._selector.register(pidfd, selectors.EVENT_READ, lambda: self._dead.append(pid))

    def ended_unseen(self, pid: int) -> None:
        """Report the exit of a process that ended before it was watched."""
        self._dead.append(pid)

    def poll(self) -> None:
        """Find the exits of children without a pidfd; to be called on SIGCHLD."""
        self._dead += self._ended_without_pidfd()

    def reap(self) -> tuple[ProcessExit, ...]:
        """Reap the children that have exited since the last call; return how each did."""
        dead, self._dead = dict.fromkeys(self._dead), []
        # Not of a generator: such a tuple is resized, and the interpreter keeps each one in a free list.
        return tuple([self._reaped(pid) for pid in dead])

    def has_news(self) -> bool:
        """Return whether `reap` would return something."""
        return bool(self._dead)

    def watches(self, pid: int) -> bool:
        """Return whether this is a watched child that has not been reaped."""
        return pid in self._pidfds or pid in self._without_pidfd

    def holds(self, pid: int) -> bool:
        """Return whether this is a watched child, by the kernel's word: then its number is no other process's."""
        if not self.watches(pid):
            return False
        pidfd = self._pidfds.get(pid)
        if pid in self._others:
            return _is_there(self._pidfds[pid])
        try:
            os.waitid(os.P_PID if pidfd is None else P_PIDFD, pid if pidfd is None else pidfd, _PEEK)
        except ChildProcessError:  # Other code in this program reaped it.
            return False
        return True

    def signal(self, pid: int, number: int) -> None:
        """Send a signal to a watched child, by its pidfd if there is one; nothing if it has been reaped."""
        try:
            if (pidfd := self._pidfds.get(pid)) is not None:
                signal.pidfd_send_signal(pidfd, number)
            elif pid in self._without_pidfd:
                os.kill(pid, number)
        except ProcessLookupError:
            pass  # Other code in this program reaped it.

    def kill_group(self, pid: int) -> None:
        """Kill the group that a watched process leads, which is there."""
        if pid in self._others:
            process.kill_group(pid, self._pidfds[pid])
            return
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # It has left the group that it led at birth, and no other process is in it.

    def close(self) -> None:
        """Stop watching, without reaping."""
        for pidfd in self._pidfds.values():
            self._selector.unregister(pidfd)
            os.close(pidfd)
        self._pidfds.clear()
        self._without_pidfd.clear()

    def _ended_without_pidfd(self) -> list[int]:
        return [pid for pid in self._without_pidfd if _has_ended(pid)]

    def _reaped_other(self, pid: int) -> ProcessExit:
        self._others.discard(pid)
        pidfd = self._pidfds.pop(pid)
        self._selector.unregister(pidfd)
        process.kill_group(pid, pidfd)
        status = process.status(pid, pidfd)
        os.close(pidfd)
        return ProcessExit(pid, status)

    def _reaped(self, pid: int) -> ProcessExit:
        if pid in self._others:
            return self._reaped_other(pid)
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
                pass  # It has left its group, or the rest of the group runs as another user.
        try:
            _, status, usage = os.wait4(pid, 0)
        except ChildProcessError:  # Other code in this program reaped it first: its exit status is unknown.
            return ProcessExit(pid, None)
        used = usage.ru_utime, usage.ru_stime, usage.ru_maxrss * 1024
        return ProcessExit(pid, os.waitstatus_to_exitcode(status), used)


def _is_there(pidfd: int) -> bool:
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _has_ended(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, _PEEK) is not None
    except ChildProcessError:  # Other code in this program reaped it first.
        return True


SPARE = "prefork: spare "
"""How the title of a process begins that waits for an order."""


class LeftoverProcesses:
    """Leftover processes: descendants whose parents died. Reaps them, and kills the rest when the daemon stops."""

    def __init__(self, exits: ExitWatch) -> None:
        self._exits = exits
        self._hidden = False
        self._ended: set[int] = set()

    def reap(self) -> None:
        """Reap the leftover processes that have exited.

        waitid(2) shows one dead child at a time. A watched one hides the others until it has been reaped; then
        `reap_hidden` finds the rest.
        """
        while (found := _dead_child()) is not None:
            if self._exits.watches(found):
                self._hidden = True
                return
            os.waitpid(found, 0)
            self._ended.discard(found)

    def reap_hidden(self) -> None:
        """Reap what the watched children hid; to be called once these are reaped."""
        if self._hidden:
            self._hidden = False
            self.reap()

    def kill_all(self) -> list[str]:
        """Kill every remaining child; return a line about each at its first kill."""
        texts = []
        for pid in child_pids():
            if pid not in self._ended and not self._exits.watches(pid):
                self._ended.add(pid)
                # A spare whose birth came between the request to stop and the end of its mold ends by itself.
                if (command := _command(pid)) and not command.startswith(SPARE):
                    texts.append(f"leftover process: killed (pid {pid}): {command}")
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # It has just exited by itself.
        self.reap()
        return texts

    def any_left(self) -> bool:
        """Return whether any child is left."""
        return bool(child_pids())


def _dead_child() -> int | None:
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid


def child_pids() -> list[int]:
    """Return the children of this process, living or dead."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:  # No CONFIG_PROC_CHILDREN: leftover processes cannot be found before they exit.
        return []


def _command(pid: int) -> str:
    """Return a process's command line; empty if it has just exited."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return printable(file.read(_LONGEST).replace(b"\0", b" ").strip().decode("utf-8", "replace"))
    except OSError:
        return ""
