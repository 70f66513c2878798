"""Workers that have reached a limit of their kind, replaced one at a time.

One that is worn out serves on until its successor is ready, as in a rollout (or ends first, where its kind is
`replace="old-first"`). The next one's turn comes when the old one has ended: a limit that all reach at the same time,
as workers of one age do, never has two of them away. A successor that does not become ready is tried again as after a
crash, with the old one still there. A change that is under way goes first: most likely it replaces them anyway.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .gap import up_to_date
from .rollout import reached

if TYPE_CHECKING:
    from .slot import Worker
    from .state import State

_SPREAD = 0.1
"""Workers that are born together reach their age apart, by up to this share of it."""


def age(state: State, worker: Worker) -> None:
    """A worker is ready: note when it will be too old."""
    if worker.target is not None and worker.target.kind.options.max_age > 0:
        worker.deadline = state.now + worker.target.kind.options.max_age * (1 - _SPREAD * state.chance())
        state.expect("worker", worker.pid, worker.deadline)


def worn_out(state: State, pid: int, reason: str) -> None:
    """A worker is to be replaced, when its turn comes; said again, it changes nothing."""
    worker = state.workers.get(pid)
    if worker is not None and worker.target is not None and worker.phase == "ready" and pid not in state.worn:
        state.worn[pid] = reason
        state.report(f"{worker.target.entry.key}: worn out: {reason} (pid {pid}); to be replaced")


def next_turn(state: State) -> bool:
    """Let the next one be replaced, where none is; whether there is something to do."""
    if state.recycling and not _settled(state, state.recycling):
        return False
    state.recycling = ""
    while state.worn and state.change is None and state.stopping is None:
        pid, reason = next(iter(state.worn.items()))
        del state.worn[pid]
        worker = state.workers.get(pid)
        slot = state.slots.get(worker.target.entry.key) if worker is not None and worker.target is not None else None
        if slot is None or slot.target is None or up_to_date(state, slot) is not worker:
            continue  # A crash, a rollout or a scaling was first.
        slot.retarget(replace(slot.target, edition=state.next_edition()), f"worn out: {reason}")
        state.recycling = slot.key
        state.dirty_slots[slot.key] = None
        return True
    return False


def _settled(state: State, key: str) -> bool:
    slot = state.slots.get(key)
    return slot is None or (reached(state, slot) and len(slot.pids) <= 1)
