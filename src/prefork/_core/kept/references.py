"""Checks that what the parts of a state name exists: a supervisor looks it up without asking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .snapshot import MalformedSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..state import State


def check_references(state: State) -> None:
    """Raise MalformedSnapshot if a slot, worker or mold names what the state does not have."""
    for text in _broken(state):
        raise MalformedSnapshot(f"the snapshot contradicts itself: {text}")


def _broken(state: State) -> Iterator[str]:
    for pid, worker in state.workers.items():
        slot = None if worker.target is None else state.slots.get(worker.target.entry.key)
        if worker.pid != pid or (worker.target is not None and (slot is None or pid not in slot.pids)):
            yield f"worker {pid} is in no slot"
    for key, slot in state.slots.items():
        if slot.key != key or not state.workers.keys() >= {*slot.pids, *filter(None, [slot.reserve])}:
            yield f"slot {key} has a process that does not exist"
        needed = {slot.asking, None if slot.target is None else slot.target.generation} - {None}
        if state.stopping is None and not state.molds.keys() >= needed:
            yield f"slot {key} needs a mold that does not exist"
        if slot.exchange is not None and key not in state.exchanging.get(slot.exchange, {}):
            yield f"slot {key} has no place for its exchange"
    for generation, mold in state.molds.items():
        if mold.generation != generation or not state.workers.keys() >= set(mold.idle):
            yield f"mold {generation} has a spare that does not exist"
    if state.generation and state.generation not in state.molds and state.stopping is None:
        yield f"generation {state.generation} has no mold"
