"""The generation before the one in force: its mold is kept for a while, so that `prefork back` needs no import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..change import Former
from ..molds import retire, retire_unused

if TYPE_CHECKING:
    from ..plan import Plan
    from ..state import Mold, State


def keep(state: State, generation: int, plan: Plan) -> None:
    """Keep the generation that was left, in place of the one before it; none where the options do not say so."""
    state.former = None
    mold = state.molds.get(generation)
    if state.options.keep_mold > 0 and generation and mold is not None and not mold.retired:
        state.former = Former(generation, plan, state.now + state.options.keep_mold)
        state.expect("former", generation, state.former.deadline)


def expired(state: State) -> None:
    """End the mold that was kept for long enough, unless a change needs it."""
    state.former = None
    retire_unused(state)


def lost(state: State, mold: Mold, reason: str) -> bool:
    """Give a former generation up whose mold has ended: another import might be of other code.

    Return whether nothing is left to do: a change that returns to it fails.
    """
    if state.former is None or state.former.generation != mold.generation:
        return False
    state.former = None
    if state.change is not None and state.change.generation == mold.generation:
        return False
    state.report(f"mold of generation {mold.generation}: {reason}; `prefork back` cannot return to it")
    retire(state, mold)
    return True
