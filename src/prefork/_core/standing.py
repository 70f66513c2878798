"""The health of the daemon, counted as slots change.

So no process has to walk over all slots to know it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .gap import serving

if TYPE_CHECKING:
    from .slot import Slot
    from .state import State

_LONGEST = 200
"""Characters of a failure that are told; the log has all of it."""


@dataclass(frozen=True, slots=True)
class Health:
    """How many of the wanted slots have what they want, and what is under way.

    `change` is a start, reload, replan or restart on its way to generation `to`, with so many slots `left` to move;
    empty where there is none. `setback` says how the last one failed; it is empty where that one was reached.
    """

    ready: int
    wanted: int
    generation: int
    change: str = ""
    to: int = 0
    left: int = 0
    setback: str = ""
    stopping: bool = False

    @property
    def text(self) -> str:
        """All of it, in one line."""
        if self.stopping:
            return f"stopping: {self.setback}" if self.setback else "stopping"
        if not self.generation:
            return "starting"
        parts = [f"{self.ready}/{self.wanted} ready, generation {self.generation}"]
        if self.change:
            parts.append(f"{self.change} of generation {self.to}" + (f", {self.left} to go" if self.left else ""))
        if self.setback:
            parts.append(self.setback)
        return "; ".join(parts)


def standing(state: State) -> Health:
    """Return how things stand; costs the same for one slot and for a thousand."""
    change, stopping = state.change, state.stopping
    wanted = len(state.slots) - len(state.leaving)
    setback = stopping.last_words if stopping else state.setback
    return Health(
        wanted - len(state.lacking),
        wanted,
        state.generation,
        change.name if change else "",
        change.generation if change else 0,
        len(change.pending) + len(change.flight) if change else 0,
        setback.partition("\n")[0][:_LONGEST],
        stopping is not None,
    )


def note(state: State, key: str) -> None:
    """Count a slot that was reconciled: among those that lack a worker, those that are leaving, or neither."""
    slot = state.slots.get(key)
    for kept, belongs in (
        (state.leaving, slot is not None and slot.target is None),
        (state.lacking, slot is not None and lacks(state, slot)),
    ):
        if belongs:
            kept[key] = None
        else:
            kept.pop(key, None)


def lacks(state: State, slot: Slot) -> bool:
    """Whether a slot is to have a worker and has none that does its work."""
    return slot.target is not None and slot.done != slot.target.edition and serving(state, slot) is None
