"""Orders to workers: their contexts, and what a process needs first."""

from __future__ import annotations

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
from .channels import ProcessChannels
from .launches import Launching

_EXIT = 10.0
"""How long, in seconds, an interpreter that has nothing else to do may take to exit, whatever is said of draining."""

Ordered = do.OrderWorker | do.SpawnWorker


@dataclass(frozen=True, slots=True)
class OrderDependencies:
    """What goes into an order, and how it is delivered. `lifeline` is the read end that every worker has."""

    board: Board
    listeners: Listeners
    nursery: ProcessChannels
    lifeline: int
    capture: Capture | None = None


class Orders:
    """The orders of one daemon. `say` is told what a worker has to do without."""

    def __init__(self, launching: Launching, means: OrderDependencies, say: Callable[[str], None]) -> None:
        self._launching = launching
        self._means = means
        self._say = say
        self._assignables: dict[int, dict[tuple[str, str], Assignable]] = {}  # generation -> (key, digest) -> it
        self._orphan_grace: dict[int, float] = {}  # generation -> seconds

    def learn(self, generation: int, assignables: Mapping[tuple[str, str], Assignable], orphan_grace: float) -> None:
        """Keep what the orders of a plan's workers contain."""
        self._orphan_grace[generation] = orphan_grace
        self._assignables.setdefault(generation, {}).update(assignables)

    def keep(self, generation: int, named: frozenset[tuple[str, str]]) -> None:
        """No order of this generation will name another."""
        known = self._assignables.pop(generation, {})
        if kept := {name: known[name] for name in known.keys() & named}:
            self._assignables[generation] = kept

    def forget(self, generation: int) -> None:
        """No order of this generation will follow."""
        self._assignables.pop(generation, None)
        self._orphan_grace.pop(generation, None)

    def assignable(self, action: Ordered) -> Assignable:
        """Return what the worker of this order is to be told."""
        return self._assignables[action.generation][action.key, action.digest]

    def give(self, action: Ordered, pid: int) -> None:
        """Make a process a worker. Raises OSError where it cannot have what belongs to it; then it has no order."""
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
            # The next master starts its successor at once: what must never run twice ends with this one.
            orphan_grace=0.0 if assignable.options.replace == "old-first" else self._orphan_grace[action.generation],
            exit_timeout=_EXIT,
            # What its function has left to threads is drained as well: the master's own deadline comes first.
            finish_timeout=max(_EXIT, assignable.options.drain_timeout),
            row=self._means.board.start(pid, action),
            # One with an interpreter of its own was started with the streams that it has.
            captured=self._means.capture is not None and isinstance(action, do.OrderWorker),
        )
        try:
            sockets = [self._means.listeners.give(listener, action.key, pid) for listener in action.listeners]
            self._deliver(pid, order, [self._means.lifeline, *(each.fileno() for each in sockets)])
        except OSError as error:
            raise explained(error) from None

    def _deliver(self, pid: int, order: messages.Order, descriptors: list[int]) -> None:
        nursery, capture = self._means.nursery, self._means.capture
        if capture is None or not order.captured:
            nursery.order(pid, order, descriptors)
            return
        with capture.pipes() as ends:
            nursery.order(pid, order, [*descriptors, *ends.write])
            capture.listen(Origin(order.key, pid, order.generation), ends)

    def _prepare(self, pid: int, key: str, assignable: Assignable) -> None:
        """Do to the process what needs the master's rights, before it has its order."""
        for failed in apply(pid, assignable.terms, self._launching.interpreter.identity is None):
            self._say(f"prefork: {key} runs without {failed}")
