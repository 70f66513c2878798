"""Processes that the master adopted without having ordered them: what workers left behind when they ended."""

from __future__ import annotations

import os
import signal

from .exits import ExitWatch


class Strangers:
    """Reaps strangers as they end, and ends those that are left when the daemon does."""

    def __init__(self, exits: ExitWatch) -> None:
        self._exits = exits
        self._look_again = False
        self._ended: set[int] = set()

    def look(self) -> None:
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

    def reaped(self) -> None:
        """Watched children have been reaped: what they hid can be seen."""
        if self._look_again:
            self._look_again = False
            self.look()

    def end_all(self) -> list[str]:
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
        self.look()
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
