"""The executor of a daemon's master: carries out the supervisor's actions.

The contract is at the head of `_core.supervisor`. Nothing here waits and nothing decides.
"""

from __future__ import annotations

import os
import selectors
import signal
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from .._core import actions as do
from .._core import events as fact
from .._core.handover.orders import AdoptWorker, CancelUpgrade, ReplaceProgram
from .._core.plan import Listener
from .._core.profiling.slowness import Slowness
from .._errors import InternalError, PreforkError
from .._linux.drain_request import signals_for
from .._records.record import record
from .._wire import messages
from .._wire.plan_data import MalformedPlan, take_apart
from .births.channels import Fact, MoldDisconnected, OtherMessage, PlanReceived
from .births.options import CodeOptions
from .births.orders import OrderDependencies, Ordered, Orders
from .births.processes import Processes, Start
from .children import LeftoverProcesses
from .control.view import Refused
from .deaths import Deaths, Keepers
from .grants.grants import Grants
from .hangs.crashes import Crashes
from .hangs.watch import Hangs, WatchedWorker
from .listeners.names import Found, Names
from .listeners.opened import BindOptions, Listeners
from .listeners.queues import Queues
from .log.capture import Capture
from .outside.profiles import Profiles, Sampling
from .outside.readers import Readers
from .outside.unasked import Unasked
from .passed.shared import Shared
from .runtime.orphans import Orphans
from .scoreboard.board import Board
from .watching.watchers import Watchers

if TYPE_CHECKING:
    from .births.launches import Launching
    from .control.replies import Replies
    from .log.log import Log
    from .loop import Master
    from .runtime.presence import Runtime


@record
class Outputs:
    """The outputs for people: replies to clients, and the log."""

    replies: Replies
    log: Log


class Replacing(Protocol):
    """What replaces the master's program."""

    def perform(self, action: ReplaceProgram | CancelUpgrade) -> None:
        """Begin, and enqueue `UpgradeFailed` where it fails; or do not replace it any more: then no fact follows."""


class Adopting(Protocol):
    """What adopts workers of a master that was killed."""

    def perform(self, pid: int) -> None:
        """Make one a worker of this master."""


