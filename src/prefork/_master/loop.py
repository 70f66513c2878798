"""The master: one thread, and the one loop that waits.

It turns what the kernel says (a signal, a child's end, a descriptor that is ready, a deadline) into events, tells them
to a decider, and has the actions that come back carried out by its *hands*: those of the hooks interface or those of a
daemon. It decides nothing.
"""

from __future__ import annotations

import heapq
import os
import selectors
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from .._core.actions import Action, Exit, OrderWorker, Report
from .._core.decider import Decider
from .._core.events import DeadlinePassed, Event, ProcessExit, SignalReceived, Started
from .._linux.signals import SignalInbox
from .children import ExitWatch
from .relay import Relay

_LAST_WORDS = 2.0
"""How long, in seconds, a master that is done waits for a stalled reader, and for what its hands still end."""

_ALONE = 0.02
"""An order that follows on another sooner than this, in seconds, is one of many."""


class Executor(Protocol):
    """Carries out what a decider asks for, besides reporting and leaving; says what comes of it by `Master.tell`."""

    def perform(self, action: Action) -> None:
        """Carry out one action; never wait."""

    def reaped(self, exits: tuple[ProcessExit, ...]) -> None:
        """Watched children have ended."""

    def children_changed(self) -> None:
        """SIGCHLD came: some child, watched or not, ended or stopped. Only where `Master.signals` catches it."""

    def settled(self) -> bool:
        """The decider is done: see to the end of whatever is left; tell whether nothing is."""


class Master:
    """The loop and the kernel objects that it waits on. Entered once, run once.

    Whatever else is to be waited for is registered with `selector`, with a function that is called when it is ready;
    such functions never wait, and say what they found by `tell`.
    """

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.signals = SignalInbox()
        self.exits = ExitWatch(self.selector, self.signals)
        self._hands: Executor
        self._events: deque[Event] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timers_set = 0
        self._ordered = 0.0
        self._status: int | None = None
        self._leave_by = 0.0

    def __enter__(self) -> Master:
        hold_standard_descriptors()
        self.relay = Relay(self.selector)
        self.report: Callable[[str], object] = self.relay.say
        """Says what a decider reports."""
        self.signals.__enter__()
        self.selector.register(self.signals.wakeup, selectors.EVENT_READ, self._take_signals)
        return self

    def __exit__(self, *_: object) -> None:
        self.selector.unregister(self.signals.wakeup)
        self.signals.__exit__()
        self.exits.close()
        self.relay.close()
        self.selector.close()

    def tell(self, event: Event, *, at_once: bool = False) -> None:
        """Take note of an event; the decider hears of it in this turn of the loop, `at_once` before all others."""
        self._events.insert(0 if at_once else len(self._events), event)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Call `act` when so many seconds have passed."""
        self._timers_set += 1
        heapq.heappush(self._timers, (monotonic() + seconds, self._timers_set, act))

    def run(self, decider: Decider, hands: Executor) -> int:
        """Serve the decider until it says `Exit`; return the status that it named."""
        self._hands = hands
        self.tell(Started())
        self._decide(decider)
        while self._status is None or not self._may_leave():
            self._turn(decider)
        return self._status

    def _turn(self, decider: Decider) -> None:
        deadline = decider.next_deadline() if self._status is None else self._leave_by
        for key, _ in self.selector.select(self._patience(deadline)):
            key.data()
        self._decide(decider)  # Before any child is reaped: until then, a pid that a hook is given is that child's.
        exits = self.exits.reap()
        for ended in exits:
            self.relay.ended(ended.pid)
        if exits:
            self._hands.reaped(exits)
            self._decide(decider)  # Before what timers do: somebody waits for the successor.
        now = monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        if deadline is not None and now >= deadline:
            self.tell(DeadlinePassed())
        self._decide(decider)

    def _patience(self, deadline: float | None) -> float | None:
        """How long the loop may wait: not at all where there is news already, for ever where nothing is due."""
        if self._events or self.exits.has_news():
            return 0
        due = [at for at in (deadline, self._timers[0][0] if self._timers else None) if at is not None]
        return max(0, min(due) - monotonic()) if due else None

    def _may_leave(self) -> bool:
        return monotonic() >= self._leave_by or (self._hands.settled() and self.relay.idle)

    def _decide(self, decider: Decider) -> None:
        while self._events and self._status is None:
            for action in decider.handle(self._events.popleft(), monotonic()):
                match action:
                    case Report(text):
                        self.report(text)
                    case Exit(status):
                        self._status = status
                        self._leave_by = monotonic() + _LAST_WORDS
                        self._events.clear()
                    case _:
                        self._hands.perform(action)
                        if isinstance(action, OrderWorker):
                            self._let_it_run()

    def _let_it_run(self) -> None:
        """Let the process that has just been given an order begin before this one goes on, unless it is one of many.

        Linux queues whom a message wakes on the sender's processor, as the sender is expected to sleep soon (a "sync"
        wake-up): another may idle meanwhile, and what is left of this turn, half a millisecond of telling and keeping,
        would come first. For one of many it would cost more than it gives: on a busy machine a slice each time.
        """
        last, self._ordered = self._ordered, monotonic()
        if self._ordered - last > _ALONE:
            os.sched_yield()

    def _take_signals(self) -> None:
        for name in self.signals.take():
            if name == "CHLD":
                self.exits.poll()
                self._hands.children_changed()
            else:
                self.tell(SignalReceived(name, name == "HUP" and self.signals.terminal_gone()))


def hold_standard_descriptors() -> None:
    """Make sure that 0, 1 and 2 are open, or a pipe of ours would get such a number and be taken for a stream."""
    while (descriptor := os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
