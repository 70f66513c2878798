"""The master: one thread, and the one loop that waits.

It turns what the kernel says (a signal, a child's end, a descriptor that is ready, a deadline) into events, tells them
to a decider, and carries out the actions that come back. It decides nothing.
"""

from __future__ import annotations

import os
import selectors
import signal
from collections import deque
from time import monotonic
from typing import assert_never

from .._core.actions import Action, Exit, Report, SendSignal, Watch
from .._core.decider import Decider
from .._core.events import DeadlinePassed, Event, ProcessesExited, SignalReceived, Started
from .._errors import PreforkError
from .exits import ExitWatch
from .relay import Relay
from .signals import SignalInbox

_LAST_WORDS = 2.0
"""How long, in seconds, a reader that has stalled may keep a finished master from leaving."""


class Master:
    """The loop and the kernel objects that it waits on. Entered once, run once.

    Whatever else is to be waited for is registered with `selector`, with a function that is called when it is ready;
    such functions never block, and say what they found by `tell`.
    """

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self._signals = SignalInbox()
        self._exits = ExitWatch(self.selector, self._signals)
        self._events: deque[Event] = deque()
        self._status: int | None = None
        self._leave_by = 0.0

    def __enter__(self) -> Master:
        _hold_standard_descriptors()
        self.relay = Relay(self.selector)
        self._signals.__enter__()
        self.selector.register(self._signals.wakeup, selectors.EVENT_READ, self._take_signals)
        return self

    def __exit__(self, *_: object) -> None:
        self.selector.unregister(self._signals.wakeup)
        self._signals.__exit__()
        self._exits.close()
        self.relay.close()
        self.selector.close()

    def tell(self, event: Event) -> None:
        """Take note of an event; the decider hears of it in this turn of the loop."""
        self._events.append(event)

    def run(self, decider: Decider) -> int:
        """Serve the decider until it says `Exit`; return the status that it named."""
        self.tell(Started())
        self._decide(decider)
        while self._status is None or (not self.relay.idle and monotonic() < self._leave_by):
            self._turn(decider)
        return self._status

    def _turn(self, decider: Decider) -> None:
        deadline = decider.next_deadline() if self._status is None else self._leave_by
        for key, _ in self.selector.select(self._patience(deadline)):
            key.data()
        exits = self._exits.reap()
        for ended in exits:
            self.relay.ended(ended.pid)
        if exits:
            self.tell(ProcessesExited(exits))
        if deadline is not None and monotonic() >= deadline:
            self.tell(DeadlinePassed())
        self._decide(decider)

    def _patience(self, deadline: float | None) -> float | None:
        if self._exits.has_news():
            return 0
        return None if deadline is None else max(0, deadline - monotonic())

    def _decide(self, decider: Decider) -> None:
        while self._events and self._status is None:
            for action in decider.handle(self._events.popleft(), monotonic()):
                self._perform(action)

    def _perform(self, action: Action) -> None:
        match action:
            case Watch(pid):
                try:
                    self._exits.watch(pid)
                except PreforkError as error:
                    self.relay.say(f"prefork: {error}")
            case SendSignal(pid, name):
                if pid in self._exits.pids():  # Otherwise it has been reaped, and the number may be another's.
                    os.kill(pid, signal.Signals[f"SIG{name}"])
            case Report(text):
                self.relay.say(text)
            case Exit(status):
                self._status = status
                self._leave_by = monotonic() + _LAST_WORDS
            case _:
                assert_never(action)

    def _take_signals(self) -> None:
        for name in self._signals.take():
            if name == "CHLD":
                self._exits.look()
            else:
                self.tell(SignalReceived(name, name == "HUP" and self._signals.terminal_gone()))


def _hold_standard_descriptors() -> None:
    """Make sure that 0, 1 and 2 are open, or a pipe of ours would get such a number and be taken for a stream."""
    while (descriptor := os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
