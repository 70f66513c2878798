"""Which slots are moved first: one that proves that a worker can start, or those of a judged reload, which bake.

A kind bakes if two of its slots have a worker, of which one stays: one that is to be replaced after the old worker's
end (`old-first`) never runs beside it, and an auxiliary one serves no requests of the application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .bake import Bake, Rules

if TYPE_CHECKING:
    from ..._options.records import DaemonOptions
    from ..change import Change
    from ..state import State


def rules(options: DaemonOptions) -> Rules | None:
    """Return how a reload is judged with these options; None if it is not."""
    if not options.judge:
        return None
    return Rules(options.bake, options.canary_share, options.judge_min_requests, options.judge_insufficient)


def choose(state: State, change: Change) -> None:
    """Choose the first slots to be moved, of those that wait for it."""
    assert change.plan is not None
    change.canaries, change.bake = {}, None
    options = change.plan.options or state.spec.options
    judged = rules(change.wish.judged(options) if change.wish is not None else options)
    if judged is not None and change.what == "reload":
        if keys := _to_bake(state, change, judged.share):
            change.canaries = dict.fromkeys(keys)
            kinds = dict.fromkeys(change.pending[key].kind.name for key in keys)
            change.bake = Bake(judged, dict.fromkeys(keys), tuple(kinds))
            return
        change.judgement = "; not judged: no kind has two workers that may serve side by side"
    best = (False, False)
    for key, target in change.pending.items():
        rank = (target.kind.options.replace == "new-first", key in state.slots)
        if not change.canaries or rank > best:
            change.canaries, best = {key: None}, rank


def end_alone(state: State, change: Change) -> None:
    """End a bake without a verdict if a scaling has left no worker of the old generation to compare with."""
    bake = change.bake
    if bake is None or bake.over:
        return
    others = (slot for key, slot in state.slots.items() if key not in bake.keys and slot.target is not None)
    if not any(slot.kind in bake.kinds for slot in others):
        bake.over, bake.deadline = True, None
        change.judgement = "; not judged: no worker of the old generation is left"


def _to_bake(state: State, change: Change, share: int) -> list[str]:
    """Return the keys of the slots that bake: of each kind `share`, and one fewer than it has, at most."""
    found: dict[str, list[str]] = {}
    for key, target in change.pending.items():
        slot = state.slots.get(key)
        if slot is not None and slot.kind == target.kind.name and target.kind.options.replace == "new-first":
            found.setdefault(slot.kind, []).append(key)
    for keys in found.values():
        # Those that a superseded reload has moved come first: what stays is of the generation before.
        keys.sort(key=lambda key: key not in change.before)
        del keys[min(share, len(keys) - 1) :]
    return [key for keys in found.values() for key in keys]
