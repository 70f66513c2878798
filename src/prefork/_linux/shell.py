"""The hands of a daemon's master: molds, births, workers and listeners, as the supervisor asks for them.

It carries out and tells; the contract is at the head of `_core.supervisor`. Nothing here waits and nothing decides.
"""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .._core import actions as do
from .._core import events as fact
from .._core.commands import Replan
from .._core.plan import Listener
from .._core.reasons import ended
from .._errors import InternalError, PreforkError
from . import lifeline, wire
from .board import Board
from .listeners import Listeners
from .nursery import Fact, MoldSilent, Nursery, PlanReceived
from .oom import OomCounter
from .orphans import Orphans
from .planwire import Assignable, MalformedPlan, take_apart
from .start_mold import Interpreter, Shared, start_mold
from .strangers import Strangers
from .watching import Watching

if TYPE_CHECKING:
    from .master import Master
    from .runtime import Runtime

_END_GRACE = 1.0
"""How long, in seconds, a mold that is no longer wanted may take to end by itself."""

_SIGNALS = {number.value: number.name for number in signal.Signals}


@dataclass(frozen=True, slots=True)
class Launching:
    """How molds and workers are started. `orphan_grace` is in seconds."""

    interpreter: Interpreter
    mold: wire.Launch
    orphan_grace: float


