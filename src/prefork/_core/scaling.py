"""The size of a pool, set by a command; it survives a reload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .actions import Announce
from .judge.canaries import choose, end_alone
from .rollout import advance, plan_move, reached
from .state import Scaling
from .targets import make_room, new_target, set_target

if TYPE_CHECKING:
    from .change import Change
    from .plan import Entry
    from .state import State


def scale(state: State, kind: str | None, size: int | None, askers: list[int]) -> None:
    """Give a pool another size at once, during a change too; `size` None is the plan's own."""
    change = state.change
    rolling = change if change is not None and change.stage == "rolling" and change.what != "restart" else None
    plan = rolling.plan if rolling is not None and rolling.plan is not None else state.plan
    pool = plan.pool(kind)
    if pool is None:
        known = ", ".join(sorted(one.kind for one in plan.pools)) or "none"
        refuse(state, askers, f"the plan has no pool {kind or 'by default'}; it has {known}")
        return
    if size is not None and pool.clamp(size) != size:
        limits = f"the pool takes {pool.minimum} to {len(pool.keys)} workers"
        refuse(state, askers, f"{pool.kind}: scale to {size} refused: {limits}")
        return
    if size is None:
        state.overrides.pop(pool.kind, None)
    else:
        state.overrides[pool.kind] = size
    state.scaling_ended(pool.kind, False, "superseded by a newer scale")
    make_room(state, plan)
    wanted = plan.wanted(state.overrides)
    keys = dict.fromkeys(key for key in pool.keys if rescale(state, rolling, key, wanted.get(key)))
    if not keys:
        state.reply(askers, True, f"{pool.kind}: nothing to do")
        return
    goal = pool.clamp(state.overrides.get(pool.kind, pool.size))
    for asker in askers:
        options = plan.kind(pool.kind).options
        patience = state.options.import_timeout + options.start_timeout + options.drain_timeout
        state.scaling[pool.kind] = Scaling(asker, goal, state.now + patience, keys)
        state.expect("scaling", pool.kind, state.now + patience)
        state.actions.append(Announce("scale", "rolling", state.generation, left=len(keys), pool=pool.kind))
    if rolling is not None:
        end_alone(state, rolling)
        advance(state, rolling)


def step(state: State, by: int) -> None:
    """Change the size of the default pool by `by`, within its limits."""
    pool = state.plan.pool()
    if pool is None:
        scale(state, None, None, [])
    else:
        size = pool.clamp(state.overrides.get(pool.kind, pool.size) + by)
        scale(state, pool.kind, size, [])


def scaled(state: State, key: str) -> None:
    """Note whether a slot that was reconciled ends the scaling of its pool."""
    for kind, scaling in list(state.scaling.items()):
        slot = state.slots.get(key)
        if key in scaling.keys and (slot is None or reached(state, slot)):
            del scaling.keys[key]
            state.actions.append(Announce("scale", "settled", state.generation, key, len(scaling.keys), pool=kind))
            if not scaling.keys:
                state.scaling_ended(kind, True, f"{kind}: scaled to {scaling.size}")


def refuse(state: State, askers: list[int], text: str) -> None:
    """Send the reason to the client, and log it: the log has the request, too."""
    state.report(text)
    state.reply(askers, False, text)


def rescale(state: State, rolling: Change | None, key: str, entry: Entry | None) -> bool:
    """Apply the new size to one slot of a pool; return whether its target changes."""
    slot = state.slots.get(key)
    wanted_before = slot is not None and slot.target is not None
    if entry is None:
        if rolling is not None:
            drop(state, rolling, key)
        set_target(state, key, None)
        return wanted_before
    if rolling is not None and rolling.what != "restart":
        # It waits for the canary like the others; one that the new plan did not have is moved, too.
        assert rolling.plan is not None
        plan_move(state, rolling, entry, rolling.plan.kind(entry.kind))
        former = state.plan.wanted(state.overrides).get(key) if rolling.on_trial and not wanted_before else None
        if former is not None:  # It serves at once: a bake may last.
            set_target(state, key, new_target(state, former))
    elif not wanted_before:
        set_target(state, key, new_target(state, entry))
    return not wanted_before


def drop(state: State, rolling: Change, key: str) -> None:
    """Take a slot out of the change; if it was the canary, choose another."""
    rolling.pending.pop(key, None)
    rolling.flight.pop(key, None)
    first = rolling.canaries if rolling.bake is None else rolling.bake.keys
    if key in first:
        rolling.canaries.pop(key, None)
        del first[key]
        if not first and not (rolling.bake and rolling.bake.over):
            choose(state, rolling)
