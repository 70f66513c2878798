"""The command `back`: return to the former generation, or withdraw the reload that is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..change import Change
from ..rollout import end_settled, request, withdraw

if TYPE_CHECKING:
    from ..state import State


def go_back(state: State, askers: list[int]) -> None:
    """Begin the way back, or refuse it."""
    end_settled(state)
    change = state.change
    if change is not None and change.what == "reload" and not change.dry:
        withdraw(state, f"reload: withdrawn by `prefork back` (generation {change.generation})")
        state.reply(askers, True, f"back: the reload is withdrawn; generation {state.generation} goes on serving")
    elif state.former is None:
        text = "back: no former generation is kept: set keep_mold (--keep-mold SECONDS), or reload the former code"
        state.report(text)
        state.reply(askers, False, text)
    else:
        request(state, Change("back", askers))
