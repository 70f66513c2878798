"""Orders to workers: their contexts, and what a process needs first."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..._core import actions as do
from ..._linux.terms import Terms, apply, may_change
from ..._options.records import DaemonOptions
from ..._records.members import astuple
from ..._records.record import record
from ..._report.forms import Origin
from ..._wire import messages
from ..._wire.plan_data import Assignable
from ..grants.grants import Grants
from ..listeners.opened import Listeners
from ..log.capture import Capture, Ends
from ..scoreboard.board import Board
from .launches import Launching
from .open_files import explained
from .processes import Processes

_EXIT = 10.0
"""Seconds that an idle interpreter may take to exit, whatever `drain_timeout` is."""

_NONE = Terms()

Ordered = do.OrderWorker | do.SpawnWorker


@record
class OrderDependencies:
    """What an order contains, and what delivers it; `lifeline` is the read end that every worker holds."""

    board: Board
    listeners: Listeners
    processes: Processes
    lifeline: int
    grants: Grants
    capture: Capture | None = None


class Orders:
    """The orders of one daemon; `log` writes what a worker has to run without."""

    def __init__(self, launching: Launching, dependencies: OrderDependencies, log: Callable[[str], None]) -> None:
        self._launching = launching
        self._dependencies = dependencies
        self._log = log
        self._assignables: dict[int, dict[tuple[str, str], Assignable]] = {}  # generation -> (key, digest) -> it
        self._options: dict[int, DaemonOptions] = {}  # by generation

    def learn(self, generation: int, assignables: Mapping[tuple[str, str], Assignable], options: DaemonOptions) -> None:
        """Keep the contents of the orders of a plan's workers."""
        self._options[generation] = options
        granted = self._dependencies.grants.planned(generation, assignables)
        self._assignables.setdefault(generation, {}).update(granted)

    def keep(self, generation: int, named: frozenset[tuple[str, str]]) -> None:
        """Drop all contents of a generation except `named`: no order needs them."""
        known = self._assignables.pop(generation, {})
        if kept := {name: known[name] for name in known.keys() & named}:
            self._assignables[generation] = kept

    def forget(self, generation: int) -> None:
        """Drop a generation: no order of it follows."""
        self._assignables.pop(generation, None)
        self._options.pop(generation, None)
        self._launching.files.forget(generation)

    def assignable(self, action: Ordered) -> Assignable:
        """Return the contents of this order."""
        return self._assignables[action.generation][action.key, action.digest]

    def give(self, action: Ordered, pid: int) -> None:
        """Send a process its order, which makes it a worker. Raises OSError, and sends nothing, if its setup fails."""
        assignable, daemon = self.assignable(action), self._options[action.generation]
        listeners, grants = self._dependencies.listeners, self._dependencies.grants
        left = self._prepare(pid, action.key, assignable)
        order = messages.Order(
            key=action.key,
            generation=action.generation,
            context=assignable.context,
            master=os.getpid(),
            title=self._launching.title(action.key, action.generation),
            listeners=tuple(listener.name for listener in action.listeners),
            environ=dict(assignable.env),
            explicit_ready=assignable.options.ready == "explicit",
            orphan_grace=0.0 if assignable.ends_with_master else daemon.orphan_grace,
            exit_timeout=_EXIT,
            # Threads that its function left are drained as well; the master's own deadline comes first.
            finish_timeout=max(_EXIT, assignable.options.drain_timeout),
            row=self._dependencies.board.start(pid, action),
            captured=self._dependencies.capture is not None,
            takeover_timeout=daemon.import_timeout + assignable.options.start_timeout,
            own_queues=tuple(listener.name for listener in action.listeners if listeners.is_own_queue(listener)),
            terms=left,
            files=grants.names(assignable),
        )
        try:
            sockets = [listeners.give(listener, action.key, pid) for listener in action.listeners]
            with grants.opened(assignable) as granted:
                numbers = [self._dependencies.lifeline, *(each.fileno() for each in sockets), *granted]
                self._deliver(pid, order, numbers)
        except OSError as error:
            raise explained(error) from None

    def _deliver(self, pid: int, order: messages.Order, descriptors: list[int]) -> None:
        channels, capture = self._dependencies.processes.channels, self._dependencies.capture
        if capture is None or not order.captured:
            channels.order(pid, order, descriptors)
            return
        with capture.pipes() as ends, self._without_master(ends) as others:
            channels.order(pid, order, [*descriptors, *ends.write, *others])
            capture.listen(Origin(order.key, pid, order.generation), ends)

    @contextmanager
    def _without_master(self, ends: Ends) -> Iterator[list[int]]:
        """Yield what a captured worker needs when this master is dead: its pipes' ends for reading, and streams.

        The ends are opened again: the flags of its own would be the worker's to change. The streams are this process's,
        but for a worker of another user, who could write there what looks like lines of the log.
        """
        opened: list[int] = []
        try:
            for reader in ends.read:
                opened.append(os.open(f"/proc/self/fd/{reader}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
            if self._launching.interpreter.identity is None:
                yield [*opened, 1, 2]
            else:
                opened.append(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC))
                yield [*opened, opened[-1]]
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def _prepare(self, pid: int, key: str, assignable: Assignable) -> tuple[Any, ...]:
        """Set what needs the master's rights, before the process gets its order; return what it is to set itself.

        Raises OSError if it is not ours.
        """
        if not self._dependencies.processes.is_ours(pid):
            raise ProcessLookupError(errno.ESRCH, "the process has ended")
        terms, privileged = assignable.terms, self._launching.interpreter.identity is None
        if not privileged and terms != _NONE and not may_change(pid):
            return astuple(terms)
        for failed in apply(pid, terms, privileged):
            self._log(f"{key}: running without {failed}")
        return ()
