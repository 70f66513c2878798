"""The course of a bake: its begin, and the questions for the counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..actions import Measure
from ..units import duration

if TYPE_CHECKING:
    from ..change import Change
    from ..state import State
    from .bake import Bake


def begin_bake(state: State, change: Change, bake: Bake) -> None:
    """Let the first workers serve beside the others, now that all are ready."""
    if bake.begun is None:
        keys, seconds = ", ".join(bake.keys), duration(bake.rules.seconds)
        text = f"reload: judging generation {change.generation}: {keys} served by it for {seconds}, beside the others"
        state.report(text, about=state.announcement(change, "baking", text=text))
        state.expect("bake", change.generation, bake.begin(state.now))


def measure(state: State, change: Change, bake: Bake) -> None:
    """Ask for the counts of the workers that are compared."""
    state.actions.append(Measure(change.generation, bake.kinds))
    state.expect("bake", change.generation, bake.ask(state.now))
