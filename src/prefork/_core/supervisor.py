"""The supervisor of a `Daemon`: compares desired with actual workers, and answers orders.

The contract with the executor
==============================

The loop passes the supervisor one fact at a time (`handle`), and the executor carries out the actions that it answers,
in their order. Neither decides anything.

Order
    Each `OrderWorker` stands before all other actions of one answer, since clients wait for that worker. It depends on
    none of them; the explorer and the random machine (tests/core) prove this order.

Beginning and end
    `Started` comes first, once; only `OrphansFound` may come before it. After `Exit(status)` the loop ends, and the
    executor kills leftover processes. `Exit` is answered only when every process that the supervisor knows has ended.
    On a failed start, the application's report is in the last `Report` before it.

Molds
    `StartMold(g)` is answered by exactly one of `MoldPlanned(g, plan)` and `MoldFailed(g, report)`, or by neither, and
    in every case by one `MoldEnded(g, reason)`. `MoldWarming(g, seconds)` may come before, then `MoldWarming(g, 0)`,
    or `WarmingFailed(g, report)` in place of the plan. One that cannot be started is `MoldFailed` and then `MoldEnded`.
    `MoldEnded` is the last fact about a mold: it has been reaped *and* its socket read to the end, so forks that were
    queued before come before it, and the executor refuses later ones. A mold may be started again under the same
    number after `MoldEnded`; only its own plan counts then. `PlanAgain(g)` is answered by `MoldPlanned(g, plan)`,
    `PlanFailed(g, report)` or `MoldEnded(g)`; `EndMold(g)` by `MoldEnded(g)` within moments, since the executor kills.
    `EndMold` may come for a mold that is already ending. Orders name the encoded contexts of a mold's plans by
    (key, digest). They are kept until `ForgetContexts(g, named)`, which answers each plan and keeps those that are
    named, or `ForgetGeneration(g)`. No second plan of a generation comes before the first is answered.

Forks
    `ForkSpares(g, n)` is answered n times: each a `SpareForked(g, pid)` (adopted by the master, watched, awaiting its
    order) or counted in a `ForkFailed(g, count, reason)`; or by `MoldEnded(g)`, which settles what is left. A mold
    has at most one unanswered `ForkSpares`. `DismissSpare(pid)` closes the spare's channel, on which it exits, and is
    answered by `WorkerEnded(pid)`. The supervisor kills a spare that stays.

Workers
    `OrderWorker(pid, ...)` makes a spare the worker of a slot. `SpawnWorker(g, key, ...)` is answered by one of
    `WorkerSpawned(g, key, pid)` and `SpawnFailed(g, key, reason)`. Then come `WorkerReady(pid)` (once is enough),
    `WorkerWornOut(pid, reason)` when it wants a successor, `WorkerDrained(pid)` when it has finished its requests,
    `WorkerFailed(pid, report)` with the application's traceback, `WorkerHung` once for each hang, `WorkerStuck`,
    `WorkerStopped`, `WorkerContinued` and `WorkerStarved`. An order that cannot be delivered is no fact: `WorkerEnded`
    follows, or the start timeout. `AskToDrain(pid)` and `KillWorker(pid, why)` are answered by `WorkerEnded(pid)`;
    after the drain timeout the supervisor kills. The executor kills the whole session of a worker before it reaps the
    leader, and reaps each pid once. `WorkerEnded(pid, status, reason)`, of spares and workers, comes after all else
    that the process sent; `reason` is in words ("exited 3", "killed by the master: still draining after 30 s"). Facts
    about an unknown pid are ignored. A `SpareForked` or `WorkerSpawned` that was not ordered is answered by ending
    that process.

Orphans
    `OrphansFound(drain_timeouts)` names the workers of a dead master. `DrainOrphan(pid)` and `KillOrphan(pid)` are
    answered by `OrphanEnded(pid)`, which may come unasked, too. A stop that was requested waits for it; a failed start
    leaves them alone.

Listeners
    `Bind(g, listeners)` names only listeners that are not open, and is answered by `ListenersBound(g)`, or by
    `BindFailed(g, report)` with none of them left open. An order gives the worker exactly the listeners that it names;
    of a sharded one, the slot's own shard. `Unbind(listeners)` lets no new connection come to them; workers that have
    them are draining, and still accept what waits there. It is repeated at the end, may come before the answer to its
    `Bind`, and may name what is not open. Two records with one address (an option was changed) share the socket for a
    while. `AskToDrain(pid, backlogs)` names the listeners whose backlogs no other worker takes over; the worker gets
    them before the signal. `DrainBacklogs` does so for one that drains already, when its successor will not come.
    `CutDrain(pid, seconds)` has one that drains end in order now: the supervisor kills it then.
    `ForgetSlot(key)`: the slot's shards may be closed.

Comparisons
    `Measure(g, kinds)` is answered by one `Measured(g, samples)`, in the order of the kinds. The counts of a kind
    never decrease, whichever of its workers end; a late answer is ignored, and one that is lost asked for again.

Clients and the log
    `CommandReceived(id, command)` gets exactly one `Reply(id, ok, text)`, when the *outcome* is known. `Report(text)`
    is one block for the log, about the fact at hand or a change that is announced with it. `Announce(...)` and the
    `why` of an order are for observers. `SignalReceived`: HUP, TERM, INT, QUIT, USR1, USR2, TTIN, TTOU; others are
    ignored.

Time
    `now` never goes back. `next_deadline()` is read after every `handle`; when it has come, `DeadlinePassed`. Facts
    that come late, twice, or about what is gone do no harm.

`ProcessesExited`, `ContextTaken`, `ContextRefused`, `Watch` and `SendSignal` belong to the hooks interface.
`snapshot()` is plain data with a version; `Supervisor.restore(data)` goes on from it. `view()` is for people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from . import events as ev
from . import failures, gap, molds, orphans, requests, rollout
from .actions import Announce, Exit, OrderWorker, Report
from .change import Change
from .commands import words
from .handover import adoption, upgrade
from .handover.facts import HandoverFact, Survived, Upgraded, UpgradeFailed
from .judge import outcome
from .kept.references import check_references
from .kept.snapshot import MalformedSnapshot
from .kept.values import decode, encode
from .restarts import recycling, relaunch
from .scaling import scaled
from .slot import Worker
from .state import State
from .view.health import Health, count_slot, health
from .view.status import overview, slot_view
from .warming import phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._options.records import DaemonOptions
    from .actions import Action
    from .handover.facts import HandoverReport
    from .plan import Listener, Plan, Spec

KILLED = 4
"""The exit status of a stop that had to kill workers."""


class Supervisor:
    """Decides for one daemon. `seed`: of the random numbers for the jitter of pauses."""

    def __init__(self, spec: Spec, seed: int = 0) -> None:
        self._state = State(spec, seed)

    def handle(self, event: ev.Event, now: float) -> Sequence[Action]:
        """Return the actions for one event, in order: orders to workers first, since clients wait for those."""
        state = self._state
        if state.exited:
            return ()
        state.now, state.cause = now, ""
        state.actions, state.asked_now = [], {}
        self._apply(event)
        self._reconcile()
        orders = [action for action in state.actions if isinstance(action, OrderWorker)]
        if orders:
            state.actions = orders + [action for action in state.actions if not isinstance(action, OrderWorker)]
        return state.actions

    def next_deadline(self) -> float | None:
        """Return when `DeadlinePassed` is due if nothing happens before; None for never."""
        first = None if self._state.exited else self._state.first_deadline()
        return None if first is None else first[0]

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state as plain data that JSON can hold; `kept.snapshot.to_bytes` writes it."""
        return encode(self._state, self._state.unknown)

    @classmethod
    def restore(cls, data: Any, spec: Spec | None = None) -> Supervisor:
        """Return a supervisor in the state of a snapshot; `spec` replaces that of its writer.

        Raises MalformedSnapshot.
        """
        state, unknown = decode(data)
        if not isinstance(state, State):
            raise MalformedSnapshot("the data is not the state of a supervisor")
        check_references(state)
        state.unknown = unknown
        state.spec = spec or state.spec
        state.rebuild_heap()
        supervisor = cls(state.spec, state.seed)
        supervisor._state = state
        return supervisor

    @classmethod
    def adopting(cls, data: Any, spec: Spec) -> Supervisor:
        """Return a supervisor that goes on after the death of the one that has written the snapshot.

        Raises MalformedSnapshot, also if the daemon was stopping or had not started.
        """
        supervisor = cls.restore(data, spec)
        adoption.inherit(supervisor._state)
        return supervisor

    def view(self, now: float) -> dict[str, Any]:
        """Return the state as plain data; times are of the events' clock."""
        return {**self.overview(), "slots": self.slots(self.keys(), now)}

    def overview(self) -> dict[str, Any]:
        """Return the view without the slots."""
        return overview(self._state)

    def keys(self) -> list[str]:
        """Return the keys of all slots."""
        return list(self._state.slots)

    def slots(self, keys: Sequence[str], now: float) -> list[dict[str, Any]]:
        """Return the view of these slots, as far as they exist."""
        slots = self._state.slots
        return [slot_view(self._state, slots[key], now) for key in keys if key in slots]

    def backs_off(self, key: str) -> bool:
        """Return whether a slot is not restarted at once, or was not after its last failure."""
        slot = self._state.slots.get(key)
        return slot is not None and (slot.failed_starts > 1 or slot.waits)

    @property
    def options(self) -> DaemonOptions:
        """The daemon's options in force: those of the plan, or of the start."""
        return self._state.options

    @property
    def generation(self) -> int:
        """The committed generation; 0 before the first."""
        return self._state.generation

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """The listeners of the plan in force."""
        return self._state.plan.listeners

    def health(self) -> Health:
        """Return the health of the daemon; cheap enough for every event."""
        return health(self._state)

    def _apply(self, event: ev.Event) -> None:
        state = self._state
        match event:
            case ev.WorkerReady(pid):
                self._ready(pid)
            case ev.WorkerEnded():
                failures.worker_ended(state, event)
            case ev.SpareForked(generation, pid):
                molds.spare_forked(state, generation, pid)
            case ev.DeadlinePassed():
                failures.deadline_passed(state)
            case ev.WorkerDrained(pid):
                self._drained(pid)
            case ev.WorkerWornOut(pid, reason):
                recycling.worn_out(state, pid, reason)
            case ev.HangFact():
                failures.hang_reported(state, event)
            case ev.WorkerFailed(pid, report):
                if worker := state.workers.get(pid):
                    worker.report = report
            case ev.WorkerSpawned():
                self._spawned(event)
            case ev.SpawnFailed(_, key, reason):
                failures.spawn_failed(state, key, reason)
            case ev.MoldPlanned(generation, plan):
                self._planned(generation, plan)
                molds.forget_contexts(state, generation)
            case ev.MoldFact():
                self._mold(event)
            case ev.ListenersBound() | ev.BindFailed():
                self._bound(event)
            case ev.Measured():
                outcome.measured(state, event)
            case ev.CommandReceived(asker, command, by):
                state.cause = f"{words(command)} requested by {by}" if by else words(command)
                requests.command(state, command, [asker])
            case ev.SignalReceived(name, terminal_gone):
                state.cause = f"signal {name}"
                requests.signal(state, name, terminal_gone)
            case ev.OrphansFound(drain_timeouts):
                orphans.found(state, drain_timeouts)
            case ev.OrphanEnded(pid):
                orphans.ended(state, pid)
            case HandoverFact():
                self._handed_over(event)
            case ev.Started():
                rollout.start(state)
            case ev.ProcessesExited() | ev.ContextTaken() | ev.ContextRefused():
                pass  # the hooks interface's
            case _:
                assert_never(event)

    def _handed_over(self, event: HandoverReport) -> None:
        match event:
            case UpgradeFailed():
                upgrade.failed(self._state, event)
            case Upgraded():
                upgrade.upgraded(self._state, event)
            case Survived(survivors):
                adoption.survived(self._state, survivors)
            case _:
                assert_never(event)

    def _reconcile(self) -> None:
        """Reconcile the slots that the event has touched, and those alone."""
        state = self._state
        if not state.proven:
            failures.give_up(state)
        while state.dirty_slots or state.kinds_with_room or state.dirty_molds or recycling.next_turn(state):
            while state.dirty_slots:
                key = next(iter(state.dirty_slots))
                del state.dirty_slots[key]
                if slot := state.slots.get(key):
                    gap.reconcile(state, slot)
                    if state.change is not None and state.change.stage == "rolling":
                        rollout.slot_reconciled(state, state.change, slot)
                if state.scaling:
                    scaled(state, key)
                count_slot(state, key)
            if state.kinds_with_room:
                gap.next_in_line(state)
                continue
            for generation in list(state.dirty_molds):
                del state.dirty_molds[generation]
                if mold := state.molds.get(generation):
                    molds.fork_spares(state, mold)
        orphans.reconcile(state)
        upgrade.proceed(state)
        left = (state.workers, state.molds, state.slots)
        if state.stopping is not None and not any(left) and not (state.stopping.requested and state.orphans):
            self._finish(state)

    def _finish(self, state: State) -> None:
        """Log the last report, answer, and exit: no process is left."""
        stopping = state.stopping
        assert stopping is not None
        state.exited = True
        ok = stopping.status == 0
        stopped = "stopped"
        if stopping.killed:
            stopped += f"; workers killed because they were still draining: {stopping.killed}"
        text = stopped if ok else stopping.last_words
        end = Announce("stop", "done" if ok else "failed", state.generation, text=text)
        state.actions += [Report(stopping.last_words or f"prefork: {stopped}", end), end]
        state.reply(stopping.askers, ok, stopped)
        state.actions.append(Exit(stopping.status or (KILLED if stopping.killed else 0)))

    def _ready(self, pid: int) -> None:
        state = self._state
        worker = state.workers.get(pid)
        if worker is None or worker.target is None or not state.turn(worker, "ready"):
            return
        recycling.age(state, worker)
        state.proven |= not worker.target.kind.auxiliary
        state.dirty_slots[worker.target.entry.key] = None
        relaunch.became_ready(state, worker)
        if mold := state.molds.get(worker.generation):
            mold.failed_forks = 0

    def _drained(self, pid: int) -> None:
        worker = self._state.workers.get(pid)
        if worker is not None and worker.asked and worker.target is not None:
            worker.drained = True
            self._state.dirty_slots[worker.target.entry.key] = None

    def _spawned(self, event: ev.WorkerSpawned) -> None:
        state = self._state
        if event.pid in state.workers:
            return
        worker = state.workers[event.pid] = Worker(event.pid, event.generation, "spare", state.now)
        slot = state.slots.get(event.key)
        if slot is None or slot.spawning is None or slot.spawning.generation != event.generation:
            state.kill(worker, "not requested")
            return
        worker.target, slot.spawning = slot.spawning, None
        slot.pids.append(event.pid)
        state.turn(worker, "order")
        state.dirty_slots[slot.key] = None

    def _planned(self, generation: int, plan: Plan) -> None:
        state = self._state
        mold = state.molds.get(generation)
        if mold is None or mold.phase not in ("importing", "warming", "planning"):
            return
        molds.mold_able(state, mold)
        if change := self._change(generation, "planning"):
            rollout.planned(state, change, plan)
        elif plan != state.plan:
            state.report(f"mold of generation {generation}: computed a different plan; it applies from the next reload")

    def _bound(self, event: ev.ListenersBound | ev.BindFailed) -> None:
        if change := self._change(event.generation, "binding"):
            if isinstance(event, ev.BindFailed):
                rollout.fail(self._state, event.report)
            else:
                rollout.roll(self._state, change)

    def _mold(self, event: ev.MoldReport) -> None:
        state = self._state
        mold = state.molds.get(event.generation)
        if mold is None:
            return
        match event:
            case ev.MoldFailed(_, report):
                if mold.phase in ("importing", "warming"):
                    failures.give_mold_up(state, mold, "failed to start", report)
            case ev.PlanFailed(_, report):
                if mold.phase == "planning":
                    molds.mold_able(state, mold)
                    failures.mold_failed(state, mold, "failed to plan", report=report)
            case ev.MoldWarming() | ev.WarmingFailed():
                phase.handle(state, mold, event)
            case ev.ForkFailed(_, count, reason):
                if mold.pending_forks:
                    failures.fork_failed(state, mold, min(count, mold.pending_forks), reason)
            case ev.MoldEnded(_, reason):
                failures.mold_ended(state, mold, reason)
            case _:
                assert_never(event)

    def _change(self, generation: int, stage: str) -> Change | None:
        change = self._state.change
        return change if change is not None and (change.generation, change.stage) == (generation, stage) else None
