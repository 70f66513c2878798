"""Reconcile: close the gap between a slot's target and its processes.

To exchange its process (for a while it has two, or a singleton none), a slot takes one of the places that its kind has
for exchanges (its surge), and holds it until the exchange is over. This alone paces rollouts, rollbacks and restarts:
they set new targets for all their slots at once, and the slots line up. No slot holds a place while the mold that it
needs is dead, so that a mold that cannot be restarted does not block later changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .actions import Announce, ForgetSlot
from .molds import order, reserve_spare, return_spare, stop_asking

if TYPE_CHECKING:
    from .slot import Slot, Target, Worker
    from .state import State


def reconcile(state: State, slot: Slot) -> None:
    """Do what can be done now for this slot; it is reconciled again when what is missing arrives."""
    target = slot.target
    if target is None:
        vacate(state, slot)
        return
    fresh = up_to_date(state, slot)
    if fresh is not None or slot.spawning or slot.waits or slot.deadline is not None or slot.done == target.edition:
        stop_asking(state, slot)
        return_spare(state, slot)
        starting = slot.spawning or (fresh is not None and fresh.phase != "ready")
        if not starting and len(slot.pids) > 1:
            drain_all(state, slot, but=fresh or serving(state, slot))
            bound_drains(state, slot)
        if not starting:
            end_exchange(state, slot)
        return
    if any(not state.workers[pid].asked for pid in slot.pids) and not may_exchange(state, slot, target):
        return
    if target.entry.spawn == "fork" and not reserve_spare(state, slot, target):
        return
    if slot.pids and target.kind.options.replace == "old-first":
        drain_all(state, slot)
        return
    former = serving(state, slot)
    if any(is_stale(state, state.workers[pid], former) for pid in slot.pids):
        drain_all(state, slot, but=former)
    elif len(leaving(state, slot)) > 1:  # A further process would be one too many.
        cut_older_drains(state, slot)
    else:
        order(state, slot, target)


def vacate(state: State, slot: Slot) -> None:
    """Empty a slot without a target; it is removed with its last process."""
    stop_asking(state, slot)
    return_spare(state, slot)
    end_exchange(state, slot)
    drain_all(state, slot)
    if not slot.pids and slot.spawning is None:
        del state.slots[slot.key]
        state.actions.append(ForgetSlot(slot.key))
        if state.stopping is not None:
            state.actions.append(Announce("stop", "settled", state.generation, slot.key, len(state.slots)))


def may_exchange(state: State, slot: Slot, target: Target) -> bool:
    """Take a place for an exchange, or line up for one."""
    name = target.kind.name
    if slot.exchange == name:
        return True
    end_exchange(state, slot)
    if target.entry.spawn == "fork":
        mold = state.molds[target.generation]
        if mold.phase not in ("ready", "planning"):
            mold.stalled[slot.key] = None
            return False
    places = state.exchanging.setdefault(name, {})
    if len(places) >= state.room.get(name, 1):
        state.lined_up.setdefault(name, {})[slot.key] = None
        return False
    places[slot.key] = None
    slot.exchange = name
    return True


def end_exchange(state: State, slot: Slot) -> None:
    """Give the slot's place to the next in line."""
    if slot.exchange is not None:
        del state.exchanging[slot.exchange][slot.key]
        state.kinds_with_room[slot.exchange] = None
        slot.exchange = None


def next_in_line(state: State) -> None:
    """Let one more slot of each kind try, where there is room; one that needs no place makes room for the next."""
    for name in list(state.kinds_with_room):
        line = state.lined_up.get(name)
        if line and len(state.exchanging.get(name, ())) < state.room.get(name, 1):
            key = next(iter(line))
            del line[key]
            state.dirty_slots[key] = None
        else:
            del state.kinds_with_room[name]


def up_to_date(state: State, slot: Slot) -> Worker | None:
    """Return the process of the slot's target, ready or not.

    One that was killed for not becoming ready is included: its end is the failure that counts.
    """
    if slot.target is not None:
        for pid in slot.pids:
            worker = state.workers[pid]
            if not worker.asked and worker.target is not None and worker.target.edition == slot.target.edition:
                return worker
    return None


def serving(state: State, slot: Slot) -> Worker | None:
    """Return the newest process of the slot that is ready, of any target."""
    for pid in reversed(slot.pids):
        if state.workers[pid].phase == "ready":
            return state.workers[pid]
    return None


def leaving(state: State, slot: Slot) -> list[Worker]:
    """Return the processes of the slot that drain, oldest first; those that have drained only exit."""
    workers = (state.workers[pid] for pid in slot.pids)
    return [worker for worker in workers if worker.phase in ("draining", "killed") and not worker.drained]


def bound_drains(state: State, slot: Slot) -> None:
    """Let one process of the slot drain beside its successor for as long as it may, and an older one for moments.

    So a pool has at most twice its processes, however often it is reloaded while clients keep its workers busy.
    """
    workers = drains(state, slot)
    for worker in workers:
        hastened = worker is not workers[-1]
        if hastened is not worker.hastened and not worker.cut:
            worker.hastened = hastened
            end = worker.since + (worker.patience(state.spec) or 0.0)
            state.set_deadline(worker, min(end, state.now + state.spec.overlap) if hastened else end)


def drains(state: State, slot: Slot) -> list[Worker]:
    """Return the processes of the slot that drain and have something to finish, oldest first."""
    return [worker for worker in leaving(state, slot) if worker.phase == "draining" and worker.ready_at is not None]


def is_stale(state: State, worker: Worker, former: Worker | None) -> bool:
    """Return whether a process is a start for an earlier target, which is to end soon, and before the next one.

    The order of the next one stands before what asks it to end, so that they are not of one answer: else three stay.
    """
    if worker.asked:
        return former is not None and worker.ready_at is None and worker.pid in state.asked_now
    return worker is not former


def cut_older_drains(state: State, slot: Slot) -> None:
    """Cut the drain of each process of the slot but the newest that drains."""
    for worker in drains(state, slot)[:-1]:
        state.cut_drain(worker)


def drain_all(state: State, slot: Slot, but: Worker | None = None) -> None:
    """Ask all processes of this slot but one to drain."""
    for pid in slot.pids:
        worker = state.workers[pid]
        if worker is not but:
            state.drain(worker)
