"""Workers that have reached a limit of their kind, replaced one at a time.

A worn-out worker serves until its successor is ready, and drains beside it, as in a rollout (or ends first, if its
kind is `replace="old-first"`). Then the next one follows: a pool whose workers reach a limit together is never below
its size. A worker whose own predecessor still drains has to wait, since a limit is no reason to cut that one's drain. A
successor that does not become ready is retried as after a crash, while the old one serves. A change that is under way
goes first: most likely it replaces these workers anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._records.members import replace
from ..gap import up_to_date
from ..rollout import reached

if TYPE_CHECKING:
    from ..slot import Worker
    from ..state import State

_SPREAD = 0.1
"""Up to this share of `max_age` is taken off at random, so that workers forked together do not reach it together."""


def age(state: State, worker: Worker) -> None:
    """Set the deadline at which a worker that became ready reaches `max_age`."""
    if worker.target is not None and worker.target.kind.options.max_age > 0:
        worker.deadline = state.now + worker.target.kind.options.max_age * (1 - _SPREAD * state.chance())
        state.expect("worker", worker.pid, worker.deadline)


def worn_out(state: State, pid: int, reason: str) -> None:
    """Note that a worker is to be replaced when its turn comes; repeated calls change nothing."""
    worker = state.workers.get(pid)
    if worker is not None and worker.target is not None and worker.phase == "ready" and pid not in state.worn:
        state.worn[pid] = reason
        state.report(f"{worker.target.entry.key}: worn out: {reason} (pid {pid}); to be replaced")


def next_turn(state: State) -> bool:
    """Begin to replace the next worn-out worker unless one is being replaced; return whether one was begun."""
    slot = state.slots.get(state.recycling)
    if slot is not None and not reached(state, slot):
        return False
    state.recycling = ""
    if not state.worn or state.change is not None or state.stopping is not None:
        return False
    for pid, reason in list(state.worn.items()):
        worker = state.workers.get(pid)
        slot = state.slots.get(worker.target.entry.key) if worker is not None and worker.target is not None else None
        if slot is not None and len(slot.pids) > 1 and up_to_date(state, slot) is worker:
            continue
        del state.worn[pid]
        if slot is None or slot.target is None or up_to_date(state, slot) is not worker:
            continue  # A crash, a rollout or a scaling came first.
        slot.retarget(replace(slot.target, edition=state.next_edition()), f"worn out: {reason}")
        state.recycling = slot.key
        state.dirty_slots[slot.key] = None
        return True
    return False