class DaemonExecutor:
    """Every process and listener of one daemon."""

    replacing: Replacing
    """Replaces the program of the master: it is made later, of all parts."""
    adopting: Adopting
    """Adopts workers: it is made later, where there are any."""

    def __init__(self, master: Master, launching: Launching, runtime: Runtime, outputs: Outputs) -> None:
        self._master = master
        self._orphans = Orphans(runtime.roster, master, self._orphan_ended)
        self._welcome = launching.welcome
        self._replies, self._log = outputs.replies, outputs.log
        self._leftovers = LeftoverProcesses(master.exits)
        self.board = Board()
        self._crashes = Crashes(master, runtime)
        self._hangs = Hangs(master, self.board, self._crashes.note)
        self._shared = Shared(self.board.descriptor, self._hangs.dumps.descriptor)
        runtime.roster.lifeline = os.fstat(self._shared.lifeline).st_ino
        self._capture = Capture(master.relay) if launching.mold.captured else None
        self._processes = Processes(master, runtime.roster, Start(launching, self._shared, self._capture))
        self._channels = self._processes.channels
        self._hangs.dumps.readers = Readers(master, self._processes, launching.interpreter)
        self._profiles = Profiles(master, self._processes, launching.interpreter)
        slowness = Slowness(launching.options.profile_slower_than / 1000, launching.options.profile_on_hang)
        Unasked(master, self._profiles, self._hangs, lambda: runtime.path, slowness)
        self._watchers = Watchers(self._processes.start_watcher, self._processes.kill, master, launching.sources)
        self._names = Names(master, self._processes, launching.interpreter)
        self._queues = Queues(master, self.board.counted)
        self.listeners = self._create_listeners(launching)
        self.grants = Grants(launching, lambda: runtime.path)
        held = self._shared.lifeline
        means = OrderDependencies(self.board, self.listeners, self._processes, held, self.grants, self._capture)
        self._orders = Orders(launching, means, master.relay.log)
        self._options = CodeOptions(launching, master.relay.log)
        keepers = Keepers(self.listeners, self.board, self._hangs, self._crashes, self._watchers, self._capture)
        self._deaths = Deaths(master, self._processes, keepers, self._receive)
        master.signals.catch(signal.SIGCHLD)
        master.selector.register(self._channels, selectors.EVENT_READ, self._listen)

    def _create_listeners(self, launching: Launching) -> Listeners:
        orphans, identity = len(self._orphans) > 0, launching.interpreter.identity
        options = BindOptions(orphans, orphans, identity, launching.given, launching.addresses)
        return Listeners(options, self._queues)

    def _orphan_ended(self) -> None:
        if len(self._orphans):
            self.listeners.orphan_ended()
        else:
            self.listeners.orphans_ended()

    def close(self) -> None:
        """Close every descriptor."""
        self._master.selector.unregister(self._channels)
        self._channels.close()
        self._orphans.close()
        self.listeners.close()
        self._queues.close()
        self._deaths.close()
        self._hangs.close()
        self._crashes.close()
        self.board.close()
        self._shared.close()

    def busy(self) -> str:
        """Return what is under way that only this program could end, in words; empty for nothing."""
        if self._hangs.dumps.under_way:
            return "stacks are being written"
        return "a name is being looked up" if self._names.waiting else ""

    def write_crashes(self) -> None:
        """Write the crash reports that are queued."""
        self._crashes.close()

    def molds(self) -> dict[int, int]:
        """Return the pids of the molds, by generation."""
        return self._processes.molds()

    def stacks(self, asker: int, slot: str, force: bool) -> None:
        """Reply to a client with the stacks of the workers of a slot, or of all of them."""

        def reply(found: list[dict[str, Any]]) -> None:
            text = f"{len(found)} workers" if found else f"there is no worker in {slot or 'any slot'}"
            self._replies.deliver(do.Reply(asker, bool(found), text, found))

        self._hangs.inspect(slot, force, reply)

    def profile(self, which: str, seconds: float, rate: int, idle: bool) -> int:
        """Return a descriptor to read a profile from, of a slot's worker or all of a pool. Raises Refused."""
        workers = self._hangs.pids_of(which)
        if not workers:
            raise Refused(f"there is no worker in {which}, and no pool of that name has one")
        return self._profiles.begin(workers, Sampling(seconds, rate, idle))

    # Actions of the supervisor.

    def perform(self, action: do.Action) -> None:
        """Carry out one action."""
        match action:
            case do.OrderWorker(pid):
                self._order(action, pid)
            case do.AskToDrain(pid, backlogs):
                self._drain(pid, backlogs)
            case do.DrainBacklogs(pid, listeners):
                self._drain_backlogs(pid, listeners)
            case do.CutDrain(pid, seconds):
                self._processes.cut_drain(pid, seconds)
            case do.KillWorker(pid, why, explain):
                self._kill(pid, why, explain)
            case do.ForgetSlot(key):
                self.listeners.slot_removed(key)
            case do.ForkSpares(generation, count):
                for failed in self._processes.fork_spares(generation, count):
                    self._receive(failed)
            case do.DismissSpare(pid):
                self._channels.dismiss(pid)
            case do.SpawnWorker():
                self._spawn(action)
            case do.StartMold(generation, warm):
                self._start_mold(generation, warm)
            case do.PlanAgain(generation):
                self._plan_again(generation)
            case do.EndMold(generation):
                self._processes.end_mold(generation)
            case do.ForgetGeneration(generation):
                self._orders.forget(generation)
            case do.ForgetContexts(generation, named):
                self._orders.keep(generation, named)
            case do.Bind(generation, listeners):
                self._names.look_up(listeners, partial(self._bind, generation, listeners))
            case do.Unbind(listeners):
                self._names.cancel(listeners)
                self._log_all(self.listeners.unbind(listeners))
            case do.Measure():
                self._master.enqueue(self.board.measure(action))
            case do.Report():
                self._log.report(action)
            case do.ReportStacks():
                self._hangs.inspect("", False, self._log_stacks)
            case do.Reply():
                self._replies.deliver(action)
            case do.DrainOrphan() | do.KillOrphan():
                self._end_orphan(action)
            case do.ReopenLogs():
                self._reopen_logs()
            case ReplaceProgram() | CancelUpgrade() | AdoptWorker():
                self._hand_over(action)
            case do.Announce():
                self._watchers.announced(action)
            case _:
                raise InternalError(f"a daemon's master has no {action}")

    def _end_orphan(self, action: do.DrainOrphan | do.KillOrphan) -> None:
        if isinstance(action, do.KillOrphan):
            self._orphans.kill(action.pid)
        else:
            self.listeners.orphans_drain()
            self._orphans.drain(action.pid)

    def _reopen_logs(self) -> None:
        self._log.reopen()
        self.board.reopen_logs()

    def _hand_over(self, action: ReplaceProgram | CancelUpgrade | AdoptWorker) -> None:
        match action:
            case ReplaceProgram() | CancelUpgrade():
                self.replacing.perform(action)
            case AdoptWorker(pid):
                self.adopting.perform(pid)

    def _log_all(self, texts: list[str]) -> None:
        for text in texts:
            self._master.relay.log(text)

    def _log_stacks(self, found: list[dict[str, Any]]) -> None:
        self._log_all([f"{one['slot']} (pid {one['pid']}): {one['verdict']}\n{one['text']}" for one in found])

    def _start_mold(self, generation: int, warm: bool) -> None:
        try:
            self._hangs.imports.start(generation, warm, self._processes)
        except OSError as error:
            self._master.enqueue(fact.MoldFailed(generation, f"cannot start the mold: {error.strerror}"))
            if generation not in self._processes.molds():
                self._master.enqueue(fact.MoldEnded(generation, "failed to start"))

    def _plan_again(self, generation: int) -> None:
        try:
            self._processes.plan_again(generation)
        except OSError as error:
            self._master.enqueue(fact.PlanFailed(generation, f"the master cannot ask for it: {error.strerror}"))

    def _spawn(self, action: do.SpawnWorker) -> None:
        generation, key = action.generation, action.key
        try:
            pid = self._processes.spawn(key, generation, self._orders.assignable(action).interpreter_options)
        except OSError as error:
            self._master.enqueue(fact.SpawnFailed(generation, key, str(error)))
            return
        self._order(action, pid)
        self._master.enqueue(fact.WorkerSpawned(generation, key, pid))

    def _order(self, action: Ordered, pid: int) -> None:
        it = self._orders.assignable(action).options
        self._processes.ordered(pid, it.drain_timeout)
        kills = it.hang_policy == "kill"
        self._hangs.expect(pid, WatchedWorker(action.key, action.generation, it.hang_timeout, kills))
        try:
            self._orders.give(action, pid)
        except OSError as error:
            self._master.relay.log(f"{action.key}: setup failed: {error.strerror or error} (pid {pid}); killing it")
            self._processes.kill_worker(pid, "setup failed")

    def _drain(self, pid: int, backlogs: tuple[Listener, ...]) -> None:
        """Exclude the worker's shards, send it the backlogs that it must empty, and the request."""
        self.board.turn(pid, "draining")  # First, so that no other worker waits for it to accept.
        self._drain_backlogs(pid, backlogs)
        for number in (*signals_for(pid), signal.SIGCONT):  # A stopped worker would not get the others.
            self._processes.signal(pid, number)

    def _kill(self, pid: int, why: str, explain: bool) -> None:
        self.listeners.worker_draining(pid)
        if explain:
            self._hangs.explain(pid, why, lambda: self._processes.kill_worker(pid, why))
        else:
            self._processes.kill_worker(pid, why)

    def _drain_backlogs(self, pid: int, listeners: tuple[Listener, ...]) -> None:
        self.listeners.worker_draining(pid, listeners)
        if listeners:
            self._channels.drain_backlogs(pid, [listener.name for listener in listeners])

    def _bind(self, generation: int, listeners: tuple[Listener, ...], found: Found) -> None:
        try:
            texts = self.listeners.bind(listeners, found)
        except PreforkError as error:
            self._master.enqueue(fact.BindFailed(generation, str(error)))
        else:
            if self._welcome is not None and self._welcome.shows_addresses:
                texts = [text for text in texts if ": listening on " not in text]
            self._log_all(texts)
            self._master.enqueue(fact.ListenersBound(generation))

    # Messages of the processes.

    def _listen(self) -> None:
        for message in self._channels.read():
            self._receive(message)

    def _receive(self, message: Fact) -> None:
        match message:
            case PlanReceived(generation, data, warnings):
                self._plan_received(generation, data, warnings)
            case MoldDisconnected(generation, reason):
                if reason:
                    self._master.relay.log(f"mold of generation {generation}: {reason}; ending it")
                self._processes.kill_mold_soon(generation)
            case fact.WorkerReady(pid) if self._watchers.is_one(pid):
                self._watchers.noticed(pid)
            case OtherMessage(pid, messages.Edited(at)):
                self._watchers.edited(pid, at)
            case fact.WorkerFailed(pid, report) if self._watchers.is_one(pid):
                self._watchers.ended(pid, report)
            case OtherMessage():
                self._hangs.handle(message)
            case _:
                self._note(message)
                self._master.enqueue(message)

    def _note(self, event: fact.Event) -> None:
        """Update what the executor keeps of a process by an event for the supervisor."""
        match event:
            case fact.WorkerReady(pid):
                self.listeners.worker_ready(pid)
                self.board.turn(pid, "ready")
            case fact.WorkerFailed(pid, report):
                self._crashes.note(pid, "failure", report)
            case fact.SpareForked(_, pid):
                self._processes.adopt(pid)
            case _:
                pass

    def _plan_received(self, generation: int, data: messages.Json, warnings: tuple[str, ...]) -> None:
        self._log_all([f"mold of generation {generation}: {warning}" for warning in warnings])
        try:
            received = take_apart(data)
        except MalformedPlan as error:
            self._master.enqueue(fact.MoldFailed(generation, f"the mold sent a malformed plan: {error}"))
            self._processes.kill_mold_soon(generation)
            return
        plan, options = self._options.planned(received.plan, received.options)
        self._orders.learn(generation, received.assignables, options)
        self._master.enqueue(fact.MoldPlanned(generation, plan, received.about))
        self._watchers.planned(generation, received.watched, received.about.get("outdated"))

    # Exits.

    def reaped(self, exits: tuple[fact.ProcessExit, ...]) -> None:
        """Enqueue the ends of processes, after all their messages."""
        self._listen()
        self._deaths.reaped(exits)
        self._leftovers.reap_hidden()

    def children_changed(self) -> None:
        """Reap leftover processes; forks are queued before exits, so read those first."""
        self._listen()
        self._hangs.poll_stopped(self._processes.stopped)
        self._leftovers.reap()

    def settled(self) -> bool:
        """Kill the leftover processes, and log each."""
        self._watchers.stop()
        self._log_all(self._leftovers.kill_all())
        return not self._leftovers.any_left()
