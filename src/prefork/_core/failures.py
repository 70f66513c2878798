"""What follows when a process ends, is late, or hangs: nothing, a restart after a pause, a rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from . import events as ev
from . import orphans
from .gap import bound_drains, end_exchange
from .judge.course import measure
from .judge.former import expired, lost
from .molds import back_off_forks, end_mold, replace_mold, settle_forks, start_mold, stop_asking
from .restarts.recycling import worn_out
from .restarts.relaunch import ended, next_start, report_outage, start_waiting
from .rollout import fail, hand_over, stop
from .units import duration
from .warming import phase

if TYPE_CHECKING:
    from .events import WorkerEnded
    from .slot import Slot, Worker
    from .state import Mold, State


def worker_ended(state: State, event: WorkerEnded) -> None:
    """A process has been reaped."""
    worker = state.workers.pop(event.pid, None)
    state.worn.pop(event.pid, None)
    if worker is None:
        return
    if worker.target is None:
        spare_ended(state, worker)
        return
    if worker.phase == "starting":
        state.started(worker)
    elif worker.phase == "ready":
        state.count_ready(worker, -1)
    slot = state.slots[worker.target.entry.key]
    slot.pids.remove(event.pid)
    slot.last_exit = event.reason
    state.dirty_slots[slot.key] = None
    text = f"{slot.key}: {_end(state, worker, event)} (pid {event.pid}, generation {worker.generation})"
    if event.status == 0 and not worker.asked and worker.ready_at is None:
        text += _how_ready(worker)
    if worker.asked:
        # A failure while draining is no failure of the slot, and is logged all the same.
        if worker.phase == "killed" or event.status != 0:
            state.report(text, worker.report)
        return
    if slot.target is None or slot.target.edition != worker.target.edition:
        # Its successor is already being started.
        state.report(text, worker.report)
        return
    policy = worker.target.kind.options.restart
    if policy == "never" or (policy == "on-failure" and event.status == 0):
        slot.done = worker.target.edition
        if event.status == 0:
            state.proven = True
            return
    lived = None if worker.ready_at is None else state.now - worker.ready_at
    worked = event.worked
    if worker.hung_after is not None:  # In its first requests: so will the next one, most likely.
        lived, worked = (0.0, False) if worker.hung_after < state.spec.hangs_early else (state.spec.healthy_after, True)
    failed = lived is None
    if slot.done != worker.target.edition:
        slot.restarts += 1
        failed = ended(state, slot, lived, worked)
    slot_failed(state, slot, text, worker.report, failed=failed)


def _end(state: State, worker: Worker, event: WorkerEnded) -> str:
    """Return how a worker ended: unless the master has killed it, with the time in its last state and its request."""
    if worker.phase == "killed":
        return event.reason
    while_doing = f", while doing {event.doing}" if event.doing else ""
    return f"{event.reason} after {duration(state.now - worker.since)}{while_doing}"


def spare_ended(state: State, worker: Worker) -> None:
    """Handle the end of a spare; unless it was dismissed, a slot or the stock of spares lacks it."""
    mold = state.molds.get(worker.generation)
    if worker.holder is not None:
        slot = state.slots[worker.holder]
        slot.reserve = None
        state.dirty_slots[slot.key] = None
    elif mold is not None and worker.pid in mold.idle:
        mold.idle.remove(worker.pid)
    else:
        return
    if mold is not None:
        back_off_forks(state, mold)


def start_failed(state: State, slot: Slot, text: str) -> None:
    """Handle a start for which there was no process."""
    slot.restarts += 1
    ended(state, slot, None, worked=False)
    slot_failed(state, slot, text)


def slot_failed(state: State, slot: Slot, text: str, words: str = "", *, failed: bool = True) -> None:
    """Report a crash in a slot; it fails a scaling and, until its worker is ready or if it `failed`, a change."""
    end_exchange(state, slot)
    state.dirty_slots[slot.key] = None
    if not slot.auxiliary:
        state.last_failure = f"{text}\n{words}" if words else text
    state.untried.pop(slot.key, None)
    for kind, scaling in list(state.scaling.items()):
        if slot.key in scaling.keys:
            state.scaling_ended(kind, False, f"{text}; restarting\n{words}" if words else f"{text}; restarting")
    change = state.change
    on_trial = change is not None and change.on_trial and change.has_moved(slot)
    if change is not None and (slot.key in change.flight or on_trial or (failed and change.has_moved(slot))):
        fail(state, f"{text}, while it was judged" if on_trial else text, words)
    elif not hopeless(state):  # else it is logged with the daemon's end
        state.report(f"{text}{_then(state, slot)}", words)
        report_outage(state, slot)


def _then(state: State, slot: Slot) -> str:
    """Return what happens next to a slot that has failed."""
    if slot.target is None or slot.done == slot.target.edition:
        return ""
    start = next_start(state, slot)
    if start is None:
        return "; restarting"
    degraded = "degraded, " if slot.failures >= state.spec.degraded_after else ""
    return f"; {degraded}restarting in {duration(start - state.now)} ({slot.failures} failures in a row)"


def spawn_failed(state: State, key: str, reason: str) -> None:
    """Handle a failed exec: a failure of the slot, unless its target has changed since."""
    slot = state.slots.get(key)
    target = None if slot is None else slot.spawning
    if slot is None or target is None:
        return
    slot.spawning = None
    state.dirty_slots[slot.key] = None
    if slot.target is not None and slot.target.edition == target.edition:
        start_failed(state, slot, f"{slot.key}: failed to start: {reason}")


def fork_failed(state: State, mold: Mold, count: int, reason: str) -> None:
    """Handle forks that failed: a failure of the slots that have waited longest."""
    back_off_forks(state, mold)
    settle_forks(state, mold, count)
    mold.reason = f"could not fork: {reason}"
    text = f"mold of generation {mold.generation}: {mold.reason}"
    for key in list(mold.asking)[:count]:
        if key in mold.asking:  # the first failure may have rolled back the change that the others waited for
            slot = state.slots[key]
            del mold.asking[key]
            slot.asking = None
            start_failed(state, slot, f"{key}: failed to start: {text}")
    if not mold.asking and not mold.retired:
        state.report(text)


def mold_failed(state: State, mold: Mold, text: str, then: str = "", report: str | None = None) -> None:
    """Handle a mold's failure: a change that needs it is rolled back. `then`: what happens otherwise.

    `report`: that of the application, which names the cause in its first line, in place of `text`.
    """
    change = state.change
    cause, _, words = (report or "").partition("\n")
    mold.reason = cause or text
    if mold.retired or state.stopping is not None:
        return
    if change is not None and change.generation == mold.generation:
        fail(state, cause or f"mold of generation {mold.generation} {text}", words)
    else:
        state.report(f"mold of generation {mold.generation}: {cause or text}{then}", words)


def mold_ended(state: State, mold: Mold, reason: str) -> None:
    """Handle the end of a mold: it is restarted unless its generation is over."""
    healthy = mold.phase in ("ready", "planning") and state.now - mold.since >= state.spec.healthy_after
    expected, warming = mold.phase == "ending", mold.phase == "warming"
    mold.phase, mold.deadline, mold.pending_forks = "paused", None, 0
    for key in list(mold.asking):
        # A slot that has a process by now lines up again; one without asks again.
        stop_asking(state, state.slots[key])
        end_exchange(state, state.slots[key])
        state.dirty_slots[key] = None
    if mold.retired:
        del state.molds[mold.generation]
        return
    if lost(state, mold, reason):
        return
    if warming:
        phase.warming_ended(state, mold, f"{reason} while it was warming")
    elif not expected:
        mold_failed(state, mold, reason, then="; restarting")
    if mold.generation in state.molds and not mold.retired:
        replace_mold(state, mold, healthy)


def deadline_passed(state: State) -> None:
    """Handle every deadline that has passed."""
    while (first := state.first_deadline()) is not None and first[0] <= state.now:
        _, what, name = first
        if what == "worker":
            worker_late(state, state.workers[name])
        elif what == "slot":
            state.slots[name].deadline = None
            state.dirty_slots[name] = None
        elif what == "pace":
            start_waiting(state, name)
        elif what == "mold":
            mold_late(state, state.molds[name])
        elif what == "orphan":
            orphans.late(state, state.orphans[name])
        elif what == "change":
            hand_over(state, state.changing[name])
        elif what == "former":
            expired(state)
        elif what == "bake":
            measure(state, state.changing[name], state.baking[name])
        else:
            state.scaling_ended(name, False, f"timed out; still waiting for {', '.join(state.scaling[name].keys)}")


def worker_late(state: State, worker: Worker) -> None:
    """Handle a process that has been in its phase for too long."""
    waited = f"{round(state.now - worker.since, 1):g} s"
    if worker.phase == "ready":
        worker.deadline = None
        worn_out(state, worker.pid, f"{waited} old")
    elif worker.phase == "starting":
        state.kill(worker, f"not ready after {waited}{_how_ready(worker)}", "deadline", explain=True)
    elif worker.phase == "draining" and worker.ready_at is None:
        state.kill(worker, f"not ready, and asked to end {waited} ago", "deadline", explain=True)
        if worker.target is not None:
            state.dirty_slots[worker.target.entry.key] = None  # It may wait for this.
    elif worker.phase == "draining" and worker.target is not None and worker.hastened and not worker.cut:
        bound_drains(state, state.slots[worker.target.entry.key])  # The later ones may have ended meanwhile.
        if worker.hastened:
            state.cut_drain(worker)
    elif worker.phase == "draining":
        if state.stopping is not None:
            state.stopping.killed += 1
        why = ", and so is a later worker of its slot" if worker.hastened else ""
        state.kill(worker, f"still draining after {waited}{why}", "deadline")
    else:
        state.kill(worker, f"still there {waited} after it was to end", "deadline")


def _how_ready(worker: Worker) -> str:
    """Return what a worker's function has not done; nothing for a server's, whose application is late."""
    automatic = worker.target is not None and worker.target.kind.options.ready == "auto"
    return ": it never waited for work (accept, wait) and never called worker.ready()" if automatic else ""


def mold_late(state: State, mold: Mold) -> None:
    """Handle a mold that has been in its phase for too long, or whose pause is over."""
    waited = f"{round(state.now - mold.since, 1):g} s"
    match mold.phase:
        case "paused":
            start_mold(state, mold.generation)
        case "ready" if not mold.pending_forks:
            mold.deadline = None
            state.dirty_molds[mold.generation] = None
        case "ready":
            give_mold_up(state, mold, "did not fork the requested workers in time")
        case "importing":
            give_mold_up(state, mold, f"did not import and plan within {waited}")
        case "warming":
            phase.give_up(state, mold, f"warming did not end within {waited}")
        case "planning":
            give_mold_up(state, mold, f"did not plan again within {waited}")
        case "ending":
            end_mold(state, mold)
        case _:
            assert_never(mold.phase)


def give_mold_up(state: State, mold: Mold, text: str, report: str | None = None) -> None:
    """End a mold that has failed; it is restarted when it has ended."""
    mold_failed(state, mold, text, "; ending it", report)
    if mold.generation in state.molds and not mold.retired:
        end_mold(state, mold)


def hopeless(state: State) -> bool:
    """Return whether no worker was ever ready, every slot has failed once, and no change is under way."""
    if state.proven or state.untried or not state.last_failure:
        return False
    return state.change is None and not state.queue and state.stopping is None


def give_up(state: State) -> None:
    """Stop a hopeless daemon, with the last report of the application."""
    if hopeless(state):
        state.cause = "no worker of the first generation became ready"
        stop(state, 1, [], f"start: failed: no worker became ready; {state.last_failure}")


Event = ev.WorkerHung | ev.WorkerStuck | ev.WorkerStopped | ev.WorkerContinued | ev.WorkerStarved | ev.MachineSlept


def hang_reported(state: State, event: Event) -> None:
    """Handle an event of the hang watch."""
    if isinstance(event, ev.MachineSlept):
        state.report(f"master: suspended for {event.seconds:g} s; hang timers adjusted")
        return
    worker = state.workers.get(event.pid)
    if worker is None or worker.target is None or worker.phase not in ("ready", "draining", "starting"):
        return
    key, kills = worker.target.entry.key, worker.target.kind.options.hang_policy == "kill"
    match event:
        case ev.WorkerHung(_, verdict, hang, report, over):
            state.report(report)
            if kills and not over:
                worker.hung_after = state.now - hang.seconds - (worker.ready_at or state.now)
                state.kill(worker, f"hung for {hang.seconds:.1f} s: {verdict}")
            _hung_on_trial(state, worker, f"{key}: hung for {hang.seconds:.1f} s: {verdict} (pid {event.pid})", over)
        case ev.WorkerStuck(_, _, _, report):
            state.report(report)
        case ev.WorkerStopped(_, number, patience):
            then = f"; killing it in {patience:g} s unless it is continued" if patience and kills else ""
            state.report(f"{key}: stopped by signal {number} (pid {event.pid}){then}")
        case ev.WorkerContinued():
            state.report(f"{key}: continued (pid {event.pid})")
        case ev.WorkerStarved(_, seconds):
            state.report(f"{key}: no progress for {seconds:g} s, starved of CPU (pid {event.pid}); not treated as hung")
        case _:
            assert_never(event)


def _hung_on_trial(state: State, worker: Worker, text: str, over: bool) -> None:
    """Roll a judged reload back whose new worker hangs, whether it is killed or only reported."""
    change, slot = state.change, state.slots.get(worker.target.entry.key) if worker.target is not None else None
    if change is None or slot is None or over or not change.on_trial or not change.has_moved(slot):
        return
    if worker.target == slot.target:
        fail(state, f"{text}, while it was judged")
