"""The targets of slots by the plan in force, and how many slots of a kind may be in exchange at a time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .._records.members import replace
from .slot import Slot, Target

if TYPE_CHECKING:
    from .plan import Entry, Plan
    from .state import State


def make_room(state: State, plan: Plan) -> None:
    """Set how many slots of each kind may be in exchange at a time: a quarter."""
    counts = Counter(entry.kind for entry in plan.wanted(state.overrides).values())
    for kind in plan.kinds:
        state.room[kind.name] = (counts[kind.name] + 3) // 4 or 1
        state.kinds_with_room[kind.name] = None


def set_targets(state: State, before: dict[str, Target | None]) -> None:
    """Give every slot its target by the committed plan: the earlier one, or else a new one."""
    wanted = state.plan.wanted(state.overrides)
    for key in [*state.slots, *before]:
        if key not in wanted:
            set_target(state, key, None)
    for key, entry in wanted.items():
        slot = state.slots.get(key)
        if former := before.get(key):
            set_target(state, key, former)
        elif slot is None or slot.target is None or key in before or _behind(state, slot.target, entry):
            set_target(state, key, new_target(state, entry))


def _behind(state: State, target: Target, entry: Entry) -> bool:
    """Return whether an auxiliary slot has another target than the plan in force gives it."""
    return state.plan.kind(entry.kind).auxiliary and replace(new_target(state, entry), edition=target.edition) != target


def new_target(state: State, entry: Entry) -> Target:
    """Return a new target of the committed generation."""
    kind = state.plan.kind(entry.kind)
    return Target(state.next_edition(), state.generation, entry, kind, state.plan.listeners_of(kind))


def set_target(state: State, key: str, target: Target | None) -> None:
    """Set the target of a slot; None to empty it."""
    slot = state.slots.get(key)
    if slot is None:
        if target is None:
            return
        slot = state.slots[key] = Slot(key)
    slot.retarget(target, state.cause)
    state.dirty_slots[key] = None
