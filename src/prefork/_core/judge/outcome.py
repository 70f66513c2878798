"""The outcome of a comparison: the bake goes on, the other slots follow, or the change is rolled back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..rollout import advance, fail

if TYPE_CHECKING:
    from ..state import State
    from .counts import Measured


def measured(state: State, event: Measured) -> None:
    """Compare the workers of a bake: go on with it, with the rollout, or roll back."""
    change = state.change
    bake = None if change is None or change.generation != event.generation else change.bake
    if change is None or bake is None or not bake.due:
        return
    held = bake.held
    verdict = bake.look(event.samples, state.now)
    state.expect("bake", change.generation, bake.deadline)
    if verdict is None:
        if bake.held and not held:
            state.report(f"reload: held: {bake.lacks}", about=None)
        return
    bake.over, bake.deadline, change.judgement = True, None, f"; judged: {verdict.text}"
    if verdict.outcome == "worse" or (verdict.outcome == "insufficient" and bake.rules.insufficient != "pass"):
        fail(state, f"the new workers were judged: {verdict.text}")
    else:
        advance(state, change)
