"""The state for `prefork status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..restarts.relaunch import next_start
from .baking import bake_view

if TYPE_CHECKING:
    from ..change import Change
    from ..slot import Slot, Worker
    from ..state import State


def overview(state: State) -> dict[str, Any]:
    """Return all but the slots, as plain data. Times are of the events' clock."""
    change = state.change
    return {
        "name": state.spec.name,
        "generation": state.generation,
        "stopping": state.stopping is not None,
        "change": None if change is None else change_view(change),
        "queue": [change_view(waiting) for waiting in state.queue],
        "overrides": dict(state.overrides),
        "pools": [
            {
                "pool": pool.kind,
                "size": pool.clamp(state.overrides.get(pool.kind, pool.size)),
                "planned": pool.size,
                "min": pool.minimum,
                "max": len(pool.keys),
            }
            for pool in state.plan.pools
        ],
        "listeners": [
            {
                "name": one.name,
                "address": one.address,
                "sharing": one.sharing,
                "backlog": one.backlog,
                "auxiliary": one.auxiliary,
            }
            for one in state.plan.listeners
        ],
        "molds": [
            {
                "generation": mold.generation,
                "state": mold.phase,
                "spares": len(mold.idle),
                "since": mold.since,
                "failures": mold.failures,
                "failed_forks": mold.failed_forks,
                "reason": mold.reason,
            }
            for mold in state.molds.values()
        ],
    }


def change_view(change: Change) -> dict[str, Any]:
    """Return the progress of a change: `left` slots have not reached their target."""
    return {
        "what": change.name,
        "slot": change.key,
        "stage": "baking" if change.on_trial and not change.canaries else change.stage,
        "to": change.generation,
        "left": len(change.pending) + len(change.flight),
        "why": change.cause,
        "bake": bake_view(change.bake) if change.bake is not None and change.on_trial else None,
    }


def slot_view(state: State, slot: Slot, now: float) -> dict[str, Any]:
    """Return one slot: its newest process, and in `leaving` the others."""
    worker = state.workers[slot.pids[-1]] if slot.pids else None
    return {
        "key": slot.key,
        "kind": slot.target.kind.name if slot.target else "",
        "auxiliary": slot.auxiliary,
        "state": condition(state, slot, now),
        "pid": worker and worker.pid,
        "generation": worker and worker.generation,
        "since": worker and worker.since,
        "serving": any(state.workers[pid].phase == "ready" for pid in slot.pids),
        "exchanging": slot.exchange is not None,
        "leaving": [leaving_view(state.workers[pid]) for pid in slot.pids[:-1]],
        "restarts": slot.restarts,
        "failures": slot.failures,
        "last_exit": slot.last_exit,
        "retry_at": next_start(state, slot),
        "why": slot.why,
    }


def leaving_view(worker: Worker) -> dict[str, Any]:
    """Return a process of a slot that has a newer one."""
    return {"pid": worker.pid, "state": worker.phase, "generation": worker.generation, "since": worker.since}


def condition(state: State, slot: Slot, now: float) -> str:
    """Return a slot's state in one word."""
    if slot.pids:
        newest = state.workers[slot.pids[-1]]
        recovered = newest.phase == "ready" and now - newest.since >= state.spec.healthy_after
        if slot.failures < state.spec.degraded_after or recovered or newest.asked:
            return newest.phase
        return "degraded"
    if slot.target is None:
        return "leaving"
    if slot.done == slot.target.edition:
        return "finished"
    return "degraded" if slot.failures >= state.spec.degraded_after else "waiting"


def as_text(state: State) -> str:
    """Return the state as a block of text, one line a slot."""
    spares = sum(len(mold.idle) for mold in state.molds.values())
    lines = [f"{state.spec.name}: generation {state.generation}, {len(state.slots)} slots, {spares} spares"]
    for slot in (slot_view(state, slot, state.now) for slot in state.slots.values()):
        pid = f" pid {slot['pid']} generation {slot['generation']}" if slot["pid"] else ""
        last = f", last {slot['last_exit']}" if slot["last_exit"] else ""
        lines.append(f"  {slot['key']} {slot['state']}{pid}, {slot['restarts']} restarts{last}")
    return "\n".join(lines)
