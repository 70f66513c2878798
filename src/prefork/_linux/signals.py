"""The master's signals, for the one loop that waits.

The handlers only note and wake. *Which* signals came is a set that they fill, since the wake-up pipe, into which Python
writes a byte for each signal, loses bytes in a storm.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType
from typing import Any

from .._errors import UsageError

NAMES = {number.value: number.name for number in signal.Signals}
"""Number -> name, such as `SIGTERM`."""

_FIRST = ("TERM", "INT", "QUIT", "HUP")
"""Of signals that came together, these are returned first, in this order: a stop makes a reload needless."""

_CAUGHT = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
_CAUGHT_IF_DEFAULT = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)
"""Each of these ends or stops a process by default; a program that has a handler of its own for one keeps it."""


class SignalInbox:
    """Catches the master's signals while it is entered; `wakeup` is readable when there is something to take."""

    def __init__(self) -> None:
        self.wakeup = -1
        self._came: set[str] = set()
        self._former: dict[int, Any] = {}
        self._write_end = -1
        self._former_wakeup = -1
        self._former_mask: set[int] = set()
        self._may_lose_terminal = False

    def __enter__(self) -> SignalInbox:
        self.wakeup, self._write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self._former_wakeup = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        except ValueError:
            os.close(self.wakeup)
            os.close(self._write_end)
            raise UsageError("a master must run in the main thread: only there can Python catch signals") from None
        # Under nohup (HUP ignored) the terminal may go away without being a reason to stop.
        self._may_lose_terminal = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _terminal() is None
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            # Inherited so, it makes the kernel reap children itself, and their exit status would be lost.
            self._former[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._former_mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        for number in _CAUGHT:
            self.catch(number)
        for number in _CAUGHT_IF_DEFAULT:
            if signal.getsignal(number) is signal.SIG_DFL:
                self.catch(number)
        return self

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._former_mask)
        self.restore()
        os.close(self.wakeup)
        os.close(self._write_end)

    def catch(self, number: int) -> None:
        """Note this signal, too, from now on."""
        self._former.setdefault(number, signal.signal(number, self._note))
        # The starting process may have blocked it for itself, as programs do that wait for signals in a thread.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])

    def regain(self) -> None:
        """Set the wake-up descriptor again, after code that may have run an event loop: asyncio's leaves none."""
        if signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False) != self._write_end and self._came:
            with suppress(BlockingIOError):  # Full: then it wakes.
                os.write(self._write_end, b"\0")

    def restore(self) -> None:
        """Restore the former handlers and wake-up descriptor: for a child that this process has forked."""
        for number, handler in self._former.items():
            # None: the handler was not set from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._former_wakeup)

    def take(self) -> Iterable[str]:
        """Return the names (`HUP`) of the signals that came since the last call, each once."""
        try:
            while os.read(self.wakeup, 4096):
                pass
        except BlockingIOError:
            pass  # Emptied; it is non-blocking for this.
        came, self._came = self._came, set()
        return sorted(came, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))

    def terminal_gone(self) -> bool:
        """Return whether the terminal that this process was started on no longer exists."""
        return self._may_lose_terminal and _terminal() == errno.ENXIO

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._came.add(signal.Signals(number).name.removeprefix("SIG"))


def _terminal() -> int | None:
    """Return None when there is a controlling terminal, else why it cannot be opened: ENXIO when it has gone."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno
    return None
