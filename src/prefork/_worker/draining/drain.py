"""The request to drain, as descriptors that any thread and any event loop can wait for."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from functools import partial
from time import monotonic
from types import FrameType

from ..._linux import kernel

LONGEST_POLL = 2**31 - 1
"""Milliseconds, of which poll(2) takes an int."""


class Drain:
    """The request to drain: once it has come, `requested` is True and `descriptor` readable, for good.

    The master may cut a drain short: it sends the message, and the request once more. From then on `cut_short` is
    readable, too.

    A Python signal handler alone is not enough. It runs between two bytecodes: a signal that comes after the last of
    them and before the system call that waits does not interrupt the wait, and the handler does not run. So the
    interpreter's C handler writes the signal's number to a pipe as well (signal.set_wakeup_fd). A waiter watches both
    descriptors, and calls `poll` when it has woken:

    - `waker` is readable when a signal of any kind has come;
    - `descriptor`, an eventfd that is written and never read, wakes every other waiter, and so does `cut_short`. It is
      enough where an event loop has replaced this pipe by its own: that one runs the handler.

    The mold installs the handlers before the fork, so that all workers share the memory of this work. Only the process
    that has called `begin` takes the signal for a request. The mold, and children that the application forks later, end
    by the signal.
    """

    def __init__(self) -> None:
        self.requested = False
        self.orphaned = False
        """The master has died: no successor will take over this worker's backlog."""
        self.timeout = math.inf
        """Seconds from the request to the moment when the master kills this process."""
        self.deadline = self.cut_at = math.inf
        """That moment, and when to cut what is still in flight, so that the application ends before it, in order
        (time.monotonic)."""
        self.descriptor = self.waker = self.cut_short = -1
        self.lifeline = -1
        """The descriptor that keeps the signal for the master's death armed."""
        self.on_request: Callable[[], object] = _do_nothing
        """Called once, when the request comes."""
        self.read_messages: Callable[[], object] = _do_nothing
        """Called with each request, the first and all others: it calls `cut` where the master has sent this."""
        self._numbers: tuple[int, ...] = ()
        self._owner = 0
        self._former = -1
        self._begun = 0.0

    def catch(self, *numbers: int) -> None:
        """Take these signals for the request. Main thread only."""
        if not self._numbers:
            # A child that the application forks would write its signals to its parent's pipe. No Python function, which
            # would run after each fork: eight pages of each worker.
            os.register_at_fork(after_in_child=partial(signal.set_wakeup_fd, -1))
        self._numbers = numbers
        for number in numbers:
            signal.signal(number, self._handle)

    def ignore(self) -> None:
        """Ignore the signals from now on. Main thread only; for the very end of the process, by `atexit`.

        The interpreter's teardown restores the default handlers, and more than one signal comes: a worker whose drain
        takes no time has ended by the first one when the second would kill it, so that a clean end looks like a death.
        """
        for number in self._numbers:
            signal.signal(number, signal.SIG_IGN)

    def begin(self) -> None:
        """Make this process the one that drains. Main thread only. Raises OSError."""
        self.descriptor, self.cut_short = kernel.eventfd(), kernel.eventfd()
        self.waker, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._owner = os.getpid()
        self._former = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)

    def become_current(self) -> None:
        """Make this the drain of the worker that this process is: after rehearsals, which have drains of their own."""
        global current
        current = self

    def close(self) -> None:
        """Undo `begin` and `become_current`, and disarm the lifeline."""
        global current
        current = None
        signal.set_wakeup_fd(self._former, warn_on_full_buffer=False)
        for descriptor in (self.descriptor, self.cut_short, self.waker, self._wake, self.lifeline):
            os.close(descriptor)

    def poll(self) -> bool:
        """Read the signals that have come; return whether the request has. To be called after a wait."""
        try:
            come = os.read(self.waker, 65536)
        except BlockingIOError:
            come = b""
        if any(number in come for number in self._numbers):
            self.request()
        return self.requested

    def request(self) -> None:
        """Request the drain; a second call only reads what the master has sent."""
        if not self.requested:
            self._begun = monotonic()
            self.deadline = self._begun + self.timeout
            self.cut_at = self.deadline - last_part(self.timeout)
            self.requested = True
            kernel.add_to_eventfd(self.descriptor)
            self.on_request()
        # With the first one, too: Python runs one handler for two signals that come within a moment.
        self.read_messages()

    def drained(self) -> float:
        """Return the seconds since the request."""
        return monotonic() - self._begun

    def until_cut(self) -> float:
        """Return the seconds until `cut_at`; 0 when it has come."""
        return max(0.0, self.cut_at - monotonic())

    def cut(self, seconds: float) -> None:
        """Cut the drain now: the master kills this process in `seconds`."""
        now = monotonic()
        self.deadline, self.cut_at = min(self.deadline, now + seconds), min(self.cut_at, now)
        kernel.add_to_eventfd(self.cut_short)

    @property
    def should_exit(self) -> bool:
        """Whether the drain is requested, by the name that uvicorn's `Server` has for it.

        sse-starlette, which finds the server as the object of the SIGTERM handler, ends its streams by it.
        """
        return self.requested

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self._owner:
            self.request()
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def last_part(timeout: float) -> float:
    """Return the last seconds of a drain of `timeout` seconds, in which the application ends that was cut.

    A quarter, of which more than 5 s would be of no use; at least 1 s, which a busy machine needs, or else half of it.
    """
    return min(max(timeout / 4, min(1.0, timeout / 2)), 5.0)


current: Drain | None = None
"""The request of the worker that this process is."""


def _do_nothing() -> None:
    """The default of `on_request` and `read_messages`."""
