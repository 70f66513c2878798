"""The one routine that closes the gap between what a slot wants and what it has.

To exchange a process, so that for a while a slot has two, or a singleton none, a slot takes one of the
places that its kind has for that (its surge) and holds it until the exchange is over. Rollouts, rollbacks
and restarts are paced by this alone: they let their slots want something else, all at once, and the slots
line up. Nobody holds a place while the mold that it needs is dead, so that a mold which cannot come back
keeps no later change from going on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .actions import Announce, ForgetSlot
from .births import give_back, obtain, order, stop_asking

if TYPE_CHECKING:
    from .slot import Slot, Wish, Worker
    from .state import State


def settle(state: State, slot: Slot) -> None:
    """Do what can be done now for this slot; what is missing will touch it again."""
    wish = slot.wish
    if wish is None:
        vacate(state, slot)
        return
    fresh = up_to_date(state, slot)
    if fresh is not None or slot.spawning or slot.deadline is not None or slot.done == wish.edition:
        stop_asking(state, slot)
        give_back(state, slot)
        starting = slot.spawning or (fresh is not None and fresh.phase != "ready")
        if not starting and len(slot.pids) > 1:
            drain_all(state, slot, but=fresh or serving(state, slot))
        if not starting and working(state, slot) <= 1:
            end_exchange(state, slot)
        return
    if any(not state.workers[pid].asked for pid in slot.pids) and not may_exchange(state, slot, wish):
        return
    if wish.entry.spawn == "fork" and not obtain(state, slot, wish):
        return
    if slot.pids and wish.kind.replace == "old-first":
        drain_all(state, slot)
    elif len(slot.pids) > 1:
        drain_all(state, slot, but=serving(state, slot))  # never a third process; whoever leaves has a deadline
    else:
        order(state, slot, wish)


def vacate(state: State, slot: Slot) -> None:
    """Empty a slot that is no longer wanted; it is forgotten with its last process."""
    stop_asking(state, slot)
    give_back(state, slot)
    end_exchange(state, slot)
    drain_all(state, slot)
    if not slot.pids and slot.spawning is None:
        del state.slots[slot.key]
        state.actions.append(ForgetSlot(slot.key))
        if state.stopping is not None:
            state.actions.append(Announce("stop", "settled", state.generation, slot.key, len(state.slots)))


def may_exchange(state: State, slot: Slot, wish: Wish) -> bool:
    """Take a place for an exchange, or line up for one."""
    name = wish.kind.name
    if slot.exchange == name:
        return True
    end_exchange(state, slot)
    if wish.entry.spawn == "fork":
        mold = state.molds[wish.generation]
        if mold.phase not in ("able", "planning"):
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
    """Give the place to the next in line."""
    if slot.exchange is not None:
        del state.exchanging[slot.exchange][slot.key]
        state.eased[slot.exchange] = None
        slot.exchange = None


def next_in_line(state: State) -> None:
    """Let one more slot of each kind try, where there is room; who needs no place makes room for the next."""
    for name in list(state.eased):
        line = state.lined_up.get(name)
        if line and len(state.exchanging.get(name, ())) < state.room.get(name, 1):
            key = next(iter(line))
            del line[key]
            state.touched[key] = None
        else:
            del state.eased[name]


def up_to_date(state: State, slot: Slot) -> Worker | None:
    """The process that stands for the slot's wish, ready or not.

    One that was killed for not becoming ready still does: its end is the failure that counts.
    """
    if slot.wish is not None:
        for pid in slot.pids:
            worker = state.workers[pid]
            if not worker.asked and worker.wish is not None and worker.wish.edition == slot.wish.edition:
                return worker
    return None


def serving(state: State, slot: Slot) -> Worker | None:
    """The newest process of the slot that does its work, whatever wish it is of."""
    for pid in reversed(slot.pids):
        if state.workers[pid].phase == "ready":
            return state.workers[pid]
    return None


def working(state: State, slot: Slot) -> int:
    """How many processes of the slot are more than an interpreter that ends, which takes longer than a worker's start.

    The next exchange need not wait for that. Whatever goes by the process does: the successor of a singleton, the
    change's own end, the next to be recycled.
    """
    return sum(not state.workers[pid].drained for pid in slot.pids)


def drain_all(state: State, slot: Slot, but: Worker | None = None) -> None:
    """Ask whoever lives in this slot to go, but for one."""
    for pid in slot.pids:
        worker = state.workers[pid]
        if worker is not but:
            state.drain(worker)
