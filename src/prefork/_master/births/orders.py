"""Orders to workers: their contexts, and what a process needs first."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..._core import actions as do
from ..._linux.terms import apply
from ..._report.forms import Origin
from ..._wire import messages
from ..._wire.plan_data import Assignable
from ..board import Board
from ..listeners.opened import Listeners
from ..log.capture import Capture
from ..open_files import explained
from .launches import Launching
from .processes import Processes

_EXIT = 10.0
"""Seconds that an idle interpreter may take to exit, whatever `drain_timeout` is."""

Ordered = do.OrderWorker | do.SpawnWorker


@dataclass(frozen=True, slots=True)
class OrderDependencies:
    """What an order contains, and what delivers it; `lifeline` is the read end that every worker holds."""

    board: Board
    listeners: Listeners
    processes: Processes
    lifeline: int
    capture: Capture | None = None


class Orders:
    """The orders of one daemon; `log` writes what a worker has to run without."""

    def __init__(self, launching: Launching, dependencies: OrderDependencies, log: Callable[[str], None]) -> None:
        self._launching = launching
        self._dependencies = dependencies
        self._log = log
        self._assignables: dict[int, dict[tuple[str, str], Assignable]] = {}  # generation -> (key, digest) -> it
        self._orphan_grace: dict[int, float] = {}  # generation -> seconds

    def learn(self, generation: int, assignables: Mapping[tuple[str, str], Assignable], orphan_grace: float) -> None:
        """Keep the contents of the orders of a plan's workers."""
        self._orphan_grace[generation] = orphan_grace
        self._assignables.setdefault(generation, {}).update(assignables)

    def keep(self, generation: int, named: frozenset[tuple[str, str]]) -> None:
        """Drop all contents of a generation except `named`: no order needs them."""
        known = self._assignables.pop(generation, {})
        if kept := {name: known[name] for name in known.keys() & named}:
            self._assignables[generation] = kept

    def forget(self, generation: int) -> None:
        """Drop a generation: no order of it follows."""
        self._assignables.pop(generation, None)
        self._orphan_grace.pop(generation, None)

    def assignable(self, action: Ordered) -> Assignable:
        """Return the contents of this order."""
        return self._assignables[action.generation][action.key, action.digest]

    def give(self, action: Ordered, pid: int) -> None:
        """Send a process its order, which makes it a worker. Raises OSError, and sends nothing, if its setup fails."""
        assignable = self.assignable(action)
        self._prepare(pid, action.key, assignable)
        order = messages.Order(
            key=action.key,
            generation=action.generation,
            context=assignable.context,
            master=os.getpid(),
            title=self._launching.title(action.key, action.generation),
            listeners=tuple(listener.name for listener in action.listeners),
            environ=dict(assignable.env),
            explicit_ready=assignable.options.ready == "explicit",
            # Old-first must never run twice: the next master starts its successor at once, so it ends with this one.
            orphan_grace=0.0 if assignable.options.replace == "old-first" else self._orphan_grace[action.generation],
            exit_timeout=_EXIT,
            # Threads that its function left are drained as well; the master's own deadline comes first.
            finish_timeout=max(_EXIT, assignable.options.drain_timeout),
            row=self._dependencies.board.start(pid, action),
            # A worker with its own interpreter was started with its streams.
            captured=self._dependencies.capture is not None and isinstance(action, do.OrderWorker),
        )
        try:
            sockets = [self._dependencies.listeners.give(listener, action.key, pid) for listener in action.listeners]
            self._deliver(pid, order, [self._dependencies.lifeline, *(each.fileno() for each in sockets)])
        except OSError as error:
            raise explained(error) from None

    def _deliver(self, pid: int, order: messages.Order, descriptors: list[int]) -> None:
        channels, capture = self._dependencies.processes.channels, self._dependencies.capture
        if capture is None or not order.captured:
            channels.order(pid, order, descriptors)
            return
        with capture.pipes() as ends:
            channels.order(pid, order, [*descriptors, *ends.write])
            capture.listen(Origin(order.key, pid, order.generation), ends)

    def _prepare(self, pid: int, key: str, assignable: Assignable) -> None:
        """Set what needs the master's rights, before the process gets its order. Raises OSError if it is not ours."""
        if not self._dependencies.processes.is_ours(pid):
            raise ProcessLookupError(errno.ESRCH, "the process has ended")
        for failed in apply(pid, assignable.terms, self._launching.interpreter.identity is None):
            self._log(f"{key}: running without {failed}")
