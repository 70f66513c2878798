"""When a slot whose worker has ended, or could not be started, gets the next one: at once, or after a wait.

The rules are at the head of `pace.py`. A slot waits either by itself (`slot.deadline`) or in the line of its pool
(`slot.waits`); `gap.reconcile` starts nothing in a slot that waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..slot import pause
from ..units import duration

if TYPE_CHECKING:
    from ..slot import Slot, Worker
    from ..state import State
    from .pace import Pace

_QUIET = 10.0
"""Seconds after which it is logged again that no worker is ready; later, once more each time the outage has doubled."""


def ended(state: State, slot: Slot, lived: float | None, worked: bool) -> bool:
    """Have a slot relaunched whose worker was ready for `lived` seconds, None for never; return whether it failed."""
    if lived is not None and lived >= state.spec.healthy_after:
        slot.failures, slot.failed_starts = 1, 0
        pace = state.pace(slot.kind)
        pace.failures, pace.early = 0, False
        return False
    slot.failures += 1
    if worked:  # Also before its readiness was known: a request that kills may have waited for it.
        slot.failed_starts = 0
        _wait_in_line(state, slot)
        return False
    _could_not_start(state, slot, early=lived is not None)
    return True


def _could_not_start(state: State, slot: Slot, early: bool) -> None:
    """Have a slot relaunched whose start has failed: at once the first time."""
    slot.failed_starts += 1
    pace = state.pace(slot.kind)
    pace.early = early
    if not early:
        pace.failed[slot.key] = None
    if pace.down:
        pace.since = pace.since if pace.failures else state.now
        pace.failures += 1
        _wait_in_line(state, slot)
    elif wait := pause(state.spec, slot.failed_starts, state.chance()):
        slot.deadline = state.now + wait
        state.expect("slot", slot.key, slot.deadline)


def became_ready(state: State, worker: Worker) -> None:
    """Note a ready worker; if starts had failed, the cause has gone, and the slots that wait for that are started."""
    assert worker.target is not None
    key, kind = worker.target.entry.key, worker.target.kind.name
    pace = state.pace(kind)
    if pace.reported:
        pace.reported = False
        state.report(f"{kind}: a worker is ready again ({key})", about=None)
    if pace.early or not (pace.failures or key in pace.failed):
        return
    pace.failures = 0
    for key in pace.failed:
        slot = state.slots.get(key)
        if slot is not None and slot.deadline is not None:
            slot.deadline, slot.waits = None, True
            pace.waiting[key] = None
    pace.failed.clear()
    start_waiting(state, kind)


def start_waiting(state: State, kind: str) -> None:
    """Start the slots whose turn has come, and set the deadline of the next."""
    pace, rate = state.pace(kind), state.rate(kind)
    pace.count(state.now, rate, state.spec)
    pace.deadline = None
    while (slot := _first(state, pace)) is not None:
        turn = pace.next_start(state.now, rate, state.spec)
        if turn > state.now:
            pace.deadline = turn
            state.expect("pace", kind, turn)
            return
        del pace.waiting[slot.key]
        slot.waits = False
        pace.last = state.now
        pace.spent += 1
        state.dirty_slots[slot.key] = None


def next_start(state: State, slot: Slot) -> float | None:
    """Return when a slot that waits is started, as far as it is known; None if it does not wait."""
    return state.pace(slot.kind).deadline if slot.waits else slot.deadline


def report_outage(state: State, slot: Slot) -> None:
    """Log, now and then, that no worker of the slot's pool is ready and that the next start has to wait."""
    pace = state.pace(slot.kind)
    if not pace.down or pace.deadline is None or state.now < pace.quiet_until:
        return
    pace.reported = True
    pace.quiet_until = state.now + max(_QUIET, state.now - pace.since if pace.failures else 0.0)
    facts = f"{len(pace.waiting)} waiting, the last one {slot.last_exit or 'failed to start'}"
    when = duration(pace.deadline - state.now)
    state.report(f"{slot.kind}: no worker is ready ({facts}); next start in {when}", about=None)


def _wait_in_line(state: State, slot: Slot) -> None:
    slot.waits = True
    state.pace(slot.kind).waiting[slot.key] = None
    start_waiting(state, slot.kind)


def _first(state: State, pace: Pace) -> Slot | None:
    """Return the slot that has waited longest; forget those that are gone or have another target by now."""
    for key in list(pace.waiting):
        slot = state.slots.get(key)
        if slot is not None and slot.waits:
            return slot
        del pace.waiting[key]
    return None
