"""Orphans: workers of a dead master. They serve until this daemon's own workers do, or until it is stopped.

A daemon whose start fails leaves them alone: they are the only ones that serve, and the next master finds them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .actions import DrainOrphan, KillOrphan
from .state import Orphan
from .units import duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .state import State


def found(state: State, drain_timeouts: Mapping[int, float]) -> None:
    """Note the orphans that are there at the start, by pid."""
    state.orphans = {pid: Orphan(pid, timeout) for pid, timeout in drain_timeouts.items()}
    count = f"{len(state.orphans)} worker{'s' * (len(state.orphans) > 1)}"
    pids = ", ".join(map(str, state.orphans))
    state.report(
        f"orphans: found {count} of a previous master (pid {pids}); they serve until the workers of this one are ready"
    )


def ended(state: State, pid: int) -> None:
    """Note the end of one."""
    if state.orphans.pop(pid, None) is not None and not state.orphans:
        state.report("orphans: the workers of a previous master have ended")


def reconcile(state: State) -> None:
    """Ask the orphans to drain as soon as they are not needed any more."""
    if all(orphan.asked for orphan in state.orphans.values()):
        return
    if state.stopping is not None:
        if state.stopping.requested:
            _drain(state, "daemon stop")
    elif state.generation and not state.lacking:
        _drain(state, "workers of a new master ready")


def late(state: State, orphan: Orphan) -> None:
    """Kill an orphan that has not ended in time."""
    if not orphan.killed:
        if state.stopping is not None:
            state.stopping.killed += 1
        waited = duration(state.now - orphan.since)
        state.report(
            f"orphans: worker of a previous master still draining after {waited} (pid {orphan.pid}); killing it"
        )
    kill(state, orphan)


def kill(state: State, orphan: Orphan) -> None:
    """Kill an orphan."""
    orphan.asked = orphan.killed = True
    _expect(state, orphan, state.spec.kill_timeout)
    state.actions.append(KillOrphan(orphan.pid))


def _drain(state: State, why: str) -> None:
    state.report(f"orphans: draining the workers of a previous master ({why})")
    for orphan in state.orphans.values():
        if not orphan.asked:
            orphan.asked, orphan.since = True, state.now
            _expect(state, orphan, orphan.drain_timeout)
            state.actions.append(DrainOrphan(orphan.pid))


def _expect(state: State, orphan: Orphan, seconds: float) -> None:
    orphan.deadline = state.now + seconds
    state.expect("orphan", orphan.pid, orphan.deadline)
