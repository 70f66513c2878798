"""The health of the daemon, counted as slots change, so that no reader has to walk over all slots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._records.record import record
from ..gap import serving

if TYPE_CHECKING:
    from ..slot import Slot
    from ..state import State

_LONGEST = 200
"""Characters of a failure that are kept; the log has all of it."""


@record
class Health:
    """How many of the `wanted` slots have a ready worker, and what is under way. Auxiliary slots do not count.

    `change` is a start, reload, replan or restart to generation `to`, with `left` slots to go; empty if there is none.
    `setback` says how the last change failed; empty if it succeeded.
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
        """Return all of it as one line."""
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


def health(state: State) -> Health:
    """Return the health of the daemon; costs the same for one slot and for a thousand."""
    change, stopping = state.change, state.stopping
    wanted = len(state.slots) - len(state.leaving) - len(state.aside)
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


def count_slot(state: State, key: str) -> None:
    """Count a slot that was reconciled: among those that lack a worker, that leave, or that are auxiliary, or none."""
    slot = state.slots.get(key)
    for kept, belongs in (
        (state.leaving, slot is not None and slot.target is None),
        (state.lacking, slot is not None and lacks(state, slot)),
        (state.aside, slot is not None and slot.auxiliary),
    ):
        if belongs:
            kept[key] = None
        else:
            kept.pop(key, None)


def lacks(state: State, slot: Slot) -> bool:
    """Return whether a slot has a target and no worker that is ready."""
    return (
        slot.target is not None
        and not slot.auxiliary
        and slot.done != slot.target.edition
        and serving(state, slot) is None
    )
