"""What following another plan would change, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .plan import Entry, Plan
    from .slot import Target
    from .state import Change, State


def difference(state: State, change: Change, plan: Plan) -> dict[str, Any]:
    """Return which slots would be added, removed, and replaced for what; which listeners opened and closed.

    `renewed` are the slots that a reload replaces for the new code alone, `kept` those that a replan leaves.
    """
    wished = {key: slot.target for key, slot in state.slots.items() if slot.target is not None}
    wanted = plan.wanted(state.overrides)
    replaced = {key: why for key, entry in wanted.items() if key in wished and (why := _why(wished[key], entry, plan))}
    same = [key for key in wanted if key in wished and key not in replaced]
    renew = change.generation != state.generation
    before = {one.name: one.address for one in state.plan.listeners}
    after = {one.name: one.address for one in plan.listeners}
    return {
        "of": change.what,
        "added": [key for key in wanted if key not in wished],
        "removed": [key for key in wished if key not in wanted],
        "replaced": replaced,
        "renewed": same if renew else [],
        "kept": [] if renew else same,
        "opened": {name: address for name, address in after.items() if before.get(name) != address},
        "closed": {name: address for name, address in before.items() if after.get(name) != address},
    }


def summary(data: dict[str, Any]) -> str:
    """Say a difference in one line."""
    verbs = {"add": "added", "remove": "removed", "replace": "replaced", "renew": "renewed", "keep": "kept"}
    parts = [f"{verb} {len(data[name])}" for verb, name in verbs.items() if data[name]]
    if not any(data[name] for name in (*list(verbs.values())[:-1], "opened", "closed")):
        parts = ["change nothing"]
    return f"a {data['of']} would {', '.join(parts)}"


def _why(target: Target, entry: Entry, plan: Plan) -> list[str]:
    """Return what is not as before; nothing where all is."""
    differs = {
        "parameters": target.entry.digest != entry.digest,
        "spawn": target.entry.spawn != entry.spawn,
        "options": target.kind != plan.kind(entry.kind),
        "listeners": target.listeners != plan.listeners,
    }
    return [name for name, does in differs.items() if does]
