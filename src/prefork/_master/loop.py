"""The master: one thread, and the one loop that waits.

It turns what the kernel reports (a signal, a child's end, a readable descriptor, a deadline) into events, passes them
to a decider, and has an executor carry out the actions that come back: the executor of the hooks interface or that of
a daemon. Observers (the journal, the log, the service manager) are called with each event and its actions. The loop
decides nothing.
"""

from __future__ import annotations

import heapq
import os
import selectors
import signal
from collections import deque
from collections.abc import Callable, Sequence
from itertools import takewhile
from time import monotonic
from typing import Protocol

from .._core.actions import Action, Exit, OrderWorker
from .._core.decider import Decider
from .._core.events import DeadlinePassed, Event, ProcessExit, SignalReceived, Started
from .._linux.signals import SignalInbox
from .._report.forms import Form, Text
from .children import ExitWatch
from .relay import Relay

_LAST_WORDS = 2.0
"""Seconds that a master waits at its end for a stalled reader of its log, and for leftover processes."""

_ALONE = 0.02
"""An order that follows another within this many seconds is part of a burst."""


class Executor(Protocol):
    """Carries out a decider's actions, except `Exit`; enqueues the outcome as events by `Master.enqueue`."""

    def perform(self, action: Action) -> None:
        """Carry out one action; never wait."""

    def reaped(self, exits: tuple[ProcessExit, ...]) -> None:
        """Watched children have ended."""

    def children_changed(self) -> None:
        """SIGCHLD came: some child, watched or not, ended or stopped. Only where `Master.signals` catches it."""

    def settled(self) -> bool:
        """Kill the processes that are left after `Exit`; return whether none is left."""


class Observer(Protocol):
    """Is called with what happens; it never waits and changes nothing that the decider or the executor does."""

    def noted(self, event: Event, actions: Sequence[Action], now: float) -> None:
        """An event has been decided; its orders to workers have been sent, its other actions come next."""

    def done(self, now: float) -> None:
        """All actions of that event have been carried out."""


class Master:
    """The loop and the kernel objects that it waits on. Entered once, run once.

    Other descriptors are registered with `selector`, with a function that is called when they are ready; such functions
    never wait, and pass on what they found by `enqueue`.
    """

    def __init__(self, form: Form | None = None) -> None:
        """`form`: how the master's own lines are written."""
        self._form = form or Text()
        self.selector = selectors.DefaultSelector()
        self.signals = SignalInbox()
        self.exits = ExitWatch(self.selector, self.signals)
        self._decider: Decider
        self._executor: Executor
        self._observers: Sequence[Observer] = ()
        self._events: deque[Event] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timers_set = 0
        self._on_signal: dict[str, Callable[[], None]] = {}
        self._ordered = 0.0
        self._status: int | None = None
        self._leave_by = 0.0

    def __enter__(self) -> Master:
        hold_standard_descriptors()
        self.relay = Relay(self.selector, self._form)
        self.signals.__enter__()
        self.selector.register(self.signals.wakeup, selectors.EVENT_READ, self._enqueue_signals)
        return self

    def __exit__(self, *_: object) -> None:
        self.selector.unregister(self.signals.wakeup)
        self.signals.__exit__()
        self.exits.close()
        self.relay.close()
        self.selector.close()

    def enqueue(self, event: Event, *, at_once: bool = False) -> None:
        """Enqueue an event; it is decided in this turn of the loop, `at_once` before all others."""
        self._events.insert(0 if at_once else len(self._events), event)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Call `act` after `seconds`."""
        self._timers_set += 1
        heapq.heappush(self._timers, (monotonic() + seconds, self._timers_set, act))

    def on_signal(self, number: signal.Signals, act: Callable[[], None]) -> None:
        """Call `act` at this signal, which is no event then."""
        self._on_signal[number.name.removeprefix("SIG")] = act
        self.signals.catch(number)

    @property
    def settled(self) -> bool:
        """Whether everything that the loop has found so far has been decided."""
        return not self._events and not self.exits.has_news()

    def run(
        self, decider: Decider, executor: Executor, observers: Sequence[Observer] = (), first: Event | None = None
    ) -> int:
        """Run until the decider answers `Exit`; return its status. Observers are called in order.

        `first`: the first event; of a daemon that starts, `Started`.
        """
        self._decider, self._executor, self._observers = decider, executor, observers
        self.enqueue(first or Started(), at_once=first is not None)
        self._decide()
        while self._status is None or not self._may_leave():
            deadline = decider.next_deadline() if self._status is None else self._leave_by
            self._wait(deadline)
            self._decide()  # Before any child is reaped: until then the pids that hooks get are valid.
            self._reap()
            self._run_timers()
            if deadline is not None and monotonic() >= deadline:
                self.enqueue(DeadlinePassed())
            self._decide()
        return self._status

    def _wait(self, deadline: float | None) -> None:
        for key, _ in self.selector.select(self._timeout(deadline)):
            key.data()

    def _reap(self) -> None:
        exits = self.exits.reap()
        for ended in exits:
            self.relay.ended(ended.pid)
        if exits:
            self._executor.reaped(exits)
            self._decide()  # Before the timers run: the successor must not wait for them.

    def _run_timers(self) -> None:
        now = monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def _timeout(self, deadline: float | None) -> float | None:
        """Return how long the loop may wait, in seconds: 0 if there are events already, None if nothing is due."""
        if self._events or self.exits.has_news():
            return 0
        due = [at for at in (deadline, self._timers[0][0] if self._timers else None) if at is not None]
        return max(0, min(due) - monotonic()) if due else None

    def _may_leave(self) -> bool:
        return monotonic() >= self._leave_by or (self._executor.settled() and self.relay.idle)

    def _decide(self) -> None:
        """Have each event decided: first its orders to workers, for which clients wait, then observers, then the rest.

        A decider answers orders first, so actions are carried out in the order that it answers (see `_core.decider`).
        """
        while self._events and self._status is None:
            event, now = self._events.popleft(), monotonic()
            actions = self._decider.handle(event, now)
            orders = list(takewhile(_is_order, actions))
            for order in orders:
                self._executor.perform(order)
                self._yield_to_worker()
            for observer in self._observers:
                observer.noted(event, actions, now)
            for action in actions[len(orders) :]:
                self._perform(action)
            for observer in self._observers:
                observer.done(now)

    def _perform(self, action: Action) -> None:
        if isinstance(action, Exit):
            self._status = action.status
            self._leave_by = monotonic() + _LAST_WORDS
            self._events.clear()
        else:
            self._executor.perform(action)

    def _yield_to_worker(self) -> None:
        """Let the process that has just got an order run before this one continues, unless it is part of a burst.

        Linux queues the process that a message wakes on the sender's processor, as the sender is expected to sleep soon
        (a "sync" wake-up): another processor may idle meanwhile, and the rest of this turn, half a millisecond of
        recording and logging, would come first. In a burst that costs more than it saves: up to a time slice each.
        """
        last, self._ordered = self._ordered, monotonic()
        if self._ordered - last > _ALONE:
            os.sched_yield()

    def _enqueue_signals(self) -> None:
        for name in self.signals.take():
            if name == "CHLD":
                self.exits.poll()
                self._executor.children_changed()
            elif name in self._on_signal:
                self._on_signal[name]()
            else:
                self.enqueue(SignalReceived(name, name == "HUP" and self.signals.terminal_gone()))


def _is_order(action: Action) -> bool:
    return isinstance(action, OrderWorker)


def hold_standard_descriptors() -> None:
    """Make sure that 0, 1 and 2 are open, so that no pipe gets such a number and is used as a stream."""
    while (descriptor := os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