class Shell:
    """Every process and listener of one daemon."""

    def __init__(self, master: Master, launching: Launching, runtime: Runtime) -> None:
        self._master = master
        self._launching = launching
        self._roster = runtime.roster
        self._nursery = Nursery()
        self._molds: dict[int, int] = {}  # pid -> generation
        self._workers: dict[int, str] = {}  # pid -> key; spares too, without one
        self._killed: dict[int, str] = {}  # pid -> why
        self._assignables: dict[int, dict[tuple[str, str], Assignable]] = {}
        self.answer: Callable[[do.Reply], None] = lambda reply: None
        """Tells whoever waits for it how a command ended; the control socket's part."""
        self._oom = OomCounter()
        self._strangers = Strangers(master.exits)
        self._watching = Watching(self._start_watcher, self._kill, master.relay.say)
        orphans = Orphans(runtime.roster, launching.orphan_grace)
        self._listeners = Listeners(bool(orphans.pids), launching.interpreter.identity)
        orphans.see_to(master)
        self._reader, self._writer = lifeline.create()
        self._board = Board()
        self._shared = Shared(self._reader, self._board.descriptor)
        master.signals.catch(signal.SIGCHLD)
        master.selector.register(self._nursery, selectors.EVENT_READ, self._listen)

    def close(self) -> None:
        """Let go of everything."""
        self._master.selector.unregister(self._nursery)
        self._nursery.close()
        self._listeners.close()
        self._oom.close()
        self._board.close()
        os.close(self._reader)
        os.close(self._writer)

    def molds(self) -> dict[int, int]:
        """Return the pids of the molds, by generation."""
        return {generation: pid for pid, generation in self._molds.items()}

    def scoreboard(self) -> int:
        """Return a new descriptor of the scoreboard, to be read from."""
        return self._board.reading()

    # What the supervisor asks for.

    def perform(self, action: do.Action) -> None:
        """Carry out one action."""
        match action:
            case do.OrderWorker():
                self._order(action)
            case do.AskToDrain(pid):
                self._board.turn(pid, "draining")  # First, so that nobody waits for it to accept.
                self._signal(pid, signal.SIGTERM)
                self._signal(pid, signal.SIGCONT)  # A stopped worker would not hear it.
            case do.KillWorker(pid, why):
                self._killed[pid] = why
                self._kill(pid)
            case do.Breed(generation, count):
                self._nursery.breed(generation, count)
            case do.DismissSpare(pid):
                self._nursery.dismiss(pid)
            case do.SpawnWorker():
                self._spawn(action)
            case do.StartMold(generation):
                self._start_mold(generation)
            case do.PlanAgain(generation):
                self._nursery.compute_plan(generation)
            case do.EndMold(generation):
                self._end_mold(generation)
            case do.ForgetGeneration(generation):
                self._assignables.pop(generation, None)
            case do.Bind(generation, listeners):
                self._bind(generation, listeners)
            case do.Unbind(listeners):
                self._listeners.unbind(listeners)
            case do.Reply():
                self.answer(action)
            case do.ReopenLogs() | do.Announce():
                pass  # There are no log files yet; announcements are for the record.
            case _:
                raise InternalError(f"a daemon's master has no {action}")

    def _start_mold(self, generation: int) -> None:
        name = self._launching.mold.title
        launch = replace(
            self._launching.mold,
            generation=generation,
            title=f"prefork: mold g{generation} {name}",
            spare_title=f"prefork: spare g{generation} {name}",
        )
        try:
            pid, channel = start_mold(self._launching.interpreter, launch, self._shared)
        except OSError as error:
            self._master.tell(fact.MoldFailed(generation, f"the mold could not be started: {error}"))
            self._master.tell(fact.MoldEnded(generation, "could not be started"))
            return
        self._molds[pid] = generation
        self._watch(pid)
        self._nursery.add_mold(generation, pid, channel)
        self._nursery.compute_plan(generation)

    def _end_mold(self, generation: int) -> None:
        for pid, of in self._molds.items():
            if of == generation:
                self._nursery.end_mold(generation)
                # It reads the end when it is idle. While it imports it reads nothing, and may never again.
                self._master.later(_END_GRACE, lambda pid=pid: self._kill_mold(pid, generation))  # type: ignore[misc]

    def _kill_mold(self, pid: int, generation: int) -> None:
        if self._molds.get(pid) == generation:
            self._kill(pid)

    def _start_watcher(self, path: str) -> int:
        title = f"prefork: watcher {self._launching.mold.title}"
        launch = replace(
            self._launching.mold, application="prefork._watch:watch", arguments=path, title=title, alone=True
        )
        pid, channel = start_mold(self._launching.interpreter, launch, self._shared)
        self._watch(pid)
        self._nursery.add_process(pid, channel)
        return pid

    def _order(self, action: do.OrderWorker) -> None:
        assignable = self._assignables[action.generation][action.key, action.digest]
        self._workers[action.pid] = action.key
        self._prepare(action.pid, action.key, assignable)
        self._send_order(action, action.pid, assignable)

    def _spawn(self, action: do.SpawnWorker) -> None:
        generation, key = action.generation, action.key
        assignable = self._assignables[generation][key, action.digest]
        title = f"prefork: {key} g{generation} {self._launching.mold.title}"
        launch = replace(self._launching.mold, generation=generation, title=title, alone=True)
        command = (*self._launching.interpreter.command, *assignable.interpreter_options)
        try:
            pid, channel = start_mold(replace(self._launching.interpreter, command=command), launch, self._shared)
        except OSError as error:
            self._master.tell(fact.SpawnFailed(generation, key, str(error)))
            return
        self._workers[pid] = key
        self._watch(pid)
        self._nursery.add_process(pid, channel)
        self._prepare(pid, key, assignable)
        self._send_order(action, pid, assignable)
        self._master.tell(fact.WorkerSpawned(generation, key, pid))

    def _send_order(self, action: do.OrderWorker | do.SpawnWorker, pid: int, assignable: Assignable) -> None:
        order = wire.Order(
            key=action.key,
            generation=action.generation,
            context=assignable.context,
            master=os.getpid(),
            title=f"prefork: {action.key} g{action.generation} {self._launching.mold.title}",
            listeners=tuple(listener.name for listener in action.listeners),
            environ=dict(assignable.env),
            explicit_ready=assignable.explicit_ready,
            orphan_grace=self._launching.orphan_grace,
            row=self._board.start(pid, action),
        )
        descriptors = [self._listeners.descriptor(listener) for listener in action.listeners]
        self._nursery.order(pid, order, [self._reader, *descriptors])

    def _prepare(self, pid: int, key: str, assignable: Assignable) -> None:
        """Do to the process what needs the master's rights, before it has its order."""
        try:
            if assignable.affinity:
                os.sched_setaffinity(pid, assignable.affinity)
            if assignable.nice is not None:
                os.setpriority(os.PRIO_PROCESS, pid, assignable.nice)
        except (OSError, ValueError, OverflowError) as error:
            self._master.relay.say(f"prefork: {key} runs without what its launch() asks for: {error}")

    def _bind(self, generation: int, listeners: tuple[Listener, ...]) -> None:
        try:
            self._listeners.bind(listeners)
        except PreforkError as error:
            self._master.tell(fact.BindFailed(generation, str(error)))
        else:
            self._master.tell(fact.ListenersBound(generation))

    # What the processes say.

    def _listen(self) -> None:
        for heard in self._nursery.read():
            self._take(heard)

    def _take(self, heard: Fact) -> None:
        match heard:
            case PlanReceived(generation, data, warnings):
                self._take_plan(generation, data, warnings)
            case MoldSilent(generation, reason):
                if reason:
                    self._master.relay.say(f"prefork: the mold of generation {generation} is ended: {reason}")
                self._end_silent(generation)
            case fact.WorkerReady(pid) if pid == self._watching.pid:
                self._master.tell(fact.CommandReceived(0, Replan(), "the watcher of the configuration"))
            case fact.WorkerFailed(pid, report) if pid == self._watching.pid:
                self._watching.ended(report)
            case fact.WorkerReady(pid):
                self._board.turn(pid, "ready")
                self._listeners.leave_nothing_to_orphans()
                self._master.tell(heard)
            case fact.SpareBorn(_, pid):
                self._workers[pid] = ""
                self._watch(pid)
                self._master.tell(heard)
            case _:
                self._master.tell(heard)

    def _take_plan(self, generation: int, data: wire.Json, warnings: tuple[str, ...]) -> None:
        for warning in warnings:
            self._master.relay.say(f"prefork: mold of generation {generation}: {warning}")
        try:
            received = take_apart(data)
        except MalformedPlan as error:
            self._master.tell(fact.MoldFailed(generation, f"the mold sent no plan that can be read: {error}"))
            self._end_silent(generation)
            return
        self._assignables.setdefault(generation, {}).update(received.assignables)
        self._master.tell(fact.MoldPlanned(generation, received.plan))
        self._watching.follow(received.watched)

    def _end_silent(self, generation: int) -> None:
        """A mold that says nothing more is not kept; one that is about to exit has a moment to do so."""
        for pid, of in self._molds.items():
            if of == generation:
                self._master.later(_END_GRACE, lambda pid=pid: self._kill_mold(pid, generation))  # type: ignore[misc]

    # What the kernel says.

    def reaped(self, exits: tuple[fact.ProcessExit, ...]) -> None:
        """Tell of processes that have ended, after all that they had said."""
        self._listen()
        out_of_memory = any(end.status == -signal.SIGKILL for end in exits) and self._oom.grown()
        for end in exits:
            self._roster.remove(end.pid)
            reason = self._reason(end, out_of_memory)
            if end.pid in self._molds:
                generation = self._molds.pop(end.pid)
                for heard in self._nursery.finish_mold(generation):
                    self._take(heard)
                self._master.tell(fact.MoldEnded(generation, reason))
            elif self._workers.pop(end.pid, None) is not None:
                for heard in self._nursery.finish(end.pid):
                    self._take(heard)
                status = end.status if end.status is not None else 1
                self._board.end(end.pid, status)
                self._master.tell(fact.WorkerEnded(end.pid, status, reason))
            else:  # The watcher: what it had to say of its end, it says now.
                for heard in self._nursery.finish(end.pid):
                    self._take(heard)
                if end.pid == self._watching.pid:
                    self._watching.ended(reason)
        self._strangers.reaped()

    def children_changed(self) -> None:
        """Look for strangers among the dead; births are queued before deaths, so first hear of those."""
        self._listen()
        self._strangers.look()

    def settled(self) -> bool:
        """End the strangers that are left, by name."""
        self._watching.follow(None)
        for text in self._strangers.end_all():
            self._master.relay.say(text)
        return not self._strangers.any_left()

    def _reason(self, end: fact.ProcessExit, out_of_memory: bool) -> str:
        why = self._killed.pop(end.pid, None)
        if why is not None and end.status == -signal.SIGKILL:
            return f"killed by us {why}"
        if out_of_memory and end.status == -signal.SIGKILL:
            return "was killed by SIGKILL: out of memory, by the kernel's own count"
        return ended(end.status, _SIGNALS)

    def _watch(self, pid: int) -> None:
        self._master.exits.watch(pid, leads_session=True)
        self._roster.add(pid)

    def _signal(self, pid: int, number: int) -> None:
        if self._master.exits.watches(pid):  # Otherwise it has been reaped, and the number may be another's.
            os.kill(pid, number)

    def _kill(self, pid: int) -> None:
        """Kill the whole session that a watched process leads."""
        if self._master.exits.watches(pid):
            os.kill(pid, signal.SIGKILL)
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # It has left the group that it led at birth, and nobody else is in it.
