"""Molds, the spares that they fork, and how a slot gets a process.

The phases of a mold are importing (-> warming -> importing) -> ready (-> planning -> ready)* -> ending. From ending, or
from an unexpected exit, it goes to paused and importing again, as long as its generation is needed. Forks are ordered
one batch at a time: what is needed while a batch is out goes into the next, so that a hundred deaths cost two batches
and not a hundred.

A fork takes several processes' turns, and on a busy machine much longer than a worker's start. So where workers die of
their work one soon after another, more spares are kept for a while: else requests that kill would gather in the queue
meanwhile, and each new worker would meet them first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .actions import EndMold, ForgetContexts, ForgetGeneration, ForkSpares, OrderWorker, SpawnWorker, StartMold
from .restarts.pace import pause_down
from .slot import Slot, Target, Worker, pause
from .state import Mold

if TYPE_CHECKING:
    from .state import MoldPhase, State


def start_mold(state: State, generation: int) -> None:
    """Import a generation, for the first time or again."""
    mold = state.molds.setdefault(generation, Mold(generation))
    mold.warmed = mold.foreign = False
    enter(state, mold, "importing", state.options.import_timeout)
    state.actions.append(StartMold(generation, mold.warm))


def enter(state: State, mold: Mold, phase: MoldPhase, patience: float | None) -> None:
    """Put a mold into a phase that may last `patience` seconds; None for no limit."""
    mold.phase = phase
    mold.since = state.now
    mold.deadline = None if patience is None else state.now + patience
    state.expect("mold", mold.generation, mold.deadline)


def mold_able(state: State, mold: Mold) -> None:
    """Note that a mold accepts orders; its deadline is for the forks that it owes, or the end of a pause."""
    if mold.phase != "ready":
        mold.phase, mold.since = "ready", state.now
    if mold.pending_forks:
        mold.deadline = state.now + state.spec.fork_timeout
    else:
        mold.deadline = mold.pause_until if mold.pause_until > state.now else None
    state.expect("mold", mold.generation, mold.deadline)
    state.dirty_molds[mold.generation] = None
    state.dirty_slots.update(mold.stalled)
    mold.stalled.clear()


def end_mold(state: State, mold: Mold) -> None:
    """End a mold; repeated until it has ended."""
    enter(state, mold, "ending", state.spec.kill_timeout)
    state.actions.append(EndMold(mold.generation))


def retire(state: State, mold: Mold) -> None:
    """End the mold of a generation that is over, and dismiss its spares."""
    mold.retired = True
    for pid in mold.idle:
        state.dismiss(state.workers[pid])
    mold.idle.clear()
    for key in list(mold.asking):
        stop_asking(state, state.slots[key])
    state.actions.append(ForgetGeneration(mold.generation))
    if mold.phase == "paused":
        del state.molds[mold.generation]
    elif mold.phase != "ending":
        end_mold(state, mold)


def retire_unused(state: State) -> None:
    """Retire the molds of generations that no slot, no plan in force and no change needs."""
    used = {slot.target.generation for slot in state.slots.values() if slot.target is not None}
    used |= {state.generation} if state.change is None else {state.generation, state.change.generation}
    used |= state.keeping.keys()
    for mold in list(state.molds.values()):
        if mold.generation not in used and not mold.retired:
            retire(state, mold)


def forget_contexts(state: State, generation: int) -> None:
    """Keep the contexts that the plan in force, or that of the change under way, names, and those of slots.

    A change that was superseded has left its targets to some slots.
    """
    plans = [state.plan] if generation == state.generation else []
    if state.change is not None and state.change.generation == generation and state.change.plan is not None:
        plans.append(state.change.plan)
    entries = [entry for plan in plans for entry in plan.entries]
    targets = [slot.target for slot in state.slots.values() if slot.target is not None]
    entries += [target.entry for target in targets if target.generation == generation]
    named = frozenset((entry.key, entry.digest) for entry in entries)
    state.actions.append(ForgetContexts(generation, named))


def replace_mold(state: State, mold: Mold, healthy: bool) -> None:
    """Restart a mold that has died, at once the first time. Forks that it owed are ordered again."""
    mold.failures = 1 if healthy else mold.failures + 1
    wait = pause(state.spec, mold.failures, state.chance())
    if wait:
        enter(state, mold, "paused", wait)
        hurry(state, mold)
    else:
        start_mold(state, mold.generation)


def hurry(state: State, mold: Mold) -> None:
    """Shorten the pause of a mold, or that between its forks, while a pool has no ready worker."""
    outages = [state.now - pace.down_since for pace in state.paces.values() if pace.down_since is not None]
    if not outages:
        return
    due = mold.since + pause_down(state.spec, mold.failures, min(outages))
    if mold.phase == "paused" and mold.deadline is not None and due < mold.deadline:
        mold.deadline = max(state.now, due)
        state.expect("mold", mold.generation, mold.deadline)
    due = state.now + pause_down(state.spec, mold.failed_forks, min(outages))
    if due < mold.pause_until:
        mold.pause_until = due
        if mold.phase == "ready" and not mold.pending_forks:
            mold_able(state, mold)


def fork_spares(state: State, mold: Mold) -> None:
    """Order the forks that are needed now: for slots that wait, else for the stock of spares."""
    if mold.asking and (mold.phase == "paused" or state.now < mold.pause_until):
        hurry(state, mold)
    if mold.phase != "ready" or mold.pending_forks or mold.retired or state.now < mold.pause_until:
        return
    if state.now >= mold.extra_until:
        mold.extra = 0
    count = len(mold.asking)
    if not count and mold.generation == state.generation and (mold.extra or not mold.starting):
        count = state.options.spares + mold.extra - len(mold.idle)
        for _ in range(-count):
            state.dismiss(state.workers[mold.idle.pop()])
        if mold.extra:
            mold.deadline = mold.extra_until
            state.expect("mold", mold.generation, mold.deadline)
    if count > 0:
        mold.pending_forks = count
        mold.deadline = state.now + state.spec.fork_timeout
        state.expect("mold", mold.generation, mold.deadline)
        state.actions.append(ForkSpares(mold.generation, count))


def spare_forked(state: State, generation: int, pid: int) -> None:
    """Add a spare; one that was not ordered is dismissed, and known until it has ended."""
    if pid in state.workers:
        return
    worker = state.workers[pid] = Worker(pid, generation, "spare", state.now)
    mold = state.molds.get(generation)
    if mold is None or mold.retired or mold.foreign or not mold.pending_forks:
        state.dismiss(worker)
        return
    mold.idle.append(pid)
    settle_forks(state, mold, 1)
    if mold.asking:
        state.dirty_slots[next(iter(mold.asking))] = None


def settle_forks(state: State, mold: Mold, count: int) -> None:
    """Count `count` of a mold's pending forks as settled; the rest get a new deadline."""
    mold.pending_forks -= count
    if mold.phase == "ready":
        mold_able(state, mold)


