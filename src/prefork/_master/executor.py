"""The hands of a daemon's master: molds, births, workers and listeners, as the supervisor asks for them.

It carries out and tells; the contract is at the head of `_core.supervisor`. Nothing here waits and nothing decides.
"""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from .._core import actions as do
from .._core import events as fact
from .._core.plan import Listener
from .._errors import InternalError, PreforkError
from .._linux import lifeline
from .._linux.signals import NAMES
from .._report.forms import Origin
from .._report.sentences import ended
from .._wire.plan_data import MalformedPlan, take_apart
from .births.channels import Fact, HangMessage, MoldDisconnected, PlanReceived, ProcessChannels
from .births.orders import OrderDependencies, Ordered, Orders
from .births.start import Shared, start_mold
from .births.watchers import Watchers
from .board import Board
from .children import LeftoverProcesses
from .hangs.crashes import Crash, Crashes
from .hangs.oom import OomCounter
from .hangs.watch import Hangs, WatchedWorker
from .listeners.opened import BindOptions, Listeners
from .listeners.queues import Queues
from .log.capture import Capture
from .runtime.orphans import Orphans

if TYPE_CHECKING:
    from .._linux.channel import Channel
    from .._wire import messages
    from .births.launches import Launching
    from .births.start import Interpreter
    from .loop import Master
    from .runtime.directory import Runtime

_END_GRACE = 1.0
"""How long, in seconds, a mold that is no longer wanted may take to end by itself."""


