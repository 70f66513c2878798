"""What another plan would change, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..change import Change
    from ..plan import Entry, Plan
    from ..slot import Target
    from ..state import State


def difference(state: State, change: Change, plan: Plan) -> dict[str, Any]:
    """Return the slots that would be added, removed and replaced (with reasons), and listeners opened and closed.

    `renewed`: slots that a reload replaces only for the new code. `kept`: slots that a replan leaves as they are.
    """
    current = {key: slot.target for key, slot in state.slots.items() if slot.target is not None}
    desired = plan.wanted(state.overrides)
    common = {key: entry for key, entry in desired.items() if key in current}
    replaced = {key: why for key, entry in common.items() if (why := _why(current[key], entry, plan))}
    same = [key for key in common if key not in replaced]
    renew = change.generation != state.generation
    before = {one.name: one.address for one in state.plan.listeners}
    after = {one.name: one.address for one in plan.listeners}
    return {
        "of": change.what,
        "added": [key for key in desired if key not in current],
        "removed": [key for key in current if key not in desired],
        "replaced": replaced,
        "renewed": same if renew else [],
        "kept": [] if renew else same,
        "opened": {name: address for name, address in after.items() if before.get(name) != address},
        "closed": {name: address for name, address in before.items() if after.get(name) != address},
    }


def summary(data: dict[str, Any]) -> str:
    """Return a difference as one line."""
    verbs = {"add": "added", "remove": "removed", "replace": "replaced", "renew": "renewed", "keep": "kept"}
    parts = [f"{verb} {len(data[name])}" for verb, name in verbs.items() if data[name]]
    if not any(data[name] for name in (*list(verbs.values())[:-1], "opened", "closed")):
        parts = ["change nothing"]
    return f"a {data['of']} would {', '.join(parts)}"


def _why(target: Target, entry: Entry, plan: Plan) -> list[str]:
    """Return what differs; empty if nothing does."""
    differs = {
        "parameters": target.entry.digest != entry.digest,
        "spawn": target.entry.spawn != entry.spawn,
        "options": target.kind != plan.kind(entry.kind),
        "listeners": target.listeners != plan.listeners_of(target.kind),
    }
    return [name for name, does in differs.items() if does]