def back_off_forks(state: State, mold: Mold) -> None:
    """Delay the next fork after one that failed, so that there is no hot loop.

    What ends during the delay was forked before: that is no further failure, however many spares there were.
    """
    if state.now < mold.pause_until:
        return
    mold.failed_forks += 1
    mold.pause_until = state.now + pause(state.spec, mold.failed_forks, state.chance())
    if mold.phase == "ready" and not mold.pending_forks:
        mold_able(state, mold)


def reserve_spare(state: State, slot: Slot, target: Target) -> bool:
    """Reserve a spare of the target generation, or ask its mold for one."""
    if slot.reserve is not None and state.workers[slot.reserve].generation == target.generation:
        return True
    return_spare(state, slot)
    mold = state.molds[target.generation]
    if slot.asking != target.generation and slot.ordered == target.edition and not slot.failed_starts:
        if state.now - mold.last_death < state.spec.extra_below:
            mold.extra = state.spec.extra_spares * state.options.spares
            mold.extra_until = state.now + state.spec.extra_time
        mold.last_death = state.now
    if mold.idle:
        slot.reserve = mold.idle.pop()
        state.workers[slot.reserve].holder = slot.key
        stop_asking(state, slot)
        state.dirty_molds[mold.generation] = None
        return True
    if slot.asking != target.generation:
        stop_asking(state, slot)
        slot.asking = target.generation
        mold.asking[slot.key] = None
        state.dirty_molds[mold.generation] = None
    return False


def stop_asking(state: State, slot: Slot) -> None:
    """Let a slot no longer wait for a fork."""
    if slot.asking is not None:
        state.molds[slot.asking].asking.pop(slot.key, None)
        slot.asking = None


def return_spare(state: State, slot: Slot) -> None:
    """Return the spare that this slot has reserved to its mold."""
    if slot.reserve is None:
        return
    worker = state.workers[slot.reserve]
    slot.reserve = worker.holder = None
    mold = state.molds.get(worker.generation)
    if mold is None or mold.retired:
        state.dismiss(worker)
        return
    mold.idle.append(worker.pid)
    state.dirty_molds[mold.generation] = None
    if mold.asking:
        state.dirty_slots[next(iter(mold.asking))] = None


def order(state: State, slot: Slot, target: Target) -> None:
    """Make the reserved spare this slot's worker, or start one by exec."""
    entry = target.entry
    why = slot.why if slot.ordered != target.edition else f"previous worker {slot.last_exit or 'failed to start'}"
    slot.ordered = target.edition
    if entry.spawn == "exec":
        slot.spawning = target
        state.actions.append(SpawnWorker(target.generation, slot.key, entry.digest, target.listeners, why))
        return
    assert slot.reserve is not None
    worker = state.workers[slot.reserve]
    slot.reserve = worker.holder = None
    worker.target = target
    state.turn(worker, "order")
    state.molds[target.generation].starting += target.holds_up_spares
    slot.pids.append(worker.pid)
    state.actions.append(OrderWorker(worker.pid, target.generation, slot.key, entry.digest, target.listeners, why))