class DaemonExecutor:
    """Every process and listener of one daemon."""

    def __init__(self, master: Master, launching: Launching, runtime: Runtime) -> None:
        self._master = master
        self._launching = launching
        self._roster = runtime.roster
        self._roster.log = master.relay.say
        self._nursery = ProcessChannels()
        self._molds: dict[int, int] = {}  # pid -> generation
        self._workers: dict[int, str] = {}  # pid -> key; spares too, without one
        self._killed: dict[int, str] = {}  # pid -> why
        self.answer: Callable[[do.Reply], None] = lambda reply: None
        """Tells whoever waits for it how a command ended; the control socket's part."""
        self.reopen_logs: Callable[[], None] = lambda: None
        """The log's part."""
        self._welcome = launching.welcome
        self._oom = OomCounter()
        self._leftovers = LeftoverProcesses(master.exits)
        self._watchers = Watchers(self._start_watcher, self._kill, master, launching.sources)
        orphans = Orphans(runtime.roster, launching.orphan_grace)
        self._board = Board()
        self._crashes = Crashes(master, runtime.path)
        self._hangs = Hangs(master, self._board, self._crashes.note)
        self._queues = Queues(master, self._board.counted)
        self._listeners = Listeners(
            BindOptions(bool(orphans.pids), launching.interpreter.identity, launching.given, launching.operator),
            self._queues,
        )
        orphans.start_grace(master)
        if orphans.pids:
            master.later(2 * launching.orphan_grace + _END_GRACE, self._listeners.orphans_ended)
        self._reader, self._writer = lifeline.create()
        self._shared = Shared(self._reader, self._board.descriptor, self._hangs.dumps.descriptor)
        self._capture = Capture(master.relay) if launching.mold.captured else None
        means = OrderDependencies(self._board, self._listeners, self._nursery, self._reader, self._capture)
        self._orders = Orders(launching, means, master.relay.say)
        master.signals.catch(signal.SIGCHLD)
        master.selector.register(self._nursery, selectors.EVENT_READ, self._listen)

    def close(self) -> None:
        """Let go of everything."""
        self._master.selector.unregister(self._nursery)
        self._nursery.close()
        self._listeners.close()
        self._queues.close()
        self._oom.close()
        self._hangs.close()
        self._crashes.close()
        self._board.close()
        os.close(self._reader)
        os.close(self._writer)

    def molds(self) -> dict[int, int]:
        """Return the pids of the molds, by generation."""
        return {generation: pid for pid, generation in self._molds.items()}

    def scoreboard(self) -> int:
        """Return a new descriptor of the scoreboard, to be read from."""
        return self._board.reading()

    def last_lines(self, pid: int) -> list[str]:
        """Return what a process wrote last, also when it has just been reaped; nothing where output is not captured."""
        return [] if self._capture is None else self._capture.last_lines(pid)

    def stacks(self, asker: int, slot: str, force: bool) -> None:
        """Tell whoever waits for it where the workers of a slot are, or all of them."""

        def tell(found: list[dict[str, Any]]) -> None:
            text = f"{len(found)} workers" if found else f"there is no worker in {slot or 'any slot'}"
            self.answer(do.Reply(asker, bool(found), text, found))

        self._hangs.inspect(slot, force, tell)

    # What the supervisor asks for.

    def perform(self, action: do.Action) -> None:
        """Carry out one action."""
        match action:
            case do.OrderWorker(pid):
                self._order(action, pid)
            case do.AskToDrain(pid, abandoned):
                self._drain(pid, abandoned)
            case do.Abandon(pid, listeners):
                self._abandon(pid, listeners)
            case do.KillWorker(pid, why):
                self._listeners.worker_draining(pid)
                self._killed[pid] = why
                self._kill(pid)
            case do.ForgetSlot(key):
                self._listeners.slot_removed(key)
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
                self._orders.forget(generation)
            case do.ForgetContexts(generation, named):
                self._orders.keep(generation, named)
            case do.Bind(generation, listeners):
                self._bind(generation, listeners)
            case do.Unbind(listeners):
                for text in self._listeners.unbind(listeners):
                    self._master.relay.say(text)
            case do.ReportStacks():
                self._hangs.inspect("", False, self._say_stacks)
            case do.Reply():
                self.answer(action)
            case do.ReopenLogs():
                self.reopen_logs()
            case do.Announce():
                self._watchers.announced(action)
            case _:
                raise InternalError(f"a daemon's master has no {action}")

    def _say_stacks(self, found: list[dict[str, Any]]) -> None:
        for one in found:
            self._master.relay.say(f"{one['slot']} (pid {one['pid']}): {one['verdict']}\n{one['text']}")

    def _start_mold(self, generation: int) -> None:
        launching = self._launching
        try:
            pid, channel = self._begin(launching.interpreter, launching.of_mold(generation), "mold")
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

    def _start_watcher(self, program: str, arguments: messages.Json) -> int:
        return self._start(self._launching.interpreter, self._launching.of_watcher(program, arguments), "watcher")

    def _spawn(self, action: do.SpawnWorker) -> None:
        generation, key = action.generation, action.key
        interpreter = self._launching.interpreter_with(self._orders.assignable(action).interpreter_options)
        try:
            pid = self._start(interpreter, self._launching.of_worker(key, generation), key)
        except OSError as error:
            self._master.tell(fact.SpawnFailed(generation, key, str(error)))
            return
        self._order(action, pid)
        self._master.tell(fact.WorkerSpawned(generation, key, pid))

    def _start(self, interpreter: Interpreter, launch: messages.MoldLaunch, name: str) -> int:
        """Start a process that is no mold, and return its pid. Raises OSError."""
        pid, channel = self._begin(interpreter, launch, name)
        self._watch(pid)
        self._nursery.add_process(pid, channel)
        return pid

    def _begin(self, interpreter: Interpreter, launch: messages.MoldLaunch, name: str) -> tuple[int, Channel]:
        if self._capture is None:
            return start_mold(interpreter, launch, self._shared)
        with self._capture.pipes() as ends:
            pid, channel = start_mold(interpreter, launch, self._shared, ends.write)
            self._capture.listen(Origin(name, pid, launch.generation), ends)
        return pid, channel

    def _order(self, action: Ordered, pid: int) -> None:
        self._workers[pid] = action.key
        it = self._orders.assignable(action).options
        kills = it.hang_policy == "kill"
        self._hangs.expect(pid, WatchedWorker(action.key, action.generation, it.hang_timeout, kills))
        try:
            self._orders.give(action, pid)
        except OSError as error:
            self._master.relay.say(f"prefork: {action.key} cannot have what belongs to it: {error.strerror or error}")
            self._killed[pid] = "for want of what belongs to it"
            self._kill(pid)

    def _drain(self, pid: int, abandoned: tuple[Listener, ...]) -> None:
        """Take the worker's shards out of the choice, let it know which queues are its to empty, and let it drain."""
        self._board.turn(pid, "draining")  # First, so that nobody waits for it to accept.
        self._abandon(pid, abandoned)
        self._signal(pid, signal.SIGTERM)
        self._signal(pid, signal.SIGCONT)  # A stopped worker would not hear it.

    def _abandon(self, pid: int, listeners: tuple[Listener, ...]) -> None:
        self._listeners.worker_draining(pid, listeners)
        if listeners:
            self._nursery.abandon(pid, [listener.name for listener in listeners])

    def _bind(self, generation: int, listeners: tuple[Listener, ...]) -> None:
        try:
            news = self._listeners.bind(listeners)
        except PreforkError as error:
            self._master.tell(fact.BindFailed(generation, str(error)))
        else:
            if self._welcome is not None and self._welcome.is_block:  # It will say where, once somebody answers there.
                news = [text for text in news if not text.startswith("listening on ")]
            for text in news:
                self._master.relay.say(text)
            self._master.tell(fact.ListenersBound(generation))

    # What the processes say.

    def _listen(self) -> None:
        for heard in self._nursery.read():
            self._take(heard)

    def _take(self, heard: Fact) -> None:
        match heard:
            case PlanReceived(generation, data, warnings):
                self._take_plan(generation, data, warnings)
            case MoldDisconnected(generation, reason):
                if reason:
                    self._master.relay.say(f"prefork: the mold of generation {generation} is ended: {reason}")
                self._end_silent(generation)
            case fact.WorkerReady(pid) if command := self._watchers.command_of(pid):
                self._master.tell(fact.CommandReceived(0, command, self._watchers.name_of(pid)))
            case fact.WorkerFailed(pid, report) if self._watchers.command_of(pid):
                self._watchers.ended(pid, report)
            case fact.WorkerReady(pid):
                self._listeners.worker_ready(pid)
                self._board.turn(pid, "ready")
                self._master.tell(heard)
                self._welcome_when_all_are_ready(self._workers.get(pid, ""))
            case fact.WorkerFailed(pid, report):
                self._crashes.note(pid, "failure", report)
                self._master.tell(heard)
            case HangMessage():
                self._hangs.handle(heard)
            case fact.SpareBorn(_, pid):
                self._workers[pid] = ""
                self._watch(pid)
                self._master.tell(heard)
            case _:
                self._master.tell(heard)

    def _take_plan(self, generation: int, data: messages.Json, warnings: tuple[str, ...]) -> None:
        for warning in warnings:
            self._master.relay.say(f"prefork: mold of generation {generation}: {warning}")
        try:
            received = take_apart(data)
        except MalformedPlan as error:
            self._master.tell(fact.MoldFailed(generation, f"the mold sent no plan that can be read: {error}"))
            self._end_silent(generation)
            return
        self._orders.learn(generation, received.assignables)
        self._master.tell(fact.MoldPlanned(generation, received.plan))
        if self._welcome is not None:
            self._welcome.planned(received.plan, received.about)
        self._watchers.planned(generation, received.watched)

    def _welcome_when_all_are_ready(self, key: str) -> None:
        if self._welcome is not None and self._welcome.ready(key):
            addresses = [self._listeners.address_of(listener) for listener in self._welcome.listeners]
            self._master.relay.say(self._welcome.text(addresses, monotonic()))
            self._welcome = None

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
            self._look_back(end, reason)
            if self._capture is not None:
                self._capture.ended(end.pid)
            if end.pid in self._molds:
                generation = self._molds.pop(end.pid)
                for heard in self._nursery.finish_mold(generation):
                    self._take(heard)
                self._master.tell(fact.MoldEnded(generation, reason))
            elif self._workers.pop(end.pid, None) is not None:
                self._listeners.worker_ended(end.pid)
                status = end.status if end.status is not None else 1
                self._board.end(end.pid, status)
                self._master.tell(fact.WorkerEnded(end.pid, status, reason))
            else:
                self._watchers.ended(end.pid, reason)
        self._leftovers.reap_hidden()

    def _look_back(self, end: fact.ProcessExit, reason: str) -> None:
        """Hear what a process had to say of its end; keep what is known of a worker that did not end as it should."""
        crash, worker = None, self._hangs.ended(end.pid)
        if worker is not None and end.status != 0:
            output = [] if self._capture is None else self._capture.last_lines(end.pid)
            crash = Crash(worker.key, worker.generation, reason, self._board.doing(end.pid), output)
        for heard in self._nursery.finish(end.pid):
            self._take(heard)
        self._crashes.ended(end, crash)

    def children_changed(self) -> None:
        """Look for strangers among the dead; births are queued before deaths, so first hear of those."""
        self._listen()
        self._hangs.poll_stopped()
        self._leftovers.reap()

    def settled(self) -> bool:
        """End the strangers that are left, by name."""
        self._watchers.stop()
        for text in self._leftovers.kill_all():
            self._master.relay.say(text)
        return not self._leftovers.any_left()

    def _reason(self, end: fact.ProcessExit, out_of_memory: bool) -> str:
        why = self._killed.pop(end.pid, None)
        if why is not None and end.status == -signal.SIGKILL:
            return f"killed by us {why}"
        if out_of_memory and end.status == -signal.SIGKILL:
            return "was killed by SIGKILL: out of memory, by the kernel's own count"
        return ended(end.status, NAMES)

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
