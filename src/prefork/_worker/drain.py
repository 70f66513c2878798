"""The request to drain, as descriptors that any thread and any event loop can wait on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from types import FrameType


class Drain:
    """Not asked for yet; once asked for, `noticed` is True and `descriptor` readable, for good.

    A Python signal handler alone would not do. It runs between two bytecodes: for a signal that comes after
    the last of them and before the system call that waits, the wait is not interrupted and the handler does
    not run. So the interpreter's C handler writes the signal's number to a pipe as well
    (signal.set_wakeup_fd). Whoever waits watches both descriptors, and calls `look` when it has woken:

    - `waker` is readable when a signal has come, of whatever kind;
    - `descriptor`, an eventfd that is written and never read, tells every other waiter. It is enough where an
      event loop has put a pipe of its own in the place of ours: that one runs the handler.

    The handlers are installed before the fork, in the mold: it is work whose memory all workers then share.
    Only the process that has called `begin` takes the signal for a request. The others, which are the mold
    before it and the children that the application forks after it, end by the signal.
    """

    def __init__(self) -> None:
        self.requested = False
        self.orphaned = False
        """The master has died: the drain, when it comes, is the end of what it was told to do."""
        self.orphan_grace = 0.0
        """How long, in seconds, it then comes later, and may last."""
        self.descriptor = self.waker = -1
        self.lifeline = -1
        """What keeps the news of the master's death coming."""
        self.on_request: Callable[[], object] = _do_nothing
        """Called once, when it has been asked for."""
        self._numbers: tuple[int, ...] = ()
        self._owner = 0
        self._former = -1

    def catch(self, *numbers: int) -> None:
        """Let these signals ask for it. Main thread only."""
        once, self._numbers = bool(self._numbers), numbers
        for number in numbers:
            signal.signal(number, self._handle)
        if once:
            return
        # A child that the application forks would write what it is signalled to its parent's pipe. No function of
        # Python's, which would be run after each fork: eight pages of each worker.
        os.register_at_fork(after_in_child=partial(signal.set_wakeup_fd, -1))

    def begin(self) -> None:
        """From now on it is this process that drains. Main thread only. Raises OSError."""
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.waker, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._owner = os.getpid()
        self._former = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)

    def close(self) -> None:
        """Undo `begin`, and hear no more of the master."""
        signal.set_wakeup_fd(self._former, warn_on_full_buffer=False)
        for descriptor in (self.descriptor, self.waker, self._wake, self.lifeline):
            os.close(descriptor)

    def poll(self) -> bool:
        """Whether it has been asked for; to be called after a wait."""
        try:
            come = os.read(self.waker, 65536)
        except BlockingIOError:
            come = b""
        if any(number in come for number in self._numbers):
            self.request()
        return self.requested

    def request(self) -> None:
        """Ask for it; asking again does nothing."""
        if not self.requested:
            self.requested = True
            os.eventfd_write(self.descriptor, 1)
            self.on_request()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self._owner:
            self.request()
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def _do_nothing() -> None:
    """What most have to do about it."""
