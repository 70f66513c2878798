"""The state for people: what status prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .slot import Slot
    from .state import State


def view(state: State) -> dict[str, Any]:
    """Return the state as plain data. Times are of the clock that the events carried."""
    change = state.change
    return {
        "name": state.spec.name,
        "now": state.now,
        "generation": state.generation,
        "stopping": state.stopping is not None,
        "change": None if change is None else {"what": change.what, "stage": change.stage, "to": change.generation},
        "overrides": dict(state.overrides),
        "molds": [
            {
                "generation": mold.generation,
                "state": mold.phase,
                "spares": len(mold.idle),
                "since": mold.since,
            }
            for mold in state.molds.values()
        ],
        "slots": [slot_view(state, slot) for slot in state.slots.values()],
    }


def slot_view(state: State, slot: Slot) -> dict[str, Any]:
    """Return one slot; its process is the newest that lives there."""
    worker = state.workers[slot.pids[-1]] if slot.pids else None
    return {
        "key": slot.key,
        "state": condition(state, slot),
        "pid": worker and worker.pid,
        "generation": worker and worker.generation,
        "since": worker and worker.since,
        "leaving": slot.pids[:-1],
        "restarts": slot.restarts,
        "failures": slot.failures,
        "last_exit": slot.last_exit,
        "retry_at": slot.deadline,
    }


def condition(state: State, slot: Slot) -> str:
    """Return a slot's state in one word."""
    if slot.pids:
        newest = state.workers[slot.pids[-1]]
        made_up = newest.phase == "ready" and state.now - newest.since >= state.spec.healthy_after
        if slot.failures < state.spec.degraded_after or made_up or newest.asked:
            return newest.phase
        return "degraded"
    if slot.wish is None:
        return "leaving"
    if slot.done == slot.wish.edition:
        return "finished"
    return "degraded" if slot.failures >= state.spec.degraded_after else "waiting"


def as_text(state: State) -> str:
    """Return the state as a block of text, one line a slot."""
    seen = view(state)
    spares = sum(mold["spares"] for mold in seen["molds"])
    lines = [f"{state.spec.name}: generation {state.generation}, {len(state.slots)} slots, {spares} spares"]
    for slot in seen["slots"]:
        pid = f" pid {slot['pid']} generation {slot['generation']}" if slot["pid"] else ""
        last = f", last {slot['last_exit']}" if slot["last_exit"] else ""
        lines.append(f"  {slot['key']} {slot['state']}{pid}, {slot['restarts']} restarts{last}")
    return "\n".join(lines)
