"""Adoption: a new master goes on with the workers of a dead one, from that one's last snapshot.

With the master its molds, spares and singletons have died, and the connections of its clients. The snapshot may be
older than the truth: a worker that it names may have ended since, and one may live that it does not name. Such a one is
adopted where its slot wants just that worker and has none; otherwise it drains as an orphan. A change that was under
way is rolled back. The generation is imported again, of the code that is there now; its plan is applied as by a replan,
which leaves every worker alone that it names with the same parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..change import Change
from ..events import WorkerEnded
from ..failures import worker_ended
from ..kept.snapshot import MalformedSnapshot
from ..molds import retire_unused, start_mold
from ..rollout import request, withdraw
from ..slot import Worker
from ..state import Mold, Orphan
from ..targets import make_room
from .orders import AdoptWorker

if TYPE_CHECKING:
    from ..state import State
    from .facts import Survivor

_GONE = "ended while it had no master"


def inherit(state: State) -> None:
    """Forget what has died with the master. Raises MalformedSnapshot if nothing is to be adopted."""
    if state.stopping is not None or state.exited:
        raise MalformedSnapshot("the daemon of the snapshot was stopping")
    if not state.generation:
        raise MalformedSnapshot("the daemon of the snapshot had not started")
    state.upgrading, state.proven = None, True
    state.queue, state.untried, state.worn, state.recycling = [], {}, {}, ""
    state.scaling, state.orphans, state.exchanging, state.lined_up, state.paces = {}, {}, {}, {}, {}
    if state.change is not None:
        state.change.askers = []
    state.former = None  # Its mold is dead, and another import may be of other code.
    state.molds = {number: Mold(number, "paused") for number, mold in state.molds.items() if not mold.retired}
    state.molds.setdefault(state.generation, Mold(state.generation, "paused"))
    state.workers = {pid: worker for pid, worker in state.workers.items() if worker.target is not None}
    for worker in state.workers.values():
        assert worker.target is not None
        if worker.phase == "ready":
            state.pace(worker.target.kind.name).ready += 1
        elif worker.phase == "starting" and worker.generation in state.molds:
            state.molds[worker.generation].starting += worker.target.holds_up_spares
    for slot in state.slots.values():
        slot.reserve = slot.asking = slot.spawning = slot.exchange = slot.deadline = None
        slot.failures = slot.failed_starts = 0
        slot.waits = False
        if slot.target is not None and not slot.auxiliary:
            state.lacking[slot.key] = None  # Until it is known which workers live: no orphan drains before.
    state.rebuild_heap()


def survived(state: State, survivors: tuple[Survivor, ...]) -> None:
    """Adopt the workers that live, and close the gap that the death of the others has left."""
    state.cause = "replan by a new master"
    known = {one.pid: one for one in survivors if _is_known(state, one)}
    for survivor in known.values():
        _take_over(state, survivor)
    change, state.change = state.change, None
    for pid in [pid for pid in state.workers if pid not in known]:
        state.workers[pid].asked |= not survivors  # All have ended with the master: none has failed.
        worker_ended(state, WorkerEnded(pid, int(bool(survivors)), _GONE, worked=True))
    state.change = change
    make_room(state, state.plan)
    if change is not None:
        withdraw(state, f"{change.name}: withdrawn: the master was killed")
    else:
        retire_unused(state)
    for survivor in survivors:
        if survivor.pid not in known:
            _take_in(state, survivor)
    state.newest = max(state.newest, *(one.generation for one in survivors), 0)
    state.dirty_slots.update(dict.fromkeys(state.slots))
    for mold in state.molds.values():
        start_mold(state, mold.generation)
    state.report(_said(state, survivors))
    request(state, Change("replan", []))


def _said(state: State, survivors: tuple[Survivor, ...]) -> str:
    of = f"of a killed master (generation {state.generation})"
    if not survivors:
        return f"adopted the sockets and counts {of}; its workers have ended with it; starting others"
    count = len(survivors) - len(state.orphans.keys() & {one.pid for one in survivors})
    return f"adopted {count} worker{'s' * (count != 1)} {of}"


def _is_known(state: State, survivor: Survivor) -> bool:
    """Return whether the snapshot names this worker; a pid alone may have been used again."""
    worker = state.workers.get(survivor.pid)
    if worker is None or worker.target is None:
        return False
    return (worker.generation, worker.target.entry.key) == (survivor.generation, survivor.key)


def _take_over(state: State, survivor: Survivor) -> None:
    """Adopt a worker that the snapshot names; its time in its phase begins again."""
    worker = state.workers[survivor.pid]
    state.actions.append(AdoptWorker(survivor.pid, survivor.generation, survivor.key))
    if survivor.draining and state.turn(worker, "drain"):
        worker.asked = True
    elif worker.phase == "killed":
        state.kill(worker, "it was to end when its master was killed")
    elif worker.phase != "ready" and (patience := worker.patience(state.spec)) is not None:
        state.set_deadline(worker, state.now + patience)


def _take_in(state: State, survivor: Survivor) -> None:
    """Adopt a worker that the snapshot does not name, if its slot wants just this one; else it is an orphan."""
    slot = state.slots.get(survivor.key)
    target = None if slot is None else slot.target
    if slot is None or target is None:
        state.orphans[survivor.pid] = Orphan(survivor.pid, survivor.drain_timeout)
        return
    wanted = (target.generation, target.entry.digest) == (survivor.generation, survivor.digest)
    wanted &= not survivor.draining and not slot.pids
    if not wanted and target.kind.options.replace == "new-first":
        state.orphans[survivor.pid] = Orphan(survivor.pid, survivor.drain_timeout)
        return
    # A singleton that is not wanted is adopted, too: the next one has to wait for its end.
    worker = state.workers[survivor.pid] = Worker(survivor.pid, survivor.generation, "spare", state.now, target)
    slot.pids.append(survivor.pid)
    state.actions.append(AdoptWorker(survivor.pid, survivor.generation, survivor.key))
    state.turn(worker, "order")
    if mold := state.molds.get(survivor.generation):
        mold.starting += target.holds_up_spares
    if wanted:
        slot.ordered = target.edition
    else:
        worker.asked = True
        state.kill(worker, "a worker of a killed master that must not run twice")
